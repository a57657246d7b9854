//! The vocabulary and the chat templates in a GGUF file's metadata.

use serde_json::{Map, Value, json};

use super::{TextFiles, Tokenizer, TokenizerFile, Vocabulary};
use crate::error::{Error, Result};
use crate::weights::gguf::{Array, Gguf, Metadata};

/// The most entries of a list; the largest real one has 515,000 merges.
const MAX_ENTRIES: usize = 1 << 22;

impl TextFiles {
    /// The text side of the model in a GGUF file.
    ///
    /// # Errors
    /// `CorruptFile` naming the key whose value is of another type, or the entry that is no text.
    pub(crate) fn of_gguf(gguf: &Gguf) -> Result<Self> {
        Ok(Self {
            label: gguf.label().into(),
            tokenizer: TokenizerFile::Vocabulary(Box::new(read(gguf.metadata())?)),
            chat_templates: chat_templates(gguf.metadata())?,
            ..Self::default()
        })
    }
}

/// The tokenizer of a GGUF file in the form of a model's folder.
pub(crate) struct TokenizerFolder {
    /// Names and contents: `tokenizer.json`, and `tokenizer_config.json` with the chat templates.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    /// The ids that end an answer.
    pub(crate) eos_ids: Vec<u32>,
}

impl TokenizerFolder {
    /// # Errors
    /// Those of [`TextFiles::of_gguf`]; `Unsupported` naming the kind of a vocabulary that is not read.
    pub(crate) fn of_gguf(gguf: &Gguf) -> Result<Self> {
        let files = TextFiles::of_gguf(gguf)?;
        let tokenizer = Tokenizer::from_files(&files, &[])?;
        let mut config = Map::new();
        if let TokenizerFile::Vocabulary(vocabulary) = &files.tokenizer {
            config.extend(vocabulary.named().into_iter().map(|(name, text)| (name, text.into())));
        }
        config.insert("clean_up_tokenization_spaces".into(), false.into());
        config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        let templates: Vec<Value> =
            files.chat_templates.iter().map(|(name, text)| json!({"name": name, "template": text})).collect();
        match files.chat_templates.as_slice() {
            [] => {}
            [(name, text)] if name == "default" => {
                config.insert("chat_template".into(), text.clone().into());
            }
            _ => {
                config.insert("chat_template".into(), templates.into());
            }
        }
        let config = serde_json::to_vec_pretty(&Value::Object(config))
            .map_err(|e| Error::internal(format!("JSON could not be written: {e}")))?;
        let files = vec![("tokenizer.json", tokenizer.json()?), ("tokenizer_config.json", config)];
        Ok(Self { files, eos_ids: tokenizer.eos_ids().to_vec() })
    }
}

/// Reads the keys `tokenizer.ggml.…`.
fn read(metadata: &Metadata) -> Result<Vocabulary> {
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
fn chat_templates(metadata: &Metadata) -> Result<Vec<(String, String)>> {
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
