//! Tokenizers out of the files that models bring instead of a `tokenizer.json`: SentencePiece models, tiktoken's lists
//! of ranks, RWKV's list of tokens, the vocabularies of GGUF files.

mod gguf;
mod merges;
mod patterns;
mod protobuf;
mod rwkv;
mod sentencepiece;
#[cfg(test)]
mod tests;
mod tiktoken;

use serde_json::{Value, json};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::Vocab;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{AddedToken, Tokenizer};

use super::config::TokenizerConfig;
use super::files::{TextFiles, TokenizerFile};
use super::guard::guarded;
use super::longest::LongestMatch;
use crate::error::{Error, Result};

pub(crate) use gguf::Vocabulary;
pub(super) use patterns::GPT2;
pub(crate) use rwkv::is_name as is_rwkv_name;

/// A tokenizer, and the texts of special tokens that its file names (`bos_token`, …).
type Converted = (Tokenizer, Vec<(&'static str, String)>);

/// A tokenizer that [`build`] made.
pub(super) struct Built {
    pub backend: Tokenizer,
    /// Texts of special tokens that the file names.
    pub named: Vec<(&'static str, String)>,
    /// What cuts texts instead of the model.
    pub longest: Option<LongestMatch>,
}

impl From<Converted> for Built {
    fn from((backend, named): Converted) -> Self {
        Self { backend, named, longest: None }
    }
}

/// Builds the tokenizer of a file that is no `tokenizer.json`.
///
/// # Errors
/// `CorruptFile` naming the file and what is wrong in it; `Unsupported` naming the kind of vocabulary.
pub(super) fn build(files: &TextFiles, config: &TokenizerConfig) -> Result<Built> {
    let file = files.tokenizer_name();
    let corrupt = |message: String| Error::corrupt(&file, message);
    guarded(&file, "building the tokenizer", || {
        Ok::<_, String>(match &files.tokenizer {
            TokenizerFile::Json(_) => Err(Error::internal("a tokenizer.json is not converted")),
            TokenizerFile::Vocabulary(vocabulary) => {
                gguf::build(vocabulary).map(Built::from).map_err(|error| error.context(&file))
            }
            TokenizerFile::Model(name, bytes) if rwkv::is_name(name) => rwkv::build(bytes, config)
                .map(|(backend, longest)| Built { backend, named: Vec::new(), longest: Some(longest) })
                .map_err(corrupt),
            TokenizerFile::Model(name, bytes) if tiktoken::is_name(name) || tiktoken::is_list(bytes) => {
                tiktoken::build(name, bytes, config).map(|tokenizer| (tokenizer, Vec::new()).into()).map_err(corrupt)
            }
            TokenizerFile::Model(_, bytes) => {
                sentencepiece::build(bytes, files.model_type.as_deref(), config).map(Built::from).map_err(corrupt)
            }
        })
    })?
}

/// What a tokenizer is made of; rules are written as in a `tokenizer.json`.
struct Parts {
    model: ModelWrapper,
    normalizers: Vec<NormalizerWrapper>,
    pre_tokenizers: Vec<Value>,
    decoders: Vec<Value>,
    added: Vec<AddedToken>,
    /// Tokens before and behind every text, with their ids.
    before: Option<(String, u32)>,
    behind: Option<(String, u32)>,
}

impl Parts {
    fn assemble(self) -> std::result::Result<Tokenizer, String> {
        let mut tokenizer = Tokenizer::new(self.model);
        if !self.normalizers.is_empty() {
            let sequence = tokenizers::normalizers::Sequence::new(self.normalizers);
            tokenizer.with_normalizer(Some(NormalizerWrapper::Sequence(sequence))).map_err(|e| e.to_string())?;
        }
        if !self.pre_tokenizers.is_empty() {
            let sequence = json!({"type": "Sequence", "pretokenizers": self.pre_tokenizers});
            tokenizer.with_pre_tokenizer(Some(rule::<PreTokenizerWrapper>(sequence)?));
        }
        if !self.decoders.is_empty() {
            let sequence = json!({"type": "Sequence", "decoders": self.decoders});
            tokenizer.with_decoder(Some(rule::<DecoderWrapper>(sequence)?));
        }
        tokenizer.with_post_processor(around(self.before.as_ref(), self.behind.as_ref())?);
        tokenizer.add_tokens(self.added).map_err(|e| e.to_string())?;
        Ok(tokenizer)
    }
}

/// The post-processor that puts tokens around a text.
fn around(
    before: Option<&(String, u32)>,
    behind: Option<&(String, u32)>,
) -> std::result::Result<Option<PostProcessorWrapper>, String> {
    let token = |(text, _): &(String, u32)| json!({"SpecialToken": {"id": text, "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let single: Vec<Value> = before.map(token).into_iter().chain([text]).chain(behind.map(token)).collect();
    if single.len() == 1 {
        return Ok(None);
    }
    let tokens: serde_json::Map<String, Value> = before
        .into_iter()
        .chain(behind)
        .map(|(text, id)| (text.clone(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    rule(json!({"type": "TemplateProcessing", "single": single, "pair": [
        {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": tokens}))
    .map(Some)
}

fn rule<T: serde::de::DeserializeOwned>(rule: Value) -> std::result::Result<T, String> {
    serde_json::from_value(rule).map_err(|e| e.to_string())
}

fn split(pattern: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

fn byte_level() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false})
}

/// The ids of tokens by their texts.
///
/// # Errors
/// Which token is empty or there twice.
fn vocab<'a>(tokens: impl Iterator<Item = &'a str>) -> std::result::Result<Vocab, String> {
    let mut vocab = Vocab::new();
    for (token, id) in tokens.zip(0u32..) {
        if token.is_empty() {
            return Err(format!("token {id} is empty"));
        }
        if let Some(first) = vocab.insert(token.to_owned(), id) {
            return Err(format!("tokens {first} and {id} are both {:?}", shown(token)));
        }
    }
    if vocab.is_empty() {
        return Err("the vocabulary is empty".into());
    }
    Ok(vocab)
}

/// A token for a message, cut where it is long.
fn shown(token: &str) -> String {
    token.chars().take(40).collect()
}
