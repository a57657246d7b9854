//! The vocabularies of GGUF files: `tokenizer.ggml.model` tells the kind, `tokenizer.ggml.pre` how texts are split.
//!
//! Ids are those of llama.cpp with special tokens parsed. Like there, nothing is composed (NFC), because the files don't
//! say which models' own tokenizers do so.

use serde_json::json;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Merges, Vocab};

use super::merges::{self, Order};
use super::protobuf::{Algorithm, Kind, Piece, SentencePiece};
use super::sentencepiece::{self, Prefix};
use super::{Converted, Parts, byte_level, patterns, rule, shown, split, vocab};
use crate::error::{Code, Error, Result};

/// Texts that end an answer in one family or another, since many files name only one of a model's.
const ENDS: [&str; 9] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<turn|>",
    "<|endoftext|>",
];

/// What a GGUF file's metadata say of its tokenizer, by the keys `tokenizer.ggml.…`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    /// `model`: the kind.
    pub(crate) model: String,
    /// `pre`: how a byte-level vocabulary splits texts.
    pub(crate) pre: Option<String>,
    /// `general.name`.
    pub(crate) name: Option<String>,
    /// `tokens`; a token's place is its id.
    pub(crate) tokens: Vec<String>,
    /// `scores`, one for each token or none.
    pub(crate) scores: Vec<f32>,
    /// `token_type`, one for each token or none.
    pub(crate) kinds: Vec<i64>,
    /// `merges`: two tokens with a blank between them.
    pub(crate) merges: Vec<String>,
    /// `bos_token_id`, `eos_token_id` and so on.
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) eot: Option<u32>,
    pub(crate) eom: Option<u32>,
    pub(crate) unk: Option<u32>,
    pub(crate) pad: Option<u32>,
    /// `add_bos_token` and so on, where the file has them.
    pub(crate) add_bos: Option<bool>,
    pub(crate) add_eos: Option<bool>,
    pub(crate) add_space_prefix: Option<bool>,
    pub(crate) remove_extra_whitespaces: Option<bool>,
    /// `precompiled_charsmap`.
    pub(crate) charsmap: Vec<u8>,
}

impl Vocabulary {
    /// The special tokens that have a name in a chat template. Ids without a token have none.
    pub(in crate::text) fn named(&self) -> Vec<(String, String)> {
        let text = |id: Option<u32>| self.tokens.get(id? as usize).cloned();
        [("bos_token", self.bos), ("eos_token", self.eos), ("unk_token", self.unk), ("pad_token", self.pad)]
            .into_iter()
            .filter_map(|(name, id)| Some((name.to_owned(), text(id)?)))
            .collect()
    }

    /// The ids that end an answer: those that the file names, and control tokens that do so by their text.
    pub(in crate::text) fn ends(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = [self.eos, self.eot, self.eom].into_iter().flatten().collect();
        let harmony = self.tokens.iter().any(|token| token == "<|return|>");
        for (token, id) in self.tokens.iter().zip(0..) {
            let special = matches!(self.kind(id), Ok(Kind::Control | Kind::UserDefined));
            // In gpt-oss's format `<|end|>` ends a message, after which the answer goes on.
            if special && ENDS.contains(&&**token) && !(harmony && token == "<|end|>") {
                ids.push(id);
            }
        }
        ids
    }

    fn kind(&self, id: u32) -> std::result::Result<Kind, String> {
        match self.kinds.get(id as usize) {
            None => Ok(Kind::Normal),
            // 0 means undefined.
            Some(0) => Ok(Kind::Normal),
            Some(number) => Kind::of(*number).ok_or_else(|| format!("token {id} has type {number}")),
        }
    }
}

