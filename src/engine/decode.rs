//! The decode pass: one token for every running generation.

use super::scheduler::{InFlight, Scheduler};
use crate::backend::{Backend, Ids, Rows};
use crate::error::{Error, Result};

impl<B: Backend> Scheduler<B> {
    /// One token for each row that can take one.
    pub(super) fn decode(&mut self) -> Result<()> {
        let batch: Vec<u64> = self.rows.iter().filter(|row| row.can_decode()).map(|row| row.id).collect();
        let result = match self.in_flight.take() {
            Some(in_flight) => self.advance(in_flight, &batch),
            None => self.launch(&batch),
        };
        result.or_else(|error| self.fail_rows(&batch, error))
    }

    /// Computes the rows' next position. On a pipelined backend, the tokens of greedy rows are not waited for.
    fn launch(&mut self, batch: &[u64]) -> Result<()> {
        let batch = self.fit(batch);
        if batch.is_empty() {
            return Ok(());
        }
        let ids: Vec<u32> = self.in_batch(&batch).filter_map(|row| row.tokens.last().copied()).collect();
        let logits = self.forward(&batch, Ids::Host(&ids))?;
        if self.all_greedy(&batch) {
            let tokens = self.backend.argmax(&logits)?;
            if B::PIPELINED {
                self.queue(&tokens, &batch)?;
                self.in_flight = Some(InFlight { rows: batch, tokens });
                return Ok(());
            }
            let picked = self.backend.read_tokens(&tokens)?;
            batch.iter().zip(picked).for_each(|(id, token)| self.accept(*id, token, None));
            return Ok(());
        }
        let mut scratch = Vec::new();
        for (row, id) in batch.into_iter().enumerate() {
            self.pick(id, &logits, row, &mut scratch)?;
        }
        Ok(())
    }

    /// Queues the step after the one in flight, if it is one of the same rows, before it waits for the latter's tokens.
    ///
    /// A row that turns out to end with the token read has the state of just that token more, which is a valid state.
    fn advance(&mut self, in_flight: InFlight<B>, batch: &[u64]) -> Result<()> {
        let same = batch == in_flight.rows
            && self.all_greedy(batch)
            && self.in_batch(batch).all(|row| !row.is_last())
            && self.make_room(&self.growth(batch)).is_ok();
        let next = if same {
            let logits = self.forward(batch, Ids::Device(&in_flight.tokens))?;
            let tokens = self.backend.argmax(&logits)?;
            self.queue(&tokens, batch)?;
            Some(InFlight { rows: in_flight.rows.clone(), tokens })
        } else {
            None
        };
        let picked = self.backend.read_tokens(&in_flight.tokens)?;
        in_flight.rows.iter().zip(picked).for_each(|(id, token)| self.accept(*id, token, None));
        self.in_flight = next;
        Ok(())
    }

    /// The rows of `batch` that may grow by one position within the memory budget; the youngest of the others end.
    fn fit(&mut self, batch: &[u64]) -> Vec<u64> {
        let mut batch = batch.to_vec();
        while !batch.is_empty() {
            let Err(error) = self.make_room(&self.growth(&batch)) else { break };
            let Some(youngest) = batch.iter().copied().max() else { break };
            batch.retain(|id| *id != youngest);
            if let Some(index) = self.row_index(youngest) {
                self.end(index, Err(error));
            }
        }
        batch
    }

    fn growth(&self, batch: &[u64]) -> Vec<(usize, usize)> {
        self.in_batch(batch).map(|row| (row.sequence.len(), 1)).collect()
    }

    /// Runs one position of each row and gives the logits, in the order of the rows.
    fn forward(&mut self, batch: &[u64], ids: Ids<'_, B::Operands>) -> Result<B::Tensor> {
        let in_batch = self.rows.iter_mut().filter(|row| batch.contains(&row.id));
        let mut sequences: Vec<_> = in_batch.map(|row| &mut row.sequence).collect();
        let rows = Rows::new(sequences.iter().map(|sequence| (sequence.len(), 1)));
        let hidden = self.decoder.forward(self.decoder.embed(ids)?, &rows, &mut sequences, &|| false)?;
        let all: Vec<usize> = (0..rows.len()).collect();
        self.decoder.logits(&hidden, &all)
    }

    fn queue(&self, tokens: &B::Tokens, batch: &[u64]) -> Result<()> {
        self.backend.queue(Some(tokens), None, self.in_batch(batch).flat_map(|row| row.sequence.caches()))
    }

    /// Picks a row's token on the host. A failure ends only that row.
    pub(super) fn pick(&mut self, id: u64, logits: &B::Tensor, row: usize, scratch: &mut Vec<f32>) -> Result<()> {
        scratch.clear();
        self.backend.read_logits(logits, row, scratch)?;
        if let Some(index) = self.row_index(id) {
            match self.rows[index].pick(scratch) {
                Ok((token, logprob)) => self.accept(id, token, logprob),
                Err(error) => self.end(index, Err(error)),
            }
        }
        Ok(())
    }

    fn all_greedy(&self, batch: &[u64]) -> bool {
        self.in_batch(batch).all(|row| row.job.sampler.is_greedy())
    }

    fn in_batch(&self, batch: &[u64]) -> impl Iterator<Item = &super::row::Row<B>> {
        self.rows.iter().filter(|row| batch.contains(&row.id))
    }

    /// Ends the given rows with an error, or passes it on where the whole model is in doubt.
    pub(super) fn fail_rows(&mut self, ids: &[u64], error: Error) -> Result<()> {
        if super::runner::is_fatal(&error) {
            return Err(error);
        }
        for id in ids {
            if let Some(index) = self.row_index(*id) {
                self.end(index, Err(error.clone()));
            }
        }
        Ok(())
    }
}
