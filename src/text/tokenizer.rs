//! The tokenizer of a model: `tokenizer.json`, or what [`convert`](super::convert) makes, as transformers loads it.

use std::collections::HashSet;
use std::sync::Arc;

use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::utils::SysRegex;
use tokenizers::{AddedToken, Decoder as _};

use super::config::{TokenizerConfig, generation_eos};
use super::convert::{self, Built};
use super::files::{TextFiles, TokenizerFile};
use super::growth;
use super::guard::{guarded, on_own_thread};
use super::longest::LongestMatch;
use crate::error::{Error, Result};

/// From this length on a text is looked at for what the patterns' engine can't take.
const LONG_TEXT: usize = 100_000;

/// A tokenizer; clones share it.
///
/// Special tokens are added around a text as the post-processor of `tokenizer.json` says. Like transformers, it
/// ignores `add_bos_token` and `add_eos_token` of `tokenizer_config.json` where there is one, and padding and truncation
/// are off.
#[derive(Debug, Clone)]
pub(crate) struct Tokenizer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: String,
    backend: tokenizers::Tokenizer,
    /// Cuts texts instead of the backend.
    longest: Option<LongestMatch>,
    eos: Vec<u32>,
    /// Texts of added tokens that split a text before them whatever comes before.
    borders: Vec<String>,
    /// Patterns with lookaround, for [`check_long`](Tokenizer::check_long).
    patterns: Vec<SysRegex>,
}

impl Tokenizer {
    /// Builds the tokenizer; `eos_from_config` are the ids that the model's `config.json` names.
    ///
    /// # Errors
    /// `CorruptFile` naming the file that is malformed.
    pub(crate) fn from_files(files: &TextFiles, eos_from_config: &[u32]) -> Result<Self> {
        let file = files.tokenizer_name();
        let mut config = TokenizerConfig::parse(files)?;
        let Built { mut backend, named, longest } = on_own_thread(|| match &files.tokenizer {
            TokenizerFile::Json(json) => {
                let load = || tokenizers::Tokenizer::from_bytes(json).map(|backend| (backend, Vec::new()).into());
                guarded(&file, "loading the tokenizer", load)
            }
            _ => convert::build(files, &config),
        })?;
        for (name, text) in named {
            if config.token(name).is_none() {
                config.named.push((name.to_owned(), text));
            }
        }
        guarded(&file, "checking the rules", || {
            growth::check(&backend.get_normalizer())?;
            growth::check(&backend.get_pre_tokenizer())?;
            growth::check(&backend.get_decoder())
        })?;
        guarded(&file, "preparing the tokenizer", || {
            backend.with_padding(None);
            backend.with_truncation(None)?;
            without_dropout(&mut backend);
            add_tokens(&mut backend, &config)
        })?;

        let mut eos = eos_from_config.to_vec();
        eos.extend(generation_eos(files)?);
        if let TokenizerFile::Vocabulary(vocabulary) = &files.tokenizer {
            eos.extend(vocabulary.ends());
        }
        eos.extend(config.token("eos_token").and_then(|text| backend.token_to_id(text)));
        let mut seen = HashSet::new();
        eos.retain(|id| seen.insert(*id));

        let plain = backend.get_normalizer().is_none();
        let borders = backend
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .values()
            .filter(|t| !t.lstrip && !t.single_word && (plain || !t.normalized) && !t.content.is_empty())
            .map(|t| t.content.clone())
            .collect();
        let patterns = guarded(&file, "reading the patterns", || {
            let mut patterns = Vec::new();
            lookaround_patterns(backend.get_pre_tokenizer(), &mut patterns);
            patterns.iter().map(|p| SysRegex::new(p)).collect::<std::result::Result<Vec<_>, _>>()
        })?;
        Ok(Self { shared: Arc::new(Shared { file, backend, longest, eos, borders, patterns }) })
    }