/// Builds the tokenizer of a vocabulary.
///
/// # Errors
/// `Unsupported` naming the kind; `CorruptFile` for one that is malformed.
pub(super) fn build(vocabulary: &Vocabulary) -> Result<Converted> {
    let corrupt = |message: String| Error::new(Code::CorruptFile, message);
    for (key, length) in [("scores", vocabulary.scores.len()), ("token_type", vocabulary.kinds.len())] {
        let count = vocabulary.tokens.len();
        if length != 0 && length != count {
            return Err(corrupt(format!("tokenizer.ggml.{key} has {length} entries for {count} tokens")));
        }
    }
    let pre = vocabulary.pre.as_deref().unwrap_or("default");
    let (parts, add_bos, add_eos) = match vocabulary.model.as_str() {
        "llama" => (sentencepiece(vocabulary, Algorithm::Bpe), true, false),
        "t5" => (sentencepiece(vocabulary, Algorithm::Unigram), false, true),
        "gemma4" => (escaped(vocabulary), true, false),
        "gpt2" if ["gemma4", "sarvam-moe"].contains(&pre) => (escaped(vocabulary), pre == "gemma4", false),
        "gpt2" => {
            let splitting = patterns::of(pre).ok_or_else(|| {
                Error::unsupported(format!("tokenizer.ggml.pre {pre:?} is not supported"))
                    .with_hint("use the same model as a folder with its tokenizer.json")
            })?;
            let add_bos = splitting.add_bos;
            (bytes(vocabulary, &splitting), add_bos, false)
        }
        other => {
            return Err(Error::unsupported(format!("tokenizer.ggml.model {other:?} is not supported"))
                .with_hint("supported are gpt2, llama, t5 and gemma4"));
        }
    };
    let around = |key: &str, wanted: bool, id: Option<u32>| match id {
        Some(id) if wanted => match vocabulary.tokens.get(id as usize) {
            Some(text) => Ok(Some((text.clone(), id))),
            None => {
                Err(format!("tokenizer.ggml.{key}_token_id is {id}, but there are {} tokens", vocabulary.tokens.len()))
            }
        },
        _ => Ok(None),
    };
    let built = parts.and_then(|mut parts| {
        parts.before = around("bos", vocabulary.add_bos.unwrap_or(add_bos), vocabulary.bos)?;
        parts.behind = around("eos", vocabulary.add_eos.unwrap_or(add_eos), vocabulary.eos)?;
        parts.assemble()
    });
    Ok((built.map_err(corrupt)?, Vec::new()))
}

/// Pieces with scores.
fn sentencepiece(vocabulary: &Vocabulary, algorithm: Algorithm) -> std::result::Result<Parts, String> {
    let pieces = (0u32..)
        .zip(texts(vocabulary))
        .map(|(id, text)| {
            let score = vocabulary.scores.get(id as usize).copied().unwrap_or_default();
            Ok(Piece { text, score, kind: vocabulary.kind(id)? })
        })
        .collect::<std::result::Result<Vec<_>, String>>()?;
    let unk = vocabulary.unk.unwrap_or(if algorithm == Algorithm::Bpe { 0 } else { 2 });
    let unigram = algorithm == Algorithm::Unigram;
    let prefix = vocabulary.add_space_prefix.unwrap_or(true);
    let model = SentencePiece {
        algorithm,
        byte_fallback: pieces.iter().any(|piece| piece.kind == Kind::Byte),
        unk_id: i32::try_from(unk).unwrap_or(-1),
        unk_piece: pieces.get(unk as usize).map(|piece| piece.text.clone()).unwrap_or_default(),
        bos_piece: None,
        eos_piece: None,
        charsmap: if unigram { vocabulary.charsmap.clone() } else { Vec::new() },
        add_dummy_prefix: prefix,
        remove_extra_whitespaces: unigram && vocabulary.remove_extra_whitespaces.unwrap_or(false),
        escape_whitespaces: true,
        pieces,
    };
    // Those with blanks are found behind the normalizer only, which spells blanks as `▁`.
    let isolated: Vec<&str> = model
        .pieces
        .iter()
        .filter(|piece| piece.kind == Kind::UserDefined && piece.text.contains('▁'))
        .map(|piece| &*piece.text)
        .collect();
    let prefix = if prefix { Prefix::Always } else { Prefix::Never };
    sentencepiece::faithful(&model, prefix, &isolated, added(vocabulary)?)
}

