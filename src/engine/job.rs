//! What the worker is asked to compute.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::channel::Channel;
use super::score::Score;
use crate::error::{Error, Result};
use crate::sample::Sampler;
use crate::text::StreamDecoder;

/// Work for a model. Dropping a job that had no end gives its host an error.
pub(crate) enum Job {
    /// Continue a prompt.
    Generate(Box<GenerateJob>),
    /// Log-probabilities of given tokens.
    Score(ScoreJob),
}

/// Continue a prompt.
pub(crate) struct GenerateJob {
    /// At least one token, all below the vocabulary's size; fits the context with room for one more.
    pub prompt: Vec<u32>,
    /// Tokens to generate, at least 1; prompt and answer fit the context.
    pub max_tokens: usize,
    /// Picks tokens.
    pub sampler: Sampler,
    /// Ids that end the answer; empty to go on past them.
    pub eos: Vec<u32>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Makes text of tokens.
    pub decoder: StreamDecoder,
    /// Where events go.
    pub channel: Arc<Channel>,
    /// Hears of the end before the host does.
    pub on_end: Option<OnEnd>,
    /// When the host asked.
    pub started: Instant,
}

/// Called on the worker with what was generated, before the host sees the last event.
pub(crate) type OnEnd = Box<dyn FnOnce(Answer) + Send>;

/// What a generation produced.
#[derive(Default)]
pub(crate) struct Answer {
    /// The text that the host was given.
    pub text: String,
    /// Tokens whose text is exactly `text`; absent when a stop string cut the text inside a token or an error came.
    pub tokens: Option<Vec<u32>>,
    /// Whether the answer ended by itself or at its length, not by a cancel or an error.
    pub complete: bool,
    /// Whether it failed before any token was generated.
    pub failed_early: bool,
}

impl Drop for GenerateJob {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end(Answer { failed_early: true, ..Answer::default() });
        }
        self.channel.abandon();
    }
}

/// Log-probabilities of given tokens.
pub(crate) struct ScoreJob {
    /// At least one token, all below the vocabulary's size; fits the context.
    pub tokens: Vec<u32>,
    /// Alternatives for each position.
    pub top: usize,
    /// Where the result goes.
    pub reply: Sender<Result<Score>>,
}

impl Job {
    /// Ends the job with an error.
    pub fn fail(self, error: Error) {
        match self {
            Self::Generate(mut job) => {
                if let Some(on_end) = job.on_end.take() {
                    on_end(Answer { failed_early: true, ..Answer::default() });
                }
                job.channel.end(Err(error));
            }
            Self::Score(job) => {
                // The asker may have given up.
                let _ = job.reply.send(Err(error));
            }
        }
    }
}
