//! Stop strings: text that ends an answer and is not part of it.

/// Watches text for stop strings, over the borders of its pieces.
///
/// The match that is complete first ends the text, before its first byte; of several that end at the same byte it is
/// the longest. So the result doesn't depend on how the text is cut into pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopMatcher {
    stops: Vec<Stop>,
    /// Text that may be the beginning of a stop string.
    held: String,
    stopped: bool,
}

/// One stop string, matched with the algorithm of Knuth, Morris and Pratt: each byte is looked at once.
#[derive(Debug, Clone)]
struct Stop {
    text: Vec<u8>,
    /// For each length of a partial match: the longest shorter one that ends it.
    fallback: Vec<usize>,
    /// How many bytes of `text` the text so far ends with.
    matched: usize,
}

impl Stop {
    fn new(text: &str) -> Self {
        let text = text.as_bytes().to_vec();
        let mut fallback = vec![0; text.len() + 1];
        let mut matched = 0;
        for end in 1..text.len() {
            while matched > 0 && text[end] != text[matched] {
                matched = fallback[matched];
            }
            matched += usize::from(text[end] == text[matched]);
            fallback[end + 1] = matched;
        }
        Self { text, fallback, matched: 0 }
    }

    /// Takes one byte; whether it completes the stop string.
    fn step(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.text[self.matched] != byte {
            self.matched = self.fallback[self.matched];
        }
        self.matched += usize::from(self.text[self.matched] == byte);
        self.matched == self.text.len()
    }
}

impl StopMatcher {
    /// A matcher for these strings; empty ones never match.
    pub(crate) fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).map(|s| Stop::new(s)).collect();
        Self { stops, held: String::new(), stopped: false }
    }

    /// Takes the next piece. Returns the text that no stop string can begin in any more, and whether one was met;
    /// from then on nothing comes.
    pub(crate) fn push(&mut self, text: &str) -> (String, bool) {
        if self.stopped {
            return (String::new(), true);
        }
        for (at, byte) in text.bytes().enumerate() {
            // Every stop takes the byte, the longest complete one counts.
            let mut complete = None;
            for stop in &mut self.stops {
                if stop.step(byte) {
                    complete = complete.max(Some(stop.text.len()));
                }
            }
            if let Some(len) = complete {
                self.stopped = true;
                let mut safe = std::mem::take(&mut self.held);
                safe.push_str(text.get(..=at).unwrap_or(text));
                safe.truncate(safe.len().saturating_sub(len));
                return (safe, true);
            }
        }
        let mut safe = std::mem::take(&mut self.held);
        safe.push_str(text);
        // A stop string begins with a whole character, so this is a character's border.
        let partial = self.stops.iter().map(|s| s.matched).max().unwrap_or(0);
        self.held = safe.split_off(safe.len() - partial);
        (safe, false)
    }

    /// The text still held, when no more comes.
    pub(crate) fn finish(&mut self) -> String {
        self.stops.clear();
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(stops: &[&str]) -> StopMatcher {
        StopMatcher::new(&stops.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = matcher(stops);
        let mut text = String::new();
        for piece in pieces {
            let (safe, stopped) = matcher.push(piece);
            text.push_str(&safe);
            if stopped {
                return (text, true);
            }
        }
        text.push_str(&matcher.finish());
        (text, false)
    }

    /// Looks at the text after each character.
    fn naive(stops: &[&str], text: &str) -> (String, bool) {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let longest = stops.iter().filter(|s| !s.is_empty() && text[..end].ends_with(**s)).map(|s| s.len()).max();
            if let Some(len) = longest {
                return (text[..end - len].to_owned(), true);
            }
        }
        (text.to_owned(), false)
    }

    #[test]
    fn stops_over_borders_of_pieces() {
        assert_eq!(run(&["\nUser:"], &["Hi", "\nUs", "er", ": no"]), ("Hi".into(), true));
        assert_eq!(run(&["é€"], &["aé", "b", "é", "€c"]), ("aéb".into(), true));
        assert_eq!(run(&["ab"], &["", "ab"]), (String::new(), true));
    }

    #[test]
    fn gives_out_what_turns_out_not_to_match() {
        let mut m = matcher(&["<end>"]);
        assert_eq!(m.push("a<en"), ("a".into(), false));
        assert_eq!(m.push("<e"), ("<en".into(), false));
        assert_eq!(m.push("!"), ("<e!".into(), false));
        assert_eq!(m.push("<end"), (String::new(), false));
        assert_eq!(m.finish(), "<end");
    }

    #[test]
    fn nothing_comes_after_a_stop() {
        let mut m = matcher(&["."]);
        assert_eq!(m.push("one. two."), ("one".into(), true));
        assert_eq!(m.push("three"), (String::new(), true));
        assert_eq!(m.finish(), "");
    }

    #[test]
    fn the_match_complete_first_wins() {
        assert_eq!(run(&["abcd", "bc"], &["xabcd"]), ("xa".into(), true));
        assert_eq!(run(&["c", "bc", "abc"], &["xabc"]), ("x".into(), true));
    }

    #[test]
    fn without_stops_everything_passes_at_once() {
        assert_eq!(matcher(&[]).push("text"), ("text".into(), false));
        assert_eq!(matcher(&[""]).push("text"), ("text".into(), false));
    }

    #[test]
    fn does_what_a_naive_search_does_however_the_text_is_cut() {
        let mut state = 1u64;
        let mut random = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) % n
        };
        let mut stopped = 0;
        for round in 0..4000 {
            let mut word = |longest: u64| -> String {
                (0..1 + random(longest)).map(|_| ['a', 'b', 'é', '€'][random(4) as usize]).collect()
            };
            let stops: Vec<String> = (0..1 + round % 4).map(|_| word(6)).collect();
            let text = word(40);
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let mut pieces = Vec::new();
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let cut = rest.char_indices().nth(1 + random(5) as usize).map_or(rest.len(), |(i, _)| i);
                let (piece, tail) = rest.split_at(cut);
                pieces.push(piece);
                rest = tail;
            }
            let expected = naive(&stops, &text);
            stopped += usize::from(expected.1);
            assert_eq!(run(&stops, &pieces), expected, "{stops:?} in {pieces:?}");
        }
        assert!((1000..3900).contains(&stopped), "{stopped}");
    }

    #[test]
    fn many_long_stops_cost_little() {
        let stops: Vec<String> = (0..64).map(|i| format!("{}{i}", "a".repeat(4090))).collect();
        let mut m = StopMatcher::new(&stops);
        let start = std::time::Instant::now();
        let mut seen = 0;
        for _ in 0..20_000 {
            seen += m.push("a").0.len();
        }
        assert_eq!(seen, 20_000 - 4090);
        assert!(start.elapsed().as_secs() < 5);
    }
}
