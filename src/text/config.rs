//! `tokenizer_config.json` and its older companion `special_tokens_map.json`.

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::files::{TextFiles, TokenizerFile};
use crate::error::{Error, Result};

/// The special tokens that have a name in every model.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What the tokenizer and the chat template need of it.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenizerConfig {
    /// Special tokens by name: those of [`NAMES`] and a model's own, such as `image_token`.
    pub(super) named: Vec<(String, String)>,
    /// Special tokens without a name.
    pub(super) extra: Vec<String>,
    /// Tokens that belong to the vocabulary, with their ids.
    pub(super) added: Vec<(u32, AddedToken)>,
    /// `tokenizer_class`: the class of transformers that a tokenizer without a `tokenizer.json` is meant for.
    pub(super) class: Option<String>,
    /// `legacy`: whether a blank comes in front of a text behind every added token, and not only at the start.
    pub(super) legacy: Option<bool>,
    /// `add_prefix_space`.
    pub(super) add_prefix_space: Option<bool>,
    /// `add_bos_token` and `add_eos_token`, which count only where there is no `tokenizer.json`.
    pub(super) add_bos_token: bool,
    pub(super) add_eos_token: bool,
    /// `chat_template`: a text, or a list of names and texts.
    pub(super) chat_template: Option<Value>,
}

impl TokenizerConfig {
    /// # Errors
    /// `CorruptFile` when a file is not a JSON object, or an added token is malformed.
    pub(super) fn parse(files: &TextFiles) -> Result<Self> {
        let mut keys = object(files, "tokenizer_config.json", files.tokenizer_config.as_deref())?;
        let declared = keys.remove("added_tokens_decoder");
        let mut older = Map::new();
        if declared.is_none() {
            // As transformers does: the older files count only when the newer table is missing.
            older = object(files, "added_tokens.json", files.added_tokens.as_deref())?;
            keys.extend(object(files, "special_tokens_map.json", files.special_tokens_map.as_deref())?);
        }
        let flag = |name: &str| keys.get(name).and_then(Value::as_bool);
        let mut config = Self {
            class: keys.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned),
            legacy: flag("legacy"),
            add_prefix_space: flag("add_prefix_space"),
            add_bos_token: flag("add_bos_token").unwrap_or(false),
            add_eos_token: flag("add_eos_token").unwrap_or(false),
            ..Self::default()
        };
        config.chat_template = keys.remove("chat_template");
        if let TokenizerFile::Vocabulary(vocabulary) = &files.tokenizer {
            config.named = vocabulary.named();
        }
        for (id, token) in declared.as_ref().and_then(Value::as_object).into_iter().flatten() {
            config.added.push(added_token(id, token).ok_or_else(|| {
                Error::corrupt(
                    files.name("tokenizer_config.json"),
                    format!("added_tokens_decoder has a malformed token {id:?}"),
                )
            })?);
        }
        for (key, value) in keys {
            match (key.as_str(), &value) {
                ("additional_special_tokens" | "extra_special_tokens", Value::Array(tokens)) => {
                    config.extra.extend(tokens.iter().filter_map(content).map(str::to_owned));
                }
                ("extra_special_tokens", Value::Object(tokens)) => {
                    config.named.extend(tokens.iter().filter_map(|(k, v)| Some((k.clone(), content(v)?.to_owned()))));
                }
                (name, value) if NAMES.contains(&name) || name.ends_with("_token") => {
                    if let Some(text) = content(value) {
                        config.named.push((key, text.to_owned()));
                    }
                }
                _ => {}
            }
        }
        for (text, id) in older {
            let special = config.extra.contains(&text) || config.named.iter().any(|(_, other)| *other == text);
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                Error::corrupt(files.name("added_tokens.json"), format!("{text:?} has the id {id}, which is none"))
            })?;
            config.added.push((id, AddedToken::from(text, special)));
        }
        if matches!(files.tokenizer, TokenizerFile::Model(..)) {
            // They are found before a converted tokenizer's normalizer puts a blank in front of the text.
            config.added.iter_mut().for_each(|(_, token)| token.normalized = false);
        }
        config.added.sort_by_key(|(id, _)| *id);
        Ok(config)
    }

    /// The text of a named special token.
    pub(super) fn token(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
    }
}

/// The ids of `eos_token_id` in `generation_config.json`: a number or a list.
pub(super) fn generation_eos(files: &TextFiles) -> Result<Vec<u32>> {
    let keys = object(files, "generation_config.json", files.generation_config.as_deref())?;
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    Ok(match keys.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    })
}

fn object(files: &TextFiles, name: &str, bytes: Option<&[u8]>) -> Result<Map<String, Value>> {
    let Some(bytes) = bytes else { return Ok(Map::new()) };
    serde_json::from_slice(bytes).map_err(|e| Error::corrupt(files.name(name), e))
}

/// A token is its text, or an object with its `content`.
fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str()).filter(|text| !text.is_empty())
}

