//! SentencePiece models (`tokenizer.model`), converted as transformers 5 does it: for the classes of Llama and Gemma by
//! the rules of those classes, otherwise so that the result does what SentencePiece itself does.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled};

use super::merges::{self, Order};
use super::protobuf::{Algorithm, Kind, Piece, SentencePiece};
use super::{Converted, Parts, rule, shown, split, vocab};
use crate::text::config::TokenizerConfig;

/// What can't be converted, and why.
type Result<T> = std::result::Result<T, String>;

/// The most bytes of a pattern for pieces that are always tokens of their own.
const MAX_ISOLATED: usize = 1 << 20;

/// How blanks are spelled in the vocabulary.
const BLANK: &str = "▁";

/// Model types whose `tokenizer_class` transformers doesn't go by, because it is wrong on the hub.
const WITHOUT_CLASS: [&str; 23] = [
    "ernie4_5",
    "ernie4_5_moe",
    "glm",
    "glm4",
    "glm4_moe",
    "granite",
    "granitemoe",
    "granitemoehybrid",
    "internlm2",
    "internlm3",
    "jamba",
    "minicpm3",
    "ministral3",
    "mistral",
    "mistral3",
    "mixtral",
    "nemotron",
    "olmo2",
    "olmo3",
    "phi3",
    "phimoe",
    "pixtral",
    "stablelm",
];

/// Where a text gets a `▁` in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Never,
    /// At its start.
    First,
    /// At its start and behind every added token.
    Always,
}

/// The rules of a tokenizer class of transformers.
struct Class {
    prefix: Prefix,
    escapes: bool,
    unk_token: bool,
    /// Special tokens that the class names itself.
    names: &'static [(&'static str, &'static str)],
}

/// Builds the tokenizer of a `tokenizer.model`.
///
/// # Errors
/// What is malformed.
pub(super) fn build(bytes: &[u8], model_type: Option<&str>, config: &TokenizerConfig) -> Result<Converted> {
    let mut model = SentencePiece::parse(bytes)?;
    rename(&mut model.pieces, config);
    let special = |kind| AddedToken::from(String::new(), kind != Kind::UserDefined).normalized(false);
    let added = |kinds: &[Kind]| -> Vec<AddedToken> {
        let pieces = model.pieces.iter().filter(|piece| kinds.contains(&piece.kind));
        pieces.map(|piece| AddedToken { content: piece.text.clone(), ..special(piece.kind) }).collect()
    };
    let mut names = vec![];
    let mut parts = match class(model_type, config) {
        Some(class) => {
            names.extend(class.names.iter().map(|(name, text)| (*name, (*text).to_owned())));
            of_class(&model, &class, added(&[Kind::Control, Kind::UserDefined]))?
        }
        None => {
            let legacy = config.legacy.unwrap_or(true);
            let prefix = match model.add_dummy_prefix {
                true if legacy => Prefix::Always,
                true => Prefix::First,
                false => Prefix::Never,
            };
            let isolated = texts(&model, Kind::UserDefined);
            faithful(&model, prefix, &isolated, added(&[Kind::Control]))?
        }
    };
    for (name, piece) in [("bos_token", &model.bos_piece), ("eos_token", &model.eos_piece)] {
        names.extend(piece.clone().map(|piece| (name, piece)));
    }
    names.push(("unk_token", model.unk_piece.clone()));
    let token = |name: &str, wanted: bool| {
        let named = config.token(name).or_else(|| names.iter().find(|(key, _)| *key == name).map(|(_, text)| &**text));
        let text = named.filter(|_| wanted)?;
        let id = model.pieces.iter().position(|piece| piece.text == text)?;
        Some((text.to_owned(), u32::try_from(id).ok()?))
    };
    parts.before = token("bos_token", config.add_bos_token);
    parts.behind = token("eos_token", config.add_eos_token);
    Ok((parts.assemble()?, names))
}

