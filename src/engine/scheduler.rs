//! Continuous batching for one model: a decode pass over all running generations, a slice of one waiting prompt.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::budget::Budget;
use super::job::{GenerateJob, Job};
use super::pace::Pace;
use super::prefix::{PrefixCache, usable};
use super::recipe::Recipe;
use super::row::Row;
use super::runner::Runner;
use super::score::ScoreTask;
use crate::arch::{self, Activations};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::event::{FinishReason, TokenLogprob};
use crate::nn::{Decoder, Sequence, caches_of};

/// The work of one model.
pub(super) struct Scheduler<B: Backend> {
    pub(super) backend: Rc<B>,
    pub(super) decoder: Decoder<B>,
    budget: Arc<Budget>,
    model: u64,
    /// Bytes of a sequence's recurrent states.
    states: u64,
    prefix_limit: u64,
    prefix: PrefixCache<B>,
    /// Jobs that have no sequence yet.
    waiting: VecDeque<Box<GenerateJob>>,
    /// Generations in prefill or decode.
    pub(super) rows: Vec<Row<B>>,
    pub(super) scores: VecDeque<ScoreTask<B>>,
    pub(super) in_flight: Option<InFlight<B>>,
    pub(super) pace: Pace,
    next_row: u64,
    /// The row whose prompt got the last slice; the next one in turn gets the next.
    pub(super) last_prefilled: u64,
}

/// Tokens that the device is picking while the host looks at the ones before.
pub(super) struct InFlight<B: Backend> {
    /// The rows, in the order of the tokens; rows that have ended meanwhile are no longer found.
    pub rows: Vec<u64>,
    pub tokens: B::Tokens,
}

impl<B: Backend> Scheduler<B> {
    pub fn new(backend: Rc<B>, decoder: Decoder<B>, recipe: &Recipe) -> Self {
        Self {
            states: arch::memory(decoder.spec(), 0, Activations::ByOperation, |_| 0).kv,
            backend,
            decoder,
            budget: Arc::clone(&recipe.budget),
            model: recipe.id,
            prefix_limit: recipe.prefix_cache_bytes.unwrap_or(u64::MAX),
            prefix: PrefixCache::new(),
            waiting: VecDeque::new(),
            rows: Vec::new(),
            scores: VecDeque::new(),
            in_flight: None,
            pace: Pace::default(),
            next_row: 1,
            last_prefilled: 0,
        }
    }

    /// Gives every waiting job a sequence, begun from the longest known prefix.
    fn admit(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            let needed = self.cache_bytes_of(job.prompt.len());
            let limit = self.budget.cache_limit(self.model);
            if needed > limit {
                let error = Error::out_of_memory(format!(
                    "the prompt of {} tokens needs {needed} bytes of cache; the memory limit leaves {limit}",
                    job.prompt.len()
                ))
                .with_hint("raise memory_limit_bytes or shorten the prompt");
                Job::Generate(job).fail(error);
                continue;
            }
            let sequence = self.begin(&job.prompt);
            self.rows.push(Row::new(self.next_row, job, sequence));
            self.next_row += 1;
        }
    }

    /// The longest state at hand that `prompt` begins with: kept from earlier, or of a running generation.
    fn begin(&mut self, prompt: &[u32]) -> Sequence<B> {
        let kept = self.prefix.find(prompt);
        let running = self
            .rows
            .iter()
            .map(|row| (usable(&row.sequence, &row.tokens, prompt), row))
            .max_by_key(|(len, _)| *len)
            .filter(|(len, _)| *len > kept.as_ref().map_or(0, Sequence::len) && self.prefix_limit > 0);
        match (running, kept) {
            (Some((len, row)), _) => {
                let mut sequence = row.sequence.fork();
                sequence.truncate(len);
                sequence
            }
            (None, Some(kept)) => kept,
            (None, None) => self.decoder.new_sequence(),
        }
    }

    /// Bytes that the caches and states of a sequence of `len` positions take.
    fn cache_bytes_of(&self, len: usize) -> u64 {
        let kept = self.decoder.spec().layers.iter().flat_map(caches_of);
        let caches: u64 = kept.map(|cache| self.backend.cache_bytes(cache.layout, cache.entries(len)) as u64).sum();
        // States don't grow, but for the one before the first step.
        caches + if len > 0 { self.states } else { 0 }
    }

    fn cache_bytes(&self) -> u64 {
        let rows: usize = self.rows.iter().map(|row| row.sequence.bytes()).sum();
        let scores: usize = self.scores.iter().map(ScoreTask::bytes).sum();
        (rows + scores + self.prefix.bytes()) as u64
    }

    /// Drops kept states until sequences of the given lengths may each grow by as many positions, within the budget.
    ///
    /// # Errors
    /// `OutOfMemory` when they may not even with all kept states gone.
    pub(super) fn make_room(&mut self, growth: &[(usize, usize)]) -> Result<()> {
        let bytes =
            |(len, by): &(usize, usize)| self.cache_bytes_of(len + by).saturating_sub(self.cache_bytes_of(*len));
        let more: u64 = growth.iter().map(bytes).sum();
        loop {
            let used = self.cache_bytes();
            self.budget.set_caches(self.model, used);
            let limit = self.budget.cache_limit(self.model);
            if used + more <= limit {
                return Ok(());
            }
            if !self.prefix.evict() {
                return Err(Error::out_of_memory(format!(
                    "the caches take {used} bytes and need {more} more; the memory limit leaves {limit}"
                ))
                .with_hint("raise memory_limit_bytes, run fewer generations at once, or shorten the prompts"));
            }
        }
    }

    pub(super) fn row_index(&self, id: u64) -> Option<usize> {
        self.rows.iter().position(|row| row.id == id)
    }

    /// Gives a row its next token and ends it where that is the last one.
    pub(super) fn accept(&mut self, id: u64, token: u32, logprob: Option<TokenLogprob>) {
        let Some(index) = self.row_index(id) else { return };
        match self.rows[index].accept(token, logprob) {
            Ok(None) => {}
            Ok(Some(reason)) => self.end(index, Ok(reason)),
            Err(error) => self.end(index, Err(error)),
        }
    }

    /// Ends a row and keeps its state.
    pub(super) fn end(&mut self, index: usize, end: Result<FinishReason>) {
        let (tokens, sequence) = self.rows.swap_remove(index).finish(end);
        if self.prefix_limit > 0 {
            self.prefix.insert(tokens, sequence);
            while self.prefix.bytes() as u64 > self.prefix_limit && self.prefix.evict() {}
        }
        self.budget.set_caches(self.model, self.cache_bytes());
    }
}