    /// The ids of a text, with the special tokens around it (such as BOS) if `add_special`.
    ///
    /// # Errors
    /// `InvalidArgument` for a text that the tokenizer's pattern can't split; `CorruptFile` when the tokenizer fails.
    pub(crate) fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        self.check_long(text)?;
        let shared = &*self.shared;
        on_own_thread(|| {
            guarded(&shared.file, "tokenizing", || match &shared.longest {
                Some(longest) => Ok(longest.encode(&shared.backend, text, add_special)),
                None => shared.backend.encode_fast(text, add_special).map(|encoding| encoding.get_ids().to_vec()),
            })
        })
    }

    /// The text of ids, without special tokens if `skip_special`. Ids without a token are left out.
    ///
    /// # Errors
    /// `CorruptFile` when the tokenizer's decoder fails.
    pub(crate) fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let tokens: Vec<String> =
            ids.iter().filter_map(|id| self.token(*id)).filter(|t| !skip_special || !self.is_special_text(t)).collect();
        match self.decoder() {
            _ if tokens.is_empty() => Ok(String::new()),
            Some(decoder) => guarded(&self.shared.file, "decoding", || decoder.decode(tokens)),
            None => Ok(tokens.join(" ")),
        }
    }

    /// How many tokens there are, added ones included. Ids may be higher, where a vocabulary has holes.
    #[cfg(test)]
    pub(crate) fn vocab_size(&self) -> usize {
        self.shared.backend.get_vocab_size(true)
    }

    /// Whether the id is that of a special token, which text output leaves out.
    #[cfg(test)]
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.token(id).is_some_and(|token| self.is_special_text(&token))
    }

    /// Whether the id is that of an added token, which splits the text around it.
    #[cfg(test)]
    pub(crate) fn is_added(&self, id: u32) -> bool {
        self.shared.backend.get_added_vocabulary().get_added_tokens_decoder().contains_key(&id)
    }

    /// Whether a text begins with an added token that splits it from whatever comes before, so that its ids after
    /// another text are the same as on its own.
    pub(crate) fn starts_with_added_token(&self, text: &str) -> bool {
        self.shared.borders.iter().any(|token| text.starts_with(token.as_str()))
    }

    /// The ids that end a text: those of `config.json`, `generation_config.json` and the `eos_token`.
    pub(crate) fn eos_ids(&self) -> &[u32] {
        &self.shared.eos
    }

    /// The id of a token by its exact text in the vocabulary.
    #[cfg(test)]
    pub(crate) fn token_id(&self, token: &str) -> Option<u32> {
        self.shared.backend.token_to_id(token)
    }

    /// The same tokenizer as a `tokenizer.json`.
    pub(super) fn json(&self) -> Result<Vec<u8>> {
        let shared = &*self.shared;
        guarded(&shared.file, "writing the tokenizer", || shared.backend.to_string(true)).map(String::into_bytes)
    }

    /// A token as the vocabulary spells it.
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.shared.backend.id_to_token(id)
    }

    pub(super) fn is_special_text(&self, token: &str) -> bool {
        self.shared.backend.get_added_vocabulary().is_special_token(token)
    }

    pub(super) fn decoder(&self) -> Option<&DecoderWrapper> {
        self.shared.backend.get_decoder()
    }

    pub(super) fn file(&self) -> &str {
        &self.shared.file
    }

    /// Refuses what the backend would tokenize wrongly without a word: its pattern engine backtracks at most a
    /// million steps, and where it gives up (in a million blanks, for instance) the rest of the text is not split.
    fn check_long(&self, text: &str) -> Result<()> {
        if text.len() < LONG_TEXT {
            return Ok(());
        }
        for pattern in &self.shared.patterns {
            let end = guarded(&self.shared.file, "splitting", || {
                Ok::<_, String>(pattern.find_iter(text).last().map_or(0, |(_, end)| end))
            })?;
            if text.len() - end >= LONG_TEXT {
                let start: String = text[end..].chars().take(20).collect();
                return Err(Error::invalid(format!(
                    "the tokenizer can't split the text from byte {end} on: {} bytes beginning with {start:?}",
                    text.len() - end
                ))
                .with_hint("break up long runs of one kind of character, such as blanks"));
            }
        }
        Ok(())
    }
}

/// Training noise: with it the same text would give different ids every time.
fn without_dropout(backend: &mut tokenizers::Tokenizer) {
    if let ModelWrapper::BPE(bpe) = backend.get_model()
        && bpe.dropout.is_some()
    {
        let mut bpe = bpe.clone();
        bpe.dropout = None;
        backend.with_model(bpe);
    }
}

/// Adds what `tokenizer_config.json` names beyond `tokenizer.json`, as transformers does, but never a token whose id
/// the model may have no embedding for: one that is neither in the vocabulary nor declared with the id it would get.
fn add_tokens(backend: &mut tokenizers::Tokenizer, config: &TokenizerConfig) -> tokenizers::Result<()> {
    let mut next = backend.get_vocab_size(true) as u32;
    let mut declared: Vec<AddedToken> = Vec::new();
    let mut texts = HashSet::new();
    for (id, token) in &config.added {
        let added = backend.get_added_vocabulary().get_vocab().contains_key(&token.content);
        let known = backend.token_to_id(&token.content);
        if !added && known.unwrap_or(next) == *id && texts.insert(token.content.as_str()) {
            next += u32::from(known.is_none());
            declared.push(token.clone());
        }
    }
    // All at once, because each call prepares the search for all of them.
    backend.add_tokens(declared)?;
    let names = config.named.iter().map(|(_, text)| text).chain(&config.extra);
    let mut special: Vec<AddedToken> = Vec::new();
    for text in names {
        let Some(id) = backend.token_to_id(text) else { continue };
        let added = backend.get_added_vocabulary();
        match added.get_added_tokens_decoder().get(&id) {
            Some(token) if token.special => {}
            Some(token) => special.push(token.clone().special(true)),
            None => special.push(AddedToken::from(text.as_str(), true).normalized(false)),
        }
    }
    if !special.is_empty() {
        backend.add_special_tokens(special)?;
    }
    Ok(())
}

/// Patterns with lookaround, which backtrack; the others run in linear time.
fn lookaround_patterns(pre_tokenizer: Option<&PreTokenizerWrapper>, patterns: &mut Vec<String>) {
    match pre_tokenizer {
        Some(PreTokenizerWrapper::Sequence(sequence)) => {
            sequence.as_ref().iter().for_each(|part| lookaround_patterns(Some(part), patterns));
        }
        Some(PreTokenizerWrapper::Split(split)) => match &split.pattern {
            SplitPattern::Regex(pattern) if !split.invert && pattern.contains("(?!") => patterns.push(pattern.clone()),
            _ => {}
        },
        Some(PreTokenizerWrapper::ByteLevel(bytes)) if bytes.use_regex => patterns.push(convert::GPT2.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
