//! The decoder of a `tokenizer.json`, taking one token at a time.

use tokenizers::Decoder as _;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::wordpiece::cleanup;
use tokenizers::normalizers::replace::Replace;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;

use super::bytes::{Utf8Stream, byte_of_char, byte_token, incomplete_tail};

/// What decoding can fail with: the message of the `tokenizers` crate.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Steps that tokens go through one after the other; each gives its output to the next one.
///
/// All that came out at the end is what the decoder makes of the whole list of tokens. It comes out as early as what
/// follows can't change it.
#[derive(Debug, Clone)]
pub(super) struct StreamingDecoder {
    stages: Vec<Stage>,
}

#[derive(Debug, Clone)]
enum Stage {
    /// A decoder that treats each token by itself.
    Each(DecoderWrapper),
    /// Bytes spelled as tokens. One bad byte spoils its whole run, so a run comes out when it ends.
    ByteFallback { run: Vec<u8> },
    /// Bytes spelled as characters.
    ByteLevel(Utf8Stream),
    /// Blanks spelled as another character; those of the first token are left out, depending on the scheme.
    Metaspace { blank: char, drop_first: bool, first: bool },
    /// Words that continue have a prefix, the others a blank before them.
    WordPiece { prefix: String, cleanup: bool, first: bool },
    /// Words end with a suffix, which is a blank except at the end of the text.
    Suffix { suffix: String, held: Option<String>, owed: bool },
    /// Takes characters off both ends of the text: up to `start` at its start, the last `stop` in `held`.
    Strip { content: char, start: usize, stop: usize, held: usize },
    /// Tokens joined by blanks, when there is no decoder.
    Join { first: bool },
    /// Any other decoder: everything at the end, after what `context` tokens give alone.
    Whole { decoder: DecoderWrapper, tokens: Vec<String>, context: usize },
}

impl StreamingDecoder {
    pub(super) fn new(decoder: Option<&DecoderWrapper>) -> Self {
        let Some(decoder) = decoder else { return Self { stages: vec![Stage::Join { first: true }] } };
        let mut parts = Vec::new();
        flatten(decoder, &mut parts);
        let mut stages = Vec::new();
        let mut fused = false;
        for part in parts {
            if matches!(part, DecoderWrapper::Fuse(_)) {
                fused = true;
                continue;
            }
            match if fused { fused_stage(part) } else { stage(part) } {
                Some(stage) => stages.push(stage),
                None => {
                    let whole = Stage::Whole { decoder: decoder.clone(), tokens: Vec::new(), context: 0 };
                    return Self { stages: vec![whole] };
                }
            }
            fused |= matches!(part, DecoderWrapper::ByteLevel(_));
        }
        Self { stages }
    }

    /// Takes a token; appends the text that is certain now.
    pub(super) fn push(&mut self, token: String, out: &mut String) -> Result<()> {
        push(&mut self.stages, token, out)
    }

    /// Appends what was held back because more tokens might have changed it.
    pub(super) fn finish(&mut self, out: &mut String) -> Result<()> {
        for at in 0..self.stages.len() {
            let (stage, rest) = self.stages[at..].split_first_mut().ok_or("no stage")?;
            for token in stage.finish()? {
                push(rest, token, out)?;
            }
        }
        Ok(())
    }

    /// Ends the context: what its tokens decode to by themselves will not come out, only what later tokens add.
    pub(super) fn end_context(&mut self) -> Result<()> {
        let mut known = String::new();
        for at in 0..self.stages.len() {
            let (stage, rest) = self.stages[at..].split_first_mut().ok_or("no stage")?;
            for token in stage.end_context() {
                push(rest, token, &mut known)?;
            }
        }
        Ok(())
    }
}

fn flatten<'a>(decoder: &'a DecoderWrapper, parts: &mut Vec<&'a DecoderWrapper>) {
    match decoder {
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().for_each(|d| flatten(d, parts)),
        other => parts.push(other),
    }
}

/// The stage for a decoder that gets the tokens apart.
fn stage(decoder: &DecoderWrapper) -> Option<Stage> {
    Some(match decoder {
        DecoderWrapper::Replace(_) | DecoderWrapper::Strip(_) => Stage::Each(decoder.clone()),
        DecoderWrapper::ByteFallback(_) => Stage::ByteFallback { run: Vec::new() },
        DecoderWrapper::ByteLevel(_) => Stage::ByteLevel(Utf8Stream::default()),
        DecoderWrapper::Metaspace(m) => Stage::Metaspace {
            blank: m.get_replacement(),
            drop_first: m.get_prepend_scheme() != PrependScheme::Never,
            first: true,
        },
        DecoderWrapper::WordPiece(w) => Stage::WordPiece { prefix: w.prefix.clone(), cleanup: w.cleanup, first: true },
        DecoderWrapper::BPE(b) => Stage::Suffix { suffix: b.suffix.clone(), held: None, owed: false },
        _ => return None,
    })
}

/// The stage for a decoder that gets all tokens as one text.
fn fused_stage(decoder: &DecoderWrapper) -> Option<Stage> {
    match decoder {
        DecoderWrapper::Strip(s) => Some(Stage::Strip { content: s.content, start: s.start, stop: s.stop, held: 0 }),
        // One character can't lie on the border of two pieces.
        DecoderWrapper::Replace(r) if replaces_one_character(r) => Some(Stage::Each(decoder.clone())),
        _ => None,
    }
}

