//! From logits to a token: penalties, bias, filters, temperature, draw.

use super::argmax::{argmax, checked_max};
use super::exp::exp_sum;
use super::history::History;
use super::random::uniform;
use super::select::{Buckets, Candidate, top};
use crate::error::Result;
use crate::event::TokenLogprob;
use crate::request::Sampling;

/// From this number of tokens on, summing up the whole vocabulary is cheaper than gathering them.
const MANY: usize = 4096;

/// A token that was picked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picked {
    /// Its id.
    pub(crate) token: u32,
    /// Its log-probability, when the request asks for it.
    pub(crate) logprob: Option<TokenLogprob>,
}

/// Picks the tokens of one generation.
///
/// In this order: repetition penalty (tokens of prompt and answer), presence and frequency penalty (tokens of the
/// answer), logit bias; then `top_p`, `min_p` and `top_k`, each as a set computed at temperature 1 and all of them
/// intersected, as in mlx-lm; then temperature; then a draw among what is left, by inverse distribution function in
/// the order of descending probability, lower ids first among equals, with a random number that depends on seed and
/// position alone. At temperature 0 the most likely token after penalties and bias is picked.
///
/// Log-probabilities are reported of the model's own logits, before any of this.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    sampling: Sampling,
    history: History,
}

impl Sampler {
    /// A sampler for a vocabulary of `vocab` tokens; ids from there on are ignored where they are observed.
    pub(crate) fn new(sampling: Sampling, vocab: usize) -> Self {
        Self { sampling, history: History::new(vocab) }
    }

    /// Whether every pick is the arg-max of the model's logits and nothing else is asked for, so that the backend
    /// may pick and the logits need not be read.
    pub(crate) fn is_greedy(&self) -> bool {
        let s = &self.sampling;
        s.temperature == 0.0 && s.logprobs.is_none() && s.logit_bias.is_empty() && !self.penalizes()
    }

    /// Notes the tokens of the prompt.
    pub(crate) fn observe_prompt(&mut self, ids: &[u32]) {
        if self.penalizes() {
            self.history.observe_prompt(ids);
        }
    }

    /// Notes a generated token.
    pub(crate) fn observe(&mut self, id: u32) {
        if self.penalizes() {
            self.history.observe(id);
        }
    }

    /// Picks the token that comes at `position`, counted from the start of the context. Overwrites the logits.
    ///
    /// # Errors
    /// `Internal` naming the token when a logit is NaN or +∞, or when all are −∞.
    pub(crate) fn pick(&mut self, logits: &mut [f32], position: u64) -> Result<Picked> {
        let model = match self.sampling.logprobs {
            Some(alternatives) => Some(measure(logits, alternatives)?),
            None => None,
        };
        let mut original = Vec::new();
        let mut remember = |id: u32, logit: f32| {
            if model.is_some() {
                original.push((id, logit));
            }
        };
        if self.penalizes() {
            // Checked first: a penalty could turn an infinite logit into a finite one or the other way round.
            checked_max(logits)?;
            self.history.penalize(&self.sampling, logits, &mut remember);
        }
        for (id, bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(*id as usize) {
                remember(*id, *logit);
                *logit += bias;
            }
        }
        let token = if self.sampling.temperature == 0.0 { argmax(logits)? } else { self.draw(logits, position)? };
        let logprob = model.map(|(log_total, top)| {
            // The first note of a token is the model's logit, later ones are penalized already.
            let noted = original.iter().find(|(id, _)| *id == token).map(|(_, logit)| *logit);
            let logit = noted.unwrap_or_else(|| logits[token as usize]);
            TokenLogprob { token, logprob: (f64::from(logit) - log_total) as f32, top }
        });
        Ok(Picked { token, logprob })
    }

    fn penalizes(&self) -> bool {
        let s = &self.sampling;
        s.repetition_penalty != 1.0 || s.presence_penalty != 0.0 || s.frequency_penalty != 0.0
    }

    fn draw(&self, logits: &[f32], position: u64) -> Result<u32> {
        let s = &self.sampling;
        let max = checked_max(logits)?;
        let u = uniform(s.seed, position);
        if s.top_p == 1.0 && s.top_k == 0 && s.min_p == 0.0 {
            return Ok(Buckets::new(logits, max, s.temperature).reach(u, Candidate::END).id());
        }
        // Every filter keeps the tokens up to some point of the order; what all of them keep ends at the first.
        let mut buckets = Buckets::new(logits, max, 1.0);
        let mut limit = Candidate::END;
        if s.min_p > 0.0 {
            limit = Candidate::new(0, max + s.min_p.ln()).after_ties();
        }
        if s.top_k > 0 {
            limit = limit.min(buckets.nth(s.top_k));
        }
        if s.top_p < 1.0 {
            limit = limit.min(buckets.reach(f64::from(s.top_p), Candidate::END).after_ties());
        }
        let few = limit != Candidate::END && buckets.tokens_up_to(limit) < MANY;
        Ok(match s.temperature {
            1.0 => buckets.reach(u, limit),
            temperature if few => buckets.reach_at(temperature, u, limit),
            temperature => Buckets::new(logits, max, temperature).reach(u, limit),
        }
        .id())
    }
}

/// The log-probability of a given token under a row of logits, with the `alternatives` most likely tokens.
///
/// # Errors
/// `Internal` naming the token when a logit is NaN or +∞, or when all are −∞.
pub(crate) fn token_logprob(logits: &[f32], token: u32, alternatives: usize) -> Result<TokenLogprob> {
    let (log_total, top) = measure(logits, alternatives)?;
    let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    Ok(TokenLogprob { token, logprob: (f64::from(logit) - log_total) as f32, top })
}

/// The logarithm of Σ e^logit, and the best tokens with their log-probabilities.
fn measure(logits: &[f32], alternatives: usize) -> Result<(f64, Vec<(u32, f32)>)> {
    let max = checked_max(logits)?;
    let log_total = f64::from(max) + exp_sum(logits, max).ln();
    let logprob = |c: &Candidate| (c.id(), (f64::from(c.logit()) - log_total) as f32);
    Ok((log_total, top(logits, alternatives).iter().map(logprob).collect()))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
