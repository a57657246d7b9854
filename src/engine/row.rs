//! One running generation: its sequence, its tokens, and where its answer stands.

use std::time::{Duration, Instant};

use super::answer::AnswerBuilder;
use super::job::GenerateJob;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::event::{Done, Event, FinishReason, Timings, Usage};
use crate::nn::Sequence;

/// A generation in prefill or decode.
pub(super) struct Row<B: Backend> {
    /// Never reused within a model.
    pub id: u64,
    pub sequence: Sequence<B>,
    /// The prompt, then what was generated. The last one is not in the sequence yet.
    pub tokens: Vec<u32>,
    pub job: Box<GenerateJob>,
    answer: AnswerBuilder,
    cached: usize,
    prefill_time: Duration,
    first_token: Option<Instant>,
}

impl<B: Backend> Row<B> {
    /// A row whose sequence already holds the first tokens of the prompt.
    pub fn new(id: u64, mut job: Box<GenerateJob>, sequence: Sequence<B>) -> Self {
        let tokens = job.prompt.clone();
        job.sampler.observe_prompt(&tokens);
        let cached = sequence.len();
        let answer = AnswerBuilder::new(job.decoder.clone(), &job);
        job.channel.push(Event::Prompt { done: cached, total: tokens.len() });
        Self { id, sequence, tokens, job, answer, cached, prefill_time: Duration::ZERO, first_token: None }
    }

    /// Prompt tokens that are still to be computed.
    pub fn prefill_left(&self) -> usize {
        if self.first_token.is_some() { 0 } else { self.job.prompt.len() - self.sequence.len() }
    }

    /// Whether the row takes part in the next decode pass.
    pub fn can_decode(&self) -> bool {
        self.first_token.is_some() && self.job.channel.has_room()
    }

    /// Whether the last token was asked for already when one more is being computed.
    pub fn is_last(&self) -> bool {
        self.answer.len() + 1 >= self.job.max_tokens
    }

    /// Notes a computed slice of the prompt.
    pub fn prefilled(&mut self, took: Duration) {
        self.prefill_time += took;
        self.job.channel.push(Event::Prompt { done: self.sequence.len(), total: self.job.prompt.len() });
    }

    /// Takes in the next token; gives the reason if the generation ends with it.
    pub fn accept(&mut self, token: u32, logprob: Option<crate::event::TokenLogprob>) -> Result<Option<FinishReason>> {
        self.first_token.get_or_insert_with(Instant::now);
        self.tokens.push(token);
        self.job.sampler.observe(token);
        if self.answer.push(&self.job, token, logprob)? {
            return Ok(Some(FinishReason::Stop));
        }
        Ok((self.answer.len() >= self.job.max_tokens).then_some(FinishReason::Length))
    }

    /// Picks a token from a row of logits.
    pub fn pick(&mut self, logits: &mut [f32]) -> Result<(u32, Option<crate::event::TokenLogprob>)> {
        let picked = self.job.sampler.pick(logits, self.tokens.len() as u64)?;
        Ok((picked.token, picked.logprob))
    }

    /// Ends the generation and gives its state back for later prompts, with the tokens that it holds.
    pub fn finish(mut self, end: Result<FinishReason>) -> (Vec<u32>, Sequence<B>) {
        let end = end.and_then(|reason| self.answer.flush(&self.job).map(|()| reason));
        let completion_tokens = self.answer.len();
        let answer = self.answer.finish(&end);
        if let Some(on_end) = self.job.on_end.take() {
            on_end(answer);
        }
        match end {
            Ok(finish_reason) => {
                let done = self.summary(finish_reason, completion_tokens);
                tracing::debug!(?finish_reason, usage = ?done.usage, timings = ?done.timings, "a generation ended");
                self.job.channel.push(Event::Done(done));
                self.job.channel.end(Ok(()));
            }
            Err(error) => {
                tracing::debug!(%error, completion_tokens, "a generation failed");
                self.job.channel.end(Err(error));
            }
        }
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.truncate(self.sequence.len());
        (tokens, self.sequence)
    }

    /// Ends the generation with an error; its state is dropped.
    pub fn fail(self, error: &Error) {
        self.finish(Err(error.clone()));
    }

    fn summary(&self, finish_reason: FinishReason, completion_tokens: usize) -> Done {
        let rate = |tokens: usize, time: Duration| {
            if tokens == 0 || time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
        };
        let computed = self.sequence.len().min(self.job.prompt.len()).saturating_sub(self.cached);
        let first_token = self.first_token;
        Done {
            finish_reason,
            usage: Usage { prompt_tokens: self.job.prompt.len(), completion_tokens, cached_tokens: self.cached },
            timings: Timings {
                ttft_ms: first_token.map_or(0.0, |at| (at - self.job.started).as_secs_f64() * 1e3),
                prefill_tokens_per_second: rate(computed, self.prefill_time),
                decode_tokens_per_second: first_token
                    .map_or(0.0, |at| rate(completion_tokens.saturating_sub(1), at.elapsed())),
            },
        }
    }
}
