//! tiktoken's files: a line for each token, its bytes in base64 and its rank, which is its id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer};

use super::merges::{self, Order};
use super::{Parts, byte_level, patterns, shown, split};
use crate::text::bytes::char_of_byte;
use crate::text::config::TokenizerConfig;

/// How far beyond the ranks an added token's id may lie; what is between is filled with tokens that nothing makes.
const MAX_RESERVED: u32 = 1 << 16;

/// Qwen's names for the tokens behind its ranks, which its files don't list.
const QWEN: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const QWEN_EXTRA: usize = 205;

/// Whether a file of that name can only be a list of ranks.
pub(super) fn is_name(name: &str) -> bool {
    name == "tiktoken.model" || name.ends_with(".tiktoken")
}

/// Whether a file begins like a list of ranks.
pub(super) fn is_list(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.len() < 1000 && std::str::from_utf8(line).is_ok_and(|line| entry(line).is_some())
}

/// Builds the tokenizer of a list of ranks, split by the pattern of the family that the file's name tells.
///
/// # Errors
/// The line that is malformed.
pub(super) fn build(name: &str, bytes: &[u8], config: &TokenizerConfig) -> Result<Tokenizer, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("it is no list of ranks: {e}"))?;
    let mut ranks: Vec<(u32, String)> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (token, rank) =
            entry(line).ok_or_else(|| format!("line {} is no token and rank: {:?}", number + 1, shown(line)))?;
        ranks.push((rank, token.into_iter().map(char_of_byte).collect()));
    }
    ranks.sort();
    let mut vocab = Vocab::new();
    for (at, (rank, token)) in ranks.iter().enumerate() {
        if token.is_empty() {
            return Err(format!("rank {rank} is no bytes"));
        }
        if at > 0 && ranks[at - 1].0 == *rank {
            return Err(format!("two tokens have rank {rank}"));
        }
        if let Some(first) = vocab.insert(token.clone(), *rank) {
            return Err(format!("ranks {first} and {rank} are the same token"));
        }
    }
    let next = ranks.last().ok_or("it has no ranks")?.0.checked_add(1).ok_or("rank 4294967295 is too high")?;
    let tokens: Vec<&str> = ranks.iter().map(|(_, token)| &**token).collect();
    let merges = merges::of(&tokens, &vocab, Order::LowestIds)?;
    let added = added(name, next, config, &mut vocab)?;
    let model =
        BPE::builder().ignore_merges(true).vocab_and_merges(vocab, merges).build().map_err(|e| e.to_string())?;
    let pattern = match name {
        "tiktoken.model" => patterns::KIMI,
        name if name.ends_with(".tiktoken") => patterns::QWEN2,
        _ => patterns::LLAMA3,
    };
    Parts {
        model: model.into(),
        normalizers: vec![],
        pre_tokenizers: vec![split(pattern), byte_level()],
        decoders: vec![byte_level()],
        added,
        before: None,
        behind: None,
    }
    .assemble()
}

/// The special tokens behind the ranks, put into the vocabulary, so that they keep their ids: those that the
/// configuration lists, `<|reserved_token_…|>` in between.
fn added(name: &str, next: u32, config: &TokenizerConfig, vocab: &mut Vocab) -> Result<Vec<AddedToken>, String> {
    let mut behind: Vec<(u32, AddedToken)> = config.added.iter().filter(|(id, _)| *id >= next).cloned().collect();
    if behind.is_empty() && name == "qwen.tiktoken" {
        let extra = (0..QWEN_EXTRA).map(|n| format!("<|extra_{n}|>"));
        let texts = QWEN.into_iter().map(str::to_owned).chain(extra);
        behind = (next..).zip(texts.map(|text| AddedToken::from(text, true).normalized(false))).collect();
    }
    let last = behind.iter().map(|(id, _)| *id).max();
    let end = match last {
        Some(last) if last - next >= MAX_RESERVED => {
            return Err(format!("an added token has id {last}, but the ranks end at {}", next - 1));
        }
        Some(last) => last + 1,
        None => next,
    };
    let mut all: Vec<AddedToken> =
        (next..end).map(|id| AddedToken::from(format!("<|reserved_token_{id}|>"), true).normalized(false)).collect();
    for (id, token) in behind {
        all[(id - next) as usize] = token.normalized(false);
    }
    for (token, id) in all.iter().zip(next..) {
        if let Some(first) = vocab.insert(token.content.clone(), id) {
            return Err(format!("tokens {first} and {id} are both {:?}", shown(&token.content)));
        }
    }
    Ok(all)
}

/// A line's bytes and rank.
fn entry(line: &str) -> Option<(Vec<u8>, u32)> {
    let (token, rank) = line.trim_end_matches('\r').split_once(' ')?;
    Some((STANDARD.decode(token).ok()?, rank.parse().ok()?))
}
