//! The vocabulary and the chat templates in a GGUF file's metadata.

use crate::error::Result;
use crate::text::Vocabulary;
use crate::weights::gguf::{Array, Metadata};

/// The most entries of a list; the largest real one has 515,000 merges.
const MAX_ENTRIES: usize = 1 << 22;

/// Reads the keys `tokenizer.ggml.…`.
///
/// # Errors
/// `CorruptFile` naming the key whose value is of another type, or the entry that is no text.
pub(super) fn read(metadata: &Metadata) -> Result<Vocabulary> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let text = |key: &str| Ok(metadata.string(key)?.map(str::to_owned));
    let id = |name: &str| {
        let key = key(&format!("{name}_token_id"));
        let id = metadata.unsigned(&key)?;
        id.map(|id| u32::try_from(id).map_err(|_| metadata.corrupt(&key, format_args!("is {id}")))).transpose()
    };
    let flag = |name: &str| metadata.bool(&key(name));
    let model = text(&key("model"))?
        .ok_or_else(|| metadata.corrupt(&key("model"), "is missing, so the file has no tokenizer"))?;
    Ok(Vocabulary {
        model,
        pre: text(&key("pre"))?,
        name: text("general.name")?,
        tokens: texts(metadata, &key("tokens"))?,
        scores: numbers(metadata, &key("scores"))?.into_iter().map(|score| score as f32).collect(),
        kinds: numbers(metadata, &key("token_type"))?.into_iter().map(|kind| kind as i64).collect(),
        merges: texts(metadata, &key("merges"))?,
        bos: id("bos")?,
        eos: id("eos")?,
        eot: id("eot")?,
        eom: id("eom")?,
        unk: id("unknown")?,
        pad: id("padding")?,
        add_bos: flag("add_bos_token")?,
        add_eos: flag("add_eos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
        remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
        charsmap: numbers(metadata, &key("precompiled_charsmap"))?.into_iter().map(|byte| byte as i64 as u8).collect(),
    })
}

/// The chat templates by name: `tokenizer.chat_template` is the usual one, those behind a further dot have names.
///
/// # Errors
/// `CorruptFile` naming the key that is no text.
pub(super) fn chat_templates(metadata: &Metadata) -> Result<Vec<(String, String)>> {
    const KEY: &str = "tokenizer.chat_template";
    let mut templates = Vec::new();
    for key in metadata.keys() {
        let name = match key.strip_prefix(KEY) {
            Some("") => "default",
            Some(rest) if rest.starts_with('.') => &rest[1..],
            _ => continue,
        };
        templates.extend(metadata.string(key)?.map(|text| (name.to_owned(), text.to_owned())));
    }
    Ok(templates)
}

fn array<'a>(metadata: &'a Metadata, key: &str) -> Result<Option<Array<'a>>> {
    let array = metadata.array(key)?;
    match array.map(|array| array.len) {
        Some(len) if len > MAX_ENTRIES => {
            Err(metadata.corrupt(key, format_args!("has {len} entries, more than {MAX_ENTRIES}")))
        }
        _ => Ok(array),
    }
}

/// An array of texts, empty where there is none.
fn texts(metadata: &Metadata, key: &str) -> Result<Vec<String>> {
    let Some(array) = array(metadata, key)? else { return Ok(Vec::new()) };
    let strings = array.strings().ok_or_else(|| metadata.corrupt(key, "is no array of strings"))?;
    let text = |(at, bytes): (usize, &[u8])| {
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned).map_err(|e| metadata.corrupt(key, format_args!("[{at}] is not UTF-8: {e}")))
    };
    strings.enumerate().map(text).collect()
}

/// An array of numbers of any type, empty where there is none.
fn numbers(metadata: &Metadata, key: &str) -> Result<Vec<f64>> {
    let Some(array) = array(metadata, key)? else { return Ok(Vec::new()) };
    if let Some(numbers) = array.floats() {
        return Ok(numbers.collect());
    }
    let numbers = array.integers().ok_or_else(|| metadata.corrupt(key, "is no array of numbers"))?;
    Ok(numbers.map(|number| number as f64).collect())
}

#[cfg(test)]
mod tests;