fn added_token(id: &str, value: &Value) -> Option<(u32, AddedToken)> {
    let flag = |key: &str, default: bool| value.get(key).map_or(Some(default), Value::as_bool);
    let special = flag("special", false)?;
    let token = AddedToken::from(value.get("content")?.as_str()?, special)
        .single_word(flag("single_word", false)?)
        .lstrip(flag("lstrip", false)?)
        .rstrip(flag("rstrip", false)?)
        .normalized(flag("normalized", !special)?);
    Some((id.parse().ok()?, token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn files(config: &str) -> TextFiles {
        TextFiles { label: "m".into(), tokenizer_config: Some(config.into()), ..TextFiles::default() }
    }

    #[test]
    fn reads_tokens_as_text_and_as_objects() {
        let config = TokenizerConfig::parse(&files(
            r#"{"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null,
                "image_token": "<img>", "additional_special_tokens": ["<a>", {"content": "<b>"}],
                "extra_special_tokens": {"audio_token": "<aud>"}, "add_bos_token": true, "unk_token": ""}"#,
        ))
        .unwrap();
        assert_eq!(config.token("bos_token"), Some("<s>"));
        assert_eq!(config.token("eos_token"), Some("</s>"));
        assert_eq!(config.token("image_token"), Some("<img>"));
        assert_eq!(config.token("audio_token"), Some("<aud>"));
        assert_eq!(config.extra, ["<a>", "<b>"]);
        for absent in ["pad_token", "unk_token", "add_bos_token"] {
            assert_eq!(config.token(absent), None, "{absent}");
        }
    }

    #[test]
    fn the_older_map_counts_without_the_newer_table() {
        let map = Some(br#"{"eos_token": "<old>", "cls_token": "<cls>"}"#.to_vec());
        let mut older = files(r#"{"eos_token": "<new>"}"#);
        older.special_tokens_map.clone_from(&map);
        let config = TokenizerConfig::parse(&older).unwrap();
        assert_eq!((config.token("eos_token"), config.token("cls_token")), (Some("<old>"), Some("<cls>")));
        let mut newer = files(r#"{"eos_token": "<new>", "added_tokens_decoder": {}}"#);
        newer.special_tokens_map = map;
        let config = TokenizerConfig::parse(&newer).unwrap();
        assert_eq!((config.token("eos_token"), config.token("cls_token")), (Some("<new>"), None));
    }

    #[test]
    fn the_older_table_of_added_tokens_counts_without_the_newer_one() {
        let table = |config: &str, table: &str| {
            TokenizerConfig::parse(&TextFiles { added_tokens: Some(table.into()), ..files(config) })
        };
        let config = table(r#"{"eos_token": "<e>"}"#, r#"{"<e>": 9, "x": 8}"#).unwrap();
        assert_eq!(config.added, [(8, AddedToken::from("x", false)), (9, AddedToken::from("<e>", true))]);
        assert_eq!(table(r#"{"added_tokens_decoder": {}}"#, r#"{"x": 8}"#).unwrap().added, []);
        for (json, part) in
            [(r#"{"x": "8"}"#, "\"x\" has the id \"8\""), (r#"{"x": 4294967296}"#, "4294967296"), ("[]", "")]
        {
            let error = table("{}", json).unwrap_err();
            assert_eq!(error.code(), Code::CorruptFile);
            assert!(error.message().starts_with("m/added_tokens.json: ") && error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn added_tokens_come_in_the_order_of_their_ids() {
        let config = TokenizerConfig::parse(&files(
            r#"{"added_tokens_decoder": {"10": {"content": "b", "special": true}, "9": {"content": "a", "rstrip": true}}}"#,
        ))
        .unwrap();
        assert_eq!(config.added[0], (9, AddedToken::from("a", false).rstrip(true)));
        assert_eq!(config.added[1], (10, AddedToken::from("b", true)));
    }

    #[test]
    fn malformed_files_are_named() {
        for (json, part) in [
            ("[]", "m/tokenizer_config.json: "),
            ("{", "m/tokenizer_config.json: EOF"),
            (r#"{"added_tokens_decoder": {"x": {"content": "a"}}}"#, "malformed token \"x\""),
            (r#"{"added_tokens_decoder": {"1": {"content": 5}}}"#, "malformed token \"1\""),
            (r#"{"added_tokens_decoder": {"1": {"content": "a", "special": 1}}}"#, "malformed token \"1\""),
            (r#"{"added_tokens_decoder": {"99999999999": {"content": "a"}}}"#, "malformed token \"99999999999\""),
        ] {
            let error = TokenizerConfig::parse(&files(json)).unwrap_err();
            assert_eq!(error.code(), Code::CorruptFile);
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn eos_ids_of_the_generation_config() {
        let ids =
            |json: &str| generation_eos(&TextFiles { generation_config: Some(json.into()), ..TextFiles::default() });
        assert_eq!(ids(r#"{"eos_token_id": 2}"#).unwrap(), [2]);
        assert_eq!(ids(r#"{"eos_token_id": [2, 7, -1]}"#).unwrap(), [2, 7]);
        assert_eq!(ids(r#"{"eos_token_id": null}"#).unwrap(), [0u32; 0]);
        assert_eq!(ids("{}").unwrap(), [0u32; 0]);
        assert!(ids("nonsense").is_err());
    }
}