impl<B: Backend> Runner for Scheduler<B> {
    fn add(&mut self, job: Job) {
        match job {
            Job::Generate(job) => self.waiting.push_back(job),
            Job::Score(job) => {
                let sequence = self.decoder.new_sequence();
                self.scores.push_back(ScoreTask::new(job, sequence));
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty()
            || !self.scores.is_empty()
            || self.in_flight.is_some()
            || self.rows.iter().any(|row| row.prefill_left() > 0 || row.can_decode() || row.job.channel.is_cancelled())
    }

    fn step(&mut self) -> Result<()> {
        self.reap();
        self.admit();
        self.decode()?;
        self.prefill()
    }

    fn reap(&mut self) {
        let (cancelled, kept) = self.waiting.drain(..).partition(|job| job.channel.is_cancelled());
        self.waiting = kept;
        let cancelled: VecDeque<Box<GenerateJob>> = cancelled;
        for job in cancelled {
            let sequence = self.decoder.new_sequence();
            Row::new(0, job, sequence).finish(Ok(FinishReason::Cancelled));
        }
        for index in (0..self.rows.len()).rev() {
            if self.rows[index].job.channel.is_cancelled() {
                self.end(index, Ok(FinishReason::Cancelled));
            }
        }
    }

    fn trim(&mut self) {
        while self.prefix.evict() {}
        self.backend.trim();
        self.budget.set_caches(self.model, self.cache_bytes());
    }

    fn synchronize(&mut self) -> Result<()> {
        self.backend.wait()
    }

    fn fail_all(&mut self, error: &Error) {
        self.in_flight = None;
        self.waiting.drain(..).for_each(|job| Job::Generate(job).fail(error.clone()));
        self.rows.drain(..).for_each(|row| row.fail(error));
        self.scores.drain(..).for_each(|task| task.end(Err(error.clone())));
    }

    fn describe(&self) -> serde_json::Value {
        let memory = self.backend.memory();
        let mut description = serde_json::json!({
            "waiting": self.waiting.len() + self.rows.iter().filter(|row| row.prefill_left() > 0).count(),
            "running": self.rows.iter().filter(|row| row.prefill_left() == 0).count(),
            "cached_prefixes": self.prefix.len(),
            "cache_bytes": self.cache_bytes(),
            "active_bytes": memory.active,
            "peak_bytes": memory.peak,
            "reusable_bytes": memory.cached,
        });
        if let Some(profile) = self.backend.profile() {
            description["profile"] = serde_json::json!(profile);
        }
        description
    }
}
