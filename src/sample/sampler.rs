//! From logits to a token: penalties, bias, filters, temperature, draw.

use super::argmax::{argmax, checked_max};
use super::exp::exp_sum;
use super::history::History;
use super::random::uniform;
use super::select::{Candidate, Mass, best, collect, move_best, with_ties};
use crate::error::Result;
use crate::event::TokenLogprob;
use crate::request::Sampling;

/// How far below the best logit candidates are gathered at first: the rest has e⁻¹⁶ of its probability or less each,
/// so that only flat distributions need a second look.
const NEAR: f32 = 16.0;

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
    /// Scratch, kept between steps.
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler for a vocabulary of `vocab` tokens; ids from there on are ignored where they are observed.
    pub(crate) fn new(sampling: Sampling, vocab: usize) -> Self {
        Self { sampling, history: History::new(vocab), candidates: Vec::new() }
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
            Some(alternatives) => Some(self.measure(logits, alternatives)?),
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

    /// The logarithm of Σ e^logit, and the best tokens with their log-probabilities.
    fn measure(&mut self, logits: &[f32], alternatives: usize) -> Result<(f64, Vec<(u32, f32)>)> {
        let max = checked_max(logits)?;
        let log_total = f64::from(max) + exp_sum(logits, max, 1.0).ln();
        let mut top = Vec::new();
        if alternatives > 0 {
            collect(logits, max - NEAR, &mut self.candidates);
            if self.candidates.len() < alternatives {
                collect(logits, f32::NEG_INFINITY, &mut self.candidates);
            }
            top.extend(
                best(&mut self.candidates, alternatives)
                    .iter()
                    .map(|c| (c.id(), (f64::from(c.logit()) - log_total) as f32)),
            );
        }
        Ok((log_total, top))
    }

    fn draw(&mut self, logits: &[f32], position: u64) -> Result<u32> {
        let max = checked_max(logits)?;
        let u = uniform(self.sampling.seed, position);
        let temperature = self.sampling.temperature;
        let tempered = Mass { max, temperature };
        let candidates = &mut self.candidates;
        let (top_p, top_k, min_p) = (self.sampling.top_p, self.sampling.top_k, self.sampling.min_p);

        let (kept, target) = if top_p < 1.0 || top_k > 0 || min_p > 0.0 {
            let plain = Mass { max, temperature: 1.0 };
            let floor = if min_p > 0.0 { max + min_p.ln() } else { f32::NEG_INFINITY };
            let needed = if top_p < 1.0 { f64::from(top_p) * exp_sum(logits, max, 1.0) } else { f64::INFINITY };
            collect(logits, floor.max(max - NEAR), candidates);
            let complete = floor >= max - NEAR
                || (top_k > 0 && candidates.len() >= top_k)
                || (top_p < 1.0 && plain.sum(candidates) >= needed);
            if !complete {
                collect(logits, floor, candidates);
            }
            let mut kept = candidates.len();
            if top_k > 0 {
                kept = move_best(candidates, top_k);
            }
            if top_p < 1.0 {
                let nucleus = plain.prefix(&mut candidates[..kept], needed);
                kept = with_ties(&mut candidates[..kept], nucleus);
            }
            (kept, u * tempered.sum(&candidates[..kept]))
        } else {
            let target = u * exp_sum(logits, max, temperature);
            collect(logits, max - NEAR * temperature, candidates);
            if tempered.sum(candidates) < target {
                collect(logits, f32::NEG_INFINITY, candidates);
            }
            (candidates.len(), target)
        };
        let last = tempered.prefix(&mut candidates[..kept], target);
        Ok(candidates[last - 1].id())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