fn replaces_one_character(replace: &Replace) -> bool {
    serde_json::to_value(replace)
        .is_ok_and(|r| r["pattern"]["String"].as_str().is_some_and(|pattern| pattern.chars().count() == 1))
}

fn push(stages: &mut [Stage], token: String, out: &mut String) -> Result<()> {
    let Some((stage, rest)) = stages.split_first_mut() else {
        out.push_str(&token);
        return Ok(());
    };
    for token in stage.step(token)? {
        push(rest, token, out)?;
    }
    Ok(())
}

impl Stage {
    fn step(&mut self, token: String) -> Result<Vec<String>> {
        Ok(match self {
            Self::Each(decoder) => decoder.decode_chain(vec![token])?,
            Self::ByteFallback { run } => match byte_token(&token) {
                Some(byte) => {
                    run.push(byte);
                    Vec::new()
                }
                None => {
                    let mut tokens = end_run(run);
                    tokens.push(token);
                    tokens
                }
            },
            Self::ByteLevel(stream) => {
                let bytes: Option<Vec<u8>> = token.chars().map(byte_of_char).collect();
                vec![stream.push(bytes.as_deref().unwrap_or(token.as_bytes()))]
            }
            Self::Metaspace { blank, drop_first, first } => {
                let dropped = std::mem::take(first) && *drop_first;
                vec![if dropped { token.replace(*blank, "") } else { token.replace(*blank, " ") }]
            }
            Self::WordPiece { prefix, cleanup: clean, first } => {
                let token = match token.strip_prefix(prefix.as_str()) {
                    _ if std::mem::take(first) => token,
                    Some(rest) => rest.to_owned(),
                    None => format!(" {token}"),
                };
                vec![if *clean { cleanup(&token) } else { token }]
            }
            Self::Suffix { suffix, held, owed } => {
                let blank = if std::mem::take(owed) { " " } else { "" };
                let before = held.replace(token).map_or_else(String::new, |t| t.replace(suffix.as_str(), " "));
                vec![format!("{blank}{before}")]
            }
            Self::Strip { content, start, stop, held } => {
                let mut text = token.as_str();
                while *start > 0 && !text.is_empty() {
                    match text.strip_prefix(*content) {
                        Some(rest) => (text, *start) = (rest, *start - 1),
                        None => *start = 0,
                    }
                }
                let tail = text.chars().rev().take_while(|c| c == content).count();
                let all = tail * content.len_utf8() == text.len();
                let run = if all { *held + tail } else { tail };
                let before = if all { (*held + tail).saturating_sub(*stop) } else { *held };
                let body = text.len() - run.min(*stop).min(tail) * content.len_utf8();
                *held = run.min(*stop);
                let body = if all { "" } else { &text[..body] };
                vec![content.to_string().repeat(before) + body]
            }
            Self::Join { first } => vec![if std::mem::take(first) { token } else { format!(" {token}") }],
            Self::Whole { tokens, .. } => {
                tokens.push(token);
                Vec::new()
            }
        })
    }

    fn end_context(&mut self) -> Vec<String> {
        match self {
            // Only an unfinished character belongs to what follows.
            Self::ByteFallback { run } => {
                let mut known = std::mem::take(run);
                *run = known.split_off(known.len() - incomplete_tail(&known).len());
                end_run(&mut known)
            }
            Self::Suffix { suffix, held, owed } => match held.take() {
                Some(token) => {
                    *owed = token.ends_with(suffix.as_str());
                    vec![token.replace(suffix.as_str(), "")]
                }
                None => Vec::new(),
            },
            Self::Whole { tokens, context, .. } => {
                *context = tokens.len();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn finish(&mut self) -> Result<Vec<String>> {
        Ok(match self {
            Self::ByteFallback { run } => end_run(run),
            Self::ByteLevel(stream) => vec![stream.finish()],
            Self::Suffix { suffix, held, owed } => match held.take() {
                Some(token) => {
                    let blank = if std::mem::take(owed) { " " } else { "" };
                    vec![format!("{blank}{}", token.replace(suffix.as_str(), ""))]
                }
                None => Vec::new(),
            },
            Self::Whole { decoder, tokens, context } => {
                let before = match *context {
                    0 => String::new(),
                    n => decoder.decode(tokens[..n].to_vec())?,
                };
                let text = if tokens.is_empty() { String::new() } else { decoder.decode(std::mem::take(tokens))? };
                vec![text.strip_prefix(&before).unwrap_or(&text).to_owned()]
            }
            // The blanks that a strip holds are those it takes off.
            _ => Vec::new(),
        })
    }
}

/// A run of bytes as text, or one replacement character for each of them.
fn end_run(run: &mut Vec<u8>) -> Vec<String> {
    let bytes = std::mem::take(run);
    if bytes.is_empty() {
        return Vec::new();
    }
    let count = bytes.len();
    String::from_utf8(bytes).map_or_else(|_| vec!["\u{FFFD}".to_owned(); count], |text| vec![text])
}
