//! The merges of a byte-pair vocabulary that lists only its tokens: a token joins any two others that it consists of.

use tokenizers::models::bpe::{Merges, Vocab};

/// How many bytes of tokens may be looked at for all splits together. The 260,000 tokens of the largest real
/// vocabularies need 60 million.
const MAX_WORK: u64 = 1 << 31;

/// Which of a token's splits is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// That with the shortest left part.
    ShortestFirst,
    /// That whose left part, then right part has the lowest id.
    LowestIds,
}

/// The merges that make `tokens`, which come in the order in which they are made, of the tokens in `parts`.
///
/// # Errors
/// How long the tokens are, when finding their parts would take minutes.
pub(super) fn of(tokens: &[&str], parts: &Vocab, order: Order) -> Result<Merges, String> {
    let work: u64 = tokens.iter().map(|token| (token.len() as u64).saturating_pow(2)).fold(0, u64::saturating_add);
    if work > MAX_WORK {
        let longest = tokens.iter().map(|token| token.len()).max().unwrap_or_default();
        let count = tokens.len();
        return Err(format!("its {count} tokens are too long to find their parts, the longest has {longest} bytes"));
    }
    let mut merges = Merges::new();
    for token in tokens {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let known = |(left, right)| Some((*parts.get(left)?, *parts.get(right)?, left, right));
        let mut splits: Vec<_> = splits.filter_map(known).collect();
        if order == Order::LowestIds {
            splits.sort_by_key(|(left, right, ..)| (*left, *right));
        }
        merges.extend(splits.into_iter().map(|(_, _, left, right)| (left.to_owned(), right.to_owned())));
    }
    Ok(merges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab(tokens: &[&str]) -> Vocab {
        tokens.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), id)).collect()
    }

    #[test]
    fn every_split_into_known_parts_is_a_merge() {
        let parts = vocab(&["b", "é", "a", "éb", "aé", "aéb"]);
        let merges = |order| of(&["aé", "aéb"], &parts, order).unwrap();
        let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        assert_eq!(merges(Order::ShortestFirst), [pair("a", "é"), pair("a", "éb"), pair("aé", "b")]);
        // `a` has id 2, `aé` 4.
        assert_eq!(merges(Order::LowestIds), [pair("a", "é"), pair("a", "éb"), pair("aé", "b")]);
        let parts = vocab(&["aé", "b", "éb", "a"]);
        assert_eq!(of(&["aéb"], &parts, Order::LowestIds).unwrap(), [pair("aé", "b"), pair("a", "éb")]);
    }

    #[test]
    fn tokens_that_would_take_minutes_are_refused() {
        let long = "a".repeat(100_000_000);
        let start = std::time::Instant::now();
        let error = of(&["b", &long], &vocab(&["a"]), Order::ShortestFirst).unwrap_err();
        assert!(error.ends_with("the longest has 100000000 bytes"), "{error}");
        assert!(start.elapsed().as_secs() < 10);
    }
}
