//! Log-probabilities of given tokens.

use serde::Serialize;

use super::job::ScoreJob;
use super::scheduler::Scheduler;
use crate::backend::{Backend, Ids, Rows};
use crate::error::{Error, Result};
use crate::nn::Sequence;
use crate::sample::token_logprob;

/// Tokens a slice: the logits of all of them are held at once.
const SLICE: usize = 32;

/// Log-probabilities (natural logarithm) of a text's tokens under a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The token ids.
    pub tokens: Vec<u32>,
    /// Of each token given those before it; none for the first.
    pub logprobs: Vec<Option<f32>>,
    /// For each position, the most likely ids for the token after it, best first.
    pub top: Vec<Vec<(u32, f32)>>,
    /// `exp` of the mean negative log-probability; 1 for a single token.
    pub perplexity: f64,
}

/// A text that is being scored.
pub(super) struct ScoreTask<B: Backend> {
    job: ScoreJob,
    sequence: Sequence<B>,
    score: Score,
}

impl<B: Backend> ScoreTask<B> {
    pub fn new(job: ScoreJob, sequence: Sequence<B>) -> Self {
        let score = Score { tokens: job.tokens.clone(), logprobs: vec![None], top: Vec::new(), perplexity: 1.0 };
        Self { job, sequence, score }
    }

    /// Takes in the logits of the next position.
    fn push(&mut self, logits: &[f32]) -> Result<()> {
        let next = self.score.tokens.get(self.score.top.len() + 1).copied();
        let scored = token_logprob(logits, next.unwrap_or(0), self.job.top)?;
        if next.is_some() {
            self.score.logprobs.push(Some(scored.logprob));
        }
        self.score.top.push(scored.top);
        Ok(())
    }

    /// Bytes of its state.
    pub fn bytes(&self) -> usize {
        self.sequence.bytes()
    }

    /// Gives the result to the asker.
    pub fn end(mut self, end: Result<()>) {
        let known: Vec<f64> = self.score.logprobs.iter().flatten().map(|p| f64::from(*p)).collect();
        if !known.is_empty() {
            self.score.perplexity = (-known.iter().sum::<f64>() / known.len() as f64).exp();
        }
        // The asker may have given up.
        let _ = self.job.reply.send(end.map(|()| self.score));
    }
}

impl<B: Backend> Scheduler<B> {
    /// Computes a slice of the text in turn.
    pub(super) fn score_slice(&mut self) -> Result<()> {
        let Some(mut task) = self.scores.pop_front() else { return Ok(()) };
        match self.run_slice(&mut task) {
            Ok(()) if task.sequence.len() == task.score.tokens.len() => task.end(Ok(())),
            Ok(()) => self.scores.push_back(task),
            Err(error) => {
                let fatal = super::runner::is_fatal(&error);
                task.end(Err(error.clone()));
                if fatal {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn run_slice(&mut self, task: &mut ScoreTask<B>) -> Result<()> {
        let begin = task.sequence.len();
        let end = (begin + SLICE).min(task.score.tokens.len());
        // The task is in none of the lists that are counted while it is in its turn.
        self.make_room(&[(0, end)])?;
        let embedded = self.decoder.embed(Ids::Host(&task.score.tokens[begin..end]))?;
        let rows = Rows::new([(begin, end - begin)]);
        let hidden = self.decoder.forward(embedded, &rows, &mut [&mut task.sequence], &|| false)?;
        let all: Vec<usize> = (0..end - begin).collect();
        let logits = self.decoder.logits(&hidden, &all)?;
        self.backend.queue(None, Some(&logits), task.sequence.caches())?;
        let mut scratch = Vec::new();
        for row in all {
            scratch.clear();
            self.backend.read_logits(&logits, row, &mut scratch)?;
            task.push(&scratch)?;
        }
        Ok(())
    }
}

/// The error for a text without tokens.
pub(super) fn nothing_to_score() -> Error {
    Error::invalid("the text to score has no tokens").with_hint("give at least one token")
}