/// Byte pairs over texts whose blanks are spelled as `▁`, with merges.
fn escaped(vocabulary: &Vocabulary) -> std::result::Result<Parts, String> {
    let texts = texts(vocabulary);
    let vocab = vocab(texts.iter().map(|text| &**text))?;
    let merges = merges_of(vocabulary, &texts, &vocab)?;
    let mut builder = BPE::builder().fuse_unk(true).byte_fallback(true);
    if let Some(unk) = vocabulary.unk.and_then(|id| texts.get(id as usize)) {
        builder = builder.unk_token(unk.clone());
    }
    let model = builder.vocab_and_merges(vocab, merges).build().map_err(|e| e.to_string())?;
    Ok(Parts {
        model: model.into(),
        normalizers: vec![rule(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}))?],
        pre_tokenizers: vec![],
        decoders: sentencepiece::decoders(true, false),
        added: added(vocabulary)?,
        before: None,
        behind: None,
    })
}

/// Byte pairs over bytes spelled as characters, with merges.
fn bytes(vocabulary: &Vocabulary, splitting: &patterns::Splitting) -> std::result::Result<Parts, String> {
    let texts = texts(vocabulary);
    let vocab = vocab(texts.iter().map(|text| &**text))?;
    let merges = merges_of(vocabulary, &texts, &vocab)?;
    let model = BPE::builder().ignore_merges(splitting.ignore_merges).vocab_and_merges(vocab, merges).build();
    Ok(Parts {
        model: model.map_err(|e| e.to_string())?.into(),
        normalizers: vec![],
        pre_tokenizers: splitting.patterns.iter().map(|pattern| split(pattern)).chain([byte_level()]).collect(),
        decoders: vec![byte_level()],
        added: added(vocabulary)?,
        before: None,
        behind: None,
    })
}

/// The tokens' texts. An empty one gets a text that nothing is, so that ids stay what they are.
fn texts(vocabulary: &Vocabulary) -> Vec<String> {
    let text = |(id, text): (usize, &String)| if text.is_empty() { format!("[EMPTY_{id}]") } else { text.clone() };
    vocabulary.tokens.iter().enumerate().map(text).collect()
}

/// The file's merges, or where there are none those that follow from the order of the tokens, as with tiktoken.
fn merges_of(vocabulary: &Vocabulary, texts: &[String], vocab: &Vocab) -> std::result::Result<Merges, String> {
    if vocabulary.merges.is_empty() {
        let normal: Vec<&str> = (0u32..)
            .zip(texts)
            .filter(|(id, _)| vocabulary.kind(*id).is_ok_and(|kind| kind == Kind::Normal))
            .map(|(_, text)| &**text)
            .collect();
        return merges::of(&normal, vocab, Order::LowestIds);
    }
    let merge = |(at, merge): (usize, &String)| {
        let blank = merge.char_indices().skip(1).find(|(_, c)| *c == ' ');
        let (left, right) = blank
            .map(|(blank, _)| (&merge[..blank], &merge[blank + 1..]))
            .ok_or_else(|| format!("merge {at} is {:?} instead of two tokens", shown(merge)))?;
        for token in [left, right] {
            if !vocab.contains_key(token) {
                return Err(format!("merge {at} is of {:?}, which is no token", shown(token)));
            }
        }
        Ok((left.to_owned(), right.to_owned()))
    };
    vocabulary.merges.iter().enumerate().map(merge).collect()
}

/// Control tokens, which text output leaves out, and tokens that are found before anything else.
fn added(vocabulary: &Vocabulary) -> std::result::Result<Vec<AddedToken>, String> {
    // The first Phi-3 files don't say that blanks behind a token belong to it.
    let phi3 = vocabulary.name.as_deref().map(str::to_lowercase);
    let phi3 = vocabulary.model == "llama" && phi3.is_some_and(|name| name.contains("phi-3") || name.contains("phi3"));
    let mut added = Vec::new();
    for (id, text) in (0u32..).zip(texts(vocabulary)) {
        let special = match vocabulary.kind(id)? {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined if !(vocabulary.model == "llama" && text.contains('▁')) => false,
            _ => continue,
        };
        let rstrip = phi3 && !["<unk>", "<s>", "<|endoftext|>"].contains(&&*text);
        added.push(AddedToken::from(text, special).normalized(false).rstrip(rstrip));
    }
    Ok(added)
}