/// Gives pieces the texts that `added_tokens_decoder` has for their ids: models bring pieces to be named later.
fn rename(pieces: &mut [Piece], config: &TokenizerConfig) {
    let named: HashSet<usize> = config.added.iter().map(|(id, _)| *id as usize).collect();
    let kept = pieces.iter().enumerate().filter(|(id, _)| !named.contains(id));
    let kept: HashSet<String> = kept.map(|(_, piece)| piece.text.clone()).collect();
    for (id, token) in &config.added {
        if let Some(piece) = pieces.get_mut(*id as usize).filter(|_| !kept.contains(&token.content)) {
            piece.text.clone_from(&token.content);
        }
    }
}

fn class(model_type: Option<&str>, config: &TokenizerConfig) -> Option<Class> {
    if model_type.is_some_and(|model_type| WITHOUT_CLASS.contains(&model_type)) {
        return None;
    }
    match config.class.as_deref()?.trim_end_matches("Fast") {
        "LlamaTokenizer" | "CodeLlamaTokenizer" => {
            let prefix = match config.add_prefix_space {
                Some(false) => Prefix::Never,
                _ if config.legacy == Some(true) => Prefix::Always,
                _ => Prefix::First,
            };
            Some(Class { prefix, escapes: false, unk_token: false, names: &[] })
        }
        "GemmaTokenizer" => Some(Class {
            prefix: Prefix::Never,
            escapes: true,
            unk_token: true,
            names: &[("pad_token", "<pad>"), ("mask_token", "<mask>")],
        }),
        _ => None,
    }
}

fn texts(model: &SentencePiece, kind: Kind) -> Vec<&str> {
    model.pieces.iter().filter(|piece| piece.kind == kind).map(|piece| &*piece.text).collect()
}

/// Byte pairs with merges in the order of their ids, whatever the model says of its algorithm and normalizer.
fn of_class(model: &SentencePiece, class: &Class, added: Vec<AddedToken>) -> Result<Parts> {
    let tokens: Vec<&str> = model.pieces.iter().map(|piece| &*piece.text).collect();
    let vocab = vocab(tokens.iter().copied())?;
    let merges = merges::of(&tokens, &vocab, Order::ShortestFirst)?;
    let mut builder = BPE::builder().fuse_unk(true).byte_fallback(true);
    if class.unk_token && vocab.contains_key(&model.unk_piece) {
        builder = builder.unk_token(model.unk_piece.clone());
    }
    let bpe = builder.vocab_and_merges(vocab, merges).build().map_err(|e| e.to_string())?;
    let (normalizers, pre_tokenizers) = match class.escapes {
        true => (vec![escape()?], vec![]),
        false => (vec![], vec![metaspace(class.prefix)]),
    };
    let decoders = decoders(true, class.prefix != Prefix::Never);
    Ok(Parts { model: bpe.into(), normalizers, pre_tokenizers, decoders, added, before: None, behind: None })
}

/// What SentencePiece does. `isolated` are texts that are always tokens of their own.
pub(super) fn faithful(
    model: &SentencePiece,
    prefix: Prefix,
    isolated: &[&str],
    added: Vec<AddedToken>,
) -> Result<Parts> {
    let tokens = model.pieces.iter().map(|piece| &*piece.text);
    let vocab = vocab(tokens)?;
    let wrapper: ModelWrapper = match model.algorithm {
        Algorithm::Bpe => bpe(model, vocab, !isolated.is_empty())?.into(),
        Algorithm::Unigram => {
            let pieces = model.pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score))).collect();
            let unk = usize::try_from(model.unk_id).ok();
            Unigram::from(pieces, unk, model.byte_fallback).map_err(|e| e.to_string())?.into()
        }
    };
    let mut normalizers = vec![];
    if !model.charsmap.is_empty() {
        normalizers.push(charsmap(&model.charsmap)?);
    }
    if model.remove_extra_whitespaces {
        normalizers.push(replace(&json!({"Regex": r"\A +| +\z"}), "")?);
        normalizers.push(replace(&json!({"Regex": " {2,}"}), " ")?);
    }
    if model.escape_whitespaces {
        normalizers.push(escape()?);
    }
    let mut pre_tokenizers = vec![];
    match prefix {
        Prefix::Never => {}
        // Not a rule of its own, because that would put nothing in front of a `▁`.
        Prefix::Always => normalizers.push(rule(json!({"type": "Prepend", "prepend": BLANK}))?),
        Prefix::First => pre_tokenizers.push(metaspace(prefix)),
    }
    if !isolated.is_empty() {
        let mut isolated: Vec<String> = isolated.iter().map(|text| fancy_escape(text)).collect();
        let length: usize = isolated.iter().map(String::len).sum();
        if length > MAX_ISOLATED {
            return Err(format!(
                "its {} user-defined pieces have {length} bytes, more than {MAX_ISOLATED}",
                isolated.len()
            ));
        }
        isolated.sort_by_key(|text| std::cmp::Reverse(text.len()));
        pre_tokenizers.push(split(&isolated.join("|")));
    }
    let decoders = decoders(model.byte_fallback, prefix != Prefix::Never);
    Ok(Parts { model: wrapper, normalizers, pre_tokenizers, decoders, added, before: None, behind: None })
}

