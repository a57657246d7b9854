//! RWKV's list of tokens (`rwkv_vocab_v20230424.txt`): a line for each, its id, its text or bytes as Python writes them,
//! how many bytes that are. A text is cut into the longest ones.

use std::collections::HashSet;

use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{AddedToken, Tokenizer};

use super::{Parts, byte_level, shown};
use crate::text::bytes::char_of_byte;
use crate::text::config::TokenizerConfig;
use crate::text::longest::LongestMatch;

/// What the token 0 is called where no file says it; the list begins with 1.
const END: &str = "<|rwkv_tokenizer_end_of_text|>";

/// Bytes of a token at most. The longest one of the known list has 128; a text is looked through so far for each token.
const LONGEST: usize = 1024;

/// Whether a file of that name is such a list.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with("rwkv_vocab") && name.ends_with(".txt")
}

/// Builds the tokenizer of a list.
///
/// WordPiece cuts as RWKV does, but looks through all of a text for every token, so that texts are cut by
/// [`LongestMatch`].
///
/// # Errors
/// The line that is malformed.
pub(super) fn build(bytes: &[u8], config: &TokenizerConfig) -> Result<(Tokenizer, LongestMatch), String> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.iter().take(e.valid_up_to()).filter(|byte| **byte == b'\n').count();
        format!("line {} is no UTF-8: {e}", before + 1)
    })?;
    let named = config.named.iter().map(|(_, text)| text).chain(&config.extra);
    let apart: HashSet<&str> =
        config.added.iter().map(|(_, token)| &token.content).chain(named).map(String::as_str).collect();
    let (mut vocab, mut tokens, mut ids) = (Vocab::new(), Vec::new(), HashSet::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |message: String| format!("line {}: {message}", number + 1);
        let (id, token) = entry(line).ok_or_else(|| wrong(format!("{:?} is no token", shown(line))))?;
        if token.len() > LONGEST {
            return Err(wrong(format!("a token of {} bytes; {LONGEST} are the most", token.len())));
        }
        // A token that is also an added one is found by its text.
        let spelled = match std::str::from_utf8(&token) {
            Ok(text) if apart.contains(text) => text.to_owned(),
            _ => token.iter().copied().map(char_of_byte).collect(),
        };
        if let Some(first) = vocab.insert(spelled, id) {
            return Err(wrong(format!("tokens {first} and {id} are the same")));
        }
        if !ids.insert(id) {
            return Err(wrong(format!("two tokens have the id {id}")));
        }
        tokens.push((token, id));
    }
    let mut added = config.added.clone();
    if !ids.contains(&0) && !added.iter().any(|(id, _)| *id == 0) {
        let text = config.token("bos_token").unwrap_or(END);
        added.push((0, AddedToken::from(text, true).normalized(false)));
    }
    for (id, token) in &added {
        match vocab.insert(token.content.clone(), *id) {
            None if ids.contains(id) => {
                return Err(format!("token {id} is not {:?}, as an added token has it", shown(&token.content)));
            }
            Some(first) if first != *id => {
                return Err(format!("tokens {first} and {id} are both {:?}", shown(&token.content)));
            }
            _ => {}
        }
    }
    let id = |text: &str| vocab.get(text).copied();
    // `add_eos_token` is nothing to RWKV's tokenizers.
    let before = config.token("bos_token").filter(|_| config.add_bos_token);
    let before = before.and_then(|text| Some((text.to_owned(), id(text)?)));
    let longest = LongestMatch::new(tokens, before.as_ref().map(|(_, id)| *id))?;
    let unknown = added.first().map_or(END, |(_, token)| &token.content).to_owned();
    let model = WordPiece::builder()
        .vocab(vocab)
        .unk_token(unknown)
        .continuing_subword_prefix(String::new())
        .max_input_chars_per_word(usize::MAX)
        .build()
        .map_err(|e| e.to_string())?;
    let parts = Parts {
        model: model.into(),
        normalizers: vec![],
        pre_tokenizers: vec![byte_level()],
        decoders: vec![byte_level()],
        added: added.into_iter().map(|(_, token)| token).collect(),
        before,
        behind: None,
    };
    Ok((parts.assemble()?, longest))
}

/// A line's id and bytes.
fn entry(line: &str) -> Option<(u32, Vec<u8>)> {
    let (id, rest) = line.trim_end_matches('\r').split_once(' ')?;
    let (token, len) = rest.rsplit_once(' ')?;
    let token = literal(token)?;
    (!token.is_empty() && len.parse() == Ok(token.len())).then_some((id.parse().ok()?, token))
}

/// The bytes of a text, `'…'` or `"…"`, or of bytes, `b'…'`, as Python writes them.
fn literal(text: &str) -> Option<Vec<u8>> {
    let (is_bytes, text) = match text.strip_prefix('b') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let mut rest = text.strip_prefix(quote)?.strip_suffix(quote)?.chars();
    let mut bytes = Vec::new();
    while let Some(char) = rest.next() {
        let char = match char {
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                same @ ('\\' | '\'' | '"') => same,
                kind @ ('x' | 'u' | 'U') => {
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let code = hex(&mut rest, digits)?;
                    if is_bytes {
                        bytes.push(u8::try_from(code).ok().filter(|_| kind == 'x')?);
                        continue;
                    }
                    char::from_u32(code)?
                }
                _ => return None,
            },
            char if char == quote || is_bytes && !char.is_ascii() => return None,
            char => char,
        };
        bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(bytes)
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<u32> {
    (0..digits).try_fold(0u32, |code, _| Some(code << 4 | chars.next()?.to_digit(16)?))
}
