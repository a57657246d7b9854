//! Turns picked tokens into events: detokenized, cut at stop strings, with their log-probabilities.

use super::job::{Answer, GenerateJob};
use crate::error::Result;
use crate::event::{Event, FinishReason, TokenLogprob};
use crate::output::StopMatcher;
use crate::text::StreamDecoder;

/// The answer of one generation so far.
pub(super) struct AnswerBuilder {
    decoder: StreamDecoder,
    stop: StopMatcher,
    /// All text given to the host.
    text: String,
    tokens: Vec<u32>,
    /// Tokens and log-probabilities not yet in an event, because their text is not whole or may become a stop string.
    held_tokens: Vec<u32>,
    held_logprobs: Vec<TokenLogprob>,
    stopped: bool,
    ended_by_eos: bool,
}

impl AnswerBuilder {
    pub fn new(decoder: StreamDecoder, job: &GenerateJob) -> Self {
        Self {
            decoder,
            stop: StopMatcher::new(&job.stop),
            text: String::new(),
            tokens: Vec::new(),
            held_tokens: Vec::new(),
            held_logprobs: Vec::new(),
            stopped: false,
            ended_by_eos: false,
        }
    }

    /// Takes in a token. Gives whether the answer ends with it.
    pub fn push(&mut self, job: &GenerateJob, token: u32, logprob: Option<TokenLogprob>) -> Result<bool> {
        self.tokens.push(token);
        self.held_tokens.push(token);
        self.held_logprobs.extend(logprob);
        if job.eos.contains(&token) {
            self.ended_by_eos = true;
            return Ok(true);
        }
        let piece = self.decoder.push(token)?;
        let (text, stopped) = self.stop.push(&piece);
        self.stopped = stopped;
        if !text.is_empty() {
            self.emit(job, text);
        }
        Ok(stopped)
    }

    /// Gives the host what is still held.
    pub fn flush(&mut self, job: &GenerateJob) -> Result<()> {
        let mut rest = String::new();
        if !self.stopped {
            let piece = self.decoder.finish()?;
            let (text, stopped) = self.stop.push(&piece);
            rest = text;
            self.stopped = stopped;
            if !stopped {
                rest.push_str(&self.stop.finish());
            }
        }
        if !rest.is_empty() || !self.held_tokens.is_empty() {
            self.emit(job, rest);
        }
        Ok(())
    }

    fn emit(&mut self, job: &GenerateJob, text: String) {
        self.text.push_str(&text);
        if !self.held_logprobs.is_empty() {
            job.channel.push(Event::Logprobs(std::mem::take(&mut self.held_logprobs)));
        }
        job.channel.push(Event::Text { text, tokens: std::mem::take(&mut self.held_tokens) });
    }

    /// Tokens generated.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The summary for the session.
    pub fn finish(&mut self, end: &Result<FinishReason>) -> Answer {
        let mut tokens = std::mem::take(&mut self.tokens);
        if self.ended_by_eos {
            tokens.pop();
        }
        Answer {
            failed_early: end.is_err() && tokens.is_empty(),
            text: std::mem::take(&mut self.text),
            tokens: (!self.stopped).then_some(tokens),
            complete: matches!(end, Ok(FinishReason::Stop | FinishReason::Length)),
        }
    }
}