/// Byte pairs: of two neighbours those are joined first whose piece has the highest score.
fn bpe(model: &SentencePiece, vocab: Vocab, ignore_merges: bool) -> Result<BPE> {
    let mut ranked: Vec<&Piece> = model.pieces.iter().filter(|piece| piece.kind == Kind::Normal).collect();
    if let Some(piece) = ranked.iter().find(|piece| piece.score.is_nan()) {
        return Err(format!("the score of piece {:?} is no number", shown(&piece.text)));
    }
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    let tokens: Vec<&str> = ranked.iter().map(|piece| &*piece.text).collect();
    let parts: Vocab = tokens.iter().filter_map(|text| Some(((*text).to_owned(), *vocab.get(*text)?))).collect();
    let merges = merges::of(&tokens, &parts, Order::ShortestFirst)?;
    let mut builder = BPE::builder().fuse_unk(true).byte_fallback(model.byte_fallback).ignore_merges(ignore_merges);
    if vocab.contains_key(&model.unk_piece) {
        builder = builder.unk_token(model.unk_piece.clone());
    }
    builder.vocab_and_merges(vocab, merges).build().map_err(|e| e.to_string())
}

/// The rules for characters: a trie's size, the trie, texts. The crate reserves what the size says.
fn charsmap(bytes: &[u8]) -> Result<NormalizerWrapper> {
    let size = bytes.first_chunk::<4>().map(|size| u64::from(u32::from_le_bytes(*size)));
    match size {
        Some(size) if size >= 4 && size + 4 <= bytes.len() as u64 => {}
        _ => return Err(format!("its character map of {} bytes has a trie of {size:?}", bytes.len())),
    }
    Ok(NormalizerWrapper::Precompiled(Precompiled::from(bytes).map_err(|e| e.to_string())?))
}

fn replace(pattern: &Value, content: &str) -> Result<NormalizerWrapper> {
    rule(json!({"type": "Replace", "pattern": pattern, "content": content}))
}

fn escape() -> Result<NormalizerWrapper> {
    replace(&json!({"String": " "}), BLANK)
}

fn metaspace(prefix: Prefix) -> Value {
    let scheme = match prefix {
        Prefix::Never => "never",
        Prefix::First => "first",
        Prefix::Always => "always",
    };
    json!({"type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": false})
}

pub(super) fn decoders(byte_fallback: bool, strip: bool) -> Vec<Value> {
    let mut decoders = vec![json!({"type": "Replace", "pattern": {"String": BLANK}, "content": " "})];
    if byte_fallback {
        decoders.push(json!({"type": "ByteFallback"}));
    }
    decoders.push(json!({"type": "Fuse"}));
    if strip {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    decoders
}

/// A text as a pattern for itself.
fn fancy_escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() || c.is_ascii_whitespace() {
            pattern.push_str(&format!("\\x{:02X}", u32::from(c)));
        } else {
            pattern.push(c);
        }
    }
    pattern
}
