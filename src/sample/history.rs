//! Which tokens were seen, and the penalties for them.

use std::collections::HashMap;

use crate::request::Sampling;

/// The tokens of prompt and answer, counted one by one so that a step costs as much as there are different tokens.
#[derive(Debug, Clone)]
pub(super) struct History {
    vocab: usize,
    /// How often each token seen was generated; 0 for those of the prompt alone.
    generated: HashMap<u32, u32>,
}

impl History {
    pub(super) fn new(vocab: usize) -> Self {
        Self { vocab, generated: HashMap::new() }
    }

    pub(super) fn observe_prompt(&mut self, ids: &[u32]) {
        for id in ids.iter().filter(|id| (**id as usize) < self.vocab) {
            self.generated.entry(*id).or_insert(0);
        }
    }

    pub(super) fn observe(&mut self, id: u32) {
        if (id as usize) < self.vocab {
            *self.generated.entry(id).or_insert(0) += 1;
        }
    }

    /// Applies the penalties in place, and gives each logit to `before` as it was.
    pub(super) fn penalize(&self, sampling: &Sampling, logits: &mut [f32], mut before: impl FnMut(u32, f32)) {
        let repetition = sampling.repetition_penalty;
        for (id, count) in &self.generated {
            let Some(logit) = logits.get_mut(*id as usize) else { continue };
            before(*id, *logit);
            if repetition != 1.0 {
                *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
            }
            if *count > 0 {
                *logit -= sampling.presence_penalty + sampling.frequency_penalty * *count as f32;
            }
        }
    }
}
