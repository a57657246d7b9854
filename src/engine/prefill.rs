//! The prefill pass: a slice of one waiting prompt, each prompt in its turn.

use std::time::Instant;

use super::scheduler::Scheduler;
use crate::backend::{Backend, Ids, Rows};
use crate::error::{Code, Result};

impl<B: Backend> Scheduler<B> {
    /// Computes a slice of the next prompt in turn, or of the next text to score.
    pub(super) fn prefill(&mut self) -> Result<()> {
        let in_turn = self
            .rows
            .iter()
            .filter(|row| row.prefill_left() > 0)
            .map(|row| (row.id <= self.last_prefilled, row.id))
            .min()
            .map(|(_, id)| id);
        match in_turn {
            Some(id) if self.scores.is_empty() || id > self.last_prefilled => {
                self.last_prefilled = id;
                self.prefill_slice(id).or_else(|error| self.fail_rows(&[id], error))
            }
            _ => {
                // After all prompts had their turn, the scores have theirs.
                self.last_prefilled = 0;
                self.score_slice()
            }
        }
    }

    fn prefill_slice(&mut self, id: u64) -> Result<()> {
        let shared = self.rows.len() > 1 || !self.scores.is_empty();
        let Some(index) = self.row_index(id) else { return Ok(()) };
        let row = &self.rows[index];
        let (begin, left) = (row.sequence.len(), row.prefill_left());
        let len = self.pace.slice(shared, B::BATCH_INVARIANT).min(left);
        self.make_room(&[(begin, len)])?;

        let began = Instant::now();
        let row = &mut self.rows[index];
        let embedded = self.decoder.embed(Ids::Host(&row.tokens[begin..begin + len]))?;
        let rows = Rows::new([(begin, len)]);
        let channel = std::sync::Arc::clone(&row.job.channel);
        let hidden = match self.decoder.forward(embedded, &rows, &mut [&mut row.sequence], &|| channel.is_cancelled()) {
            Ok(hidden) => hidden,
            // The next turn ends the row.
            Err(error) if error.code() == Code::Cancelled => return Ok(()),
            Err(error) => return Err(error),
        };
        let last = len == left;
        let logits = last.then(|| self.decoder.logits(&hidden, &[len - 1])).transpose()?;
        self.backend.queue(None, logits.as_ref(), row.sequence.caches())?;
        self.backend.wait()?;
        let took = began.elapsed();
        self.pace.measured(len, took);
        row.prefilled(took);

        if let Some(logits) = logits {
            if row.job.sampler.is_greedy() {
                let token = self.backend.read_tokens(&self.backend.argmax(&logits)?)?;
                token.into_iter().for_each(|token| self.accept(id, token, None));
            } else {
                self.pick(id, &logits, 0, &mut Vec::new())?;
            }
        }
        Ok(())
    }
}
