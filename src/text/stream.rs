//! Tokens to text while they are generated.

use super::decoder::StreamingDecoder;
use super::guard::guarded;
use super::tokenizer::Tokenizer;
use crate::error::Result;

/// How many tokens of the context are looked at: enough for the bytes of any unfinished character.
const CONTEXT_TOKENS: usize = 8;

/// The text of tokens as they come, special tokens left out.
///
/// All pieces together are what [`Tokenizer::decode`] makes of the context and the tokens, less what it makes of the
/// context alone. A piece is whole characters; where a later token could still change the end of the text, that end
/// is held back: an unfinished character, and with byte fallback a whole run of byte tokens.
#[derive(Debug, Clone)]
pub(crate) struct StreamDecoder {
    tokenizer: Tokenizer,
    decoder: StreamingDecoder,
}

impl StreamDecoder {
    /// A decoder of what follows `context`, the ids of the prompt: they settle whether a blank at the start is text.
    ///
    /// # Errors
    /// `CorruptFile` when the tokenizer's decoder fails.
    pub(crate) fn new(tokenizer: &Tokenizer, context: &[u32]) -> Result<Self> {
        let decoder = StreamingDecoder::new(tokenizer.decoder());
        let mut stream = Self { tokenizer: tokenizer.clone(), decoder };
        let mut last: Vec<u32> =
            context.iter().rev().filter(|id| stream.text_token(**id).is_some()).take(CONTEXT_TOKENS).copied().collect();
        while let Some(id) = last.pop() {
            stream.push(id)?;
        }
        let decoder = &mut stream.decoder;
        guarded(tokenizer.file(), "decoding", || decoder.end_context())?;
        Ok(stream)
    }

    /// Takes the next token and returns the text that is certain now, which may be empty.
    ///
    /// # Errors
    /// `CorruptFile` when the tokenizer's decoder fails.
    pub(crate) fn push(&mut self, id: u32) -> Result<String> {
        let mut text = String::new();
        if let Some(token) = self.text_token(id) {
            let decoder = &mut self.decoder;
            guarded(self.tokenizer.file(), "decoding", || decoder.push(token, &mut text))?;
        }
        Ok(text)
    }

    /// The text that was held back; an unfinished character comes as U+FFFD.
    ///
    /// # Errors
    /// `CorruptFile` when the tokenizer's decoder fails.
    pub(crate) fn finish(&mut self) -> Result<String> {
        let mut text = String::new();
        let decoder = &mut self.decoder;
        guarded(self.tokenizer.file(), "decoding", || decoder.finish(&mut text))?;
        Ok(text)
    }

    fn text_token(&self, id: u32) -> Option<String> {
        self.tokenizer.token(id).filter(|token| !self.tokenizer.is_special_text(token))
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
