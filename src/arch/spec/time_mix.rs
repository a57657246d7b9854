//! What RWKV-7 is made of.

use serde::Serialize;

use super::{Linear, Norm};

/// The logarithm of the smallest part that is kept of a column: -exp(-1/2).
pub(crate) const LOWEST_DECAY: f32 = -0.606_531;

/// The shortest length that keys are divided by.
pub(crate) const SHORTEST: f32 = 1e-7;

/// RWKV-7's time mixing (Peng et al. 2025). Its inputs are shifted: of what the layer takes in and the same of the
/// position before, each projection has a mixture of its own. With the decay
/// `w = exp(-exp(-1/2) sigmoid(decay))`, the rate `a = sigmoid(rate)`, `κ` the key times `key_scale` at unit length, and
/// `k` the key times `1 + (a - 1) key_rate`, each head keeps a memory `S` (value width × key width):
/// `S ← S diag(w) - (S κ) (a κ)ᵀ + v kᵀ`, `y = S r`. What comes out is normed, gets `(r · k · bonus) v` added, and is
/// multiplied by the gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeMix {
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// How much of the position before is in what the projections take in.
    pub shifts: Shifts,
    /// `r`.
    pub receptance: Linear,
    /// `k`, before anything happens to it.
    pub key: Linear,
    /// `v`.
    pub value: Linear,
    /// Before its sigmoid. The hyperbolic tangent stands between the two matrices.
    pub decay: LowRank,
    /// Before its sigmoid. Nothing stands between the two matrices.
    pub rate: LowRank,
    /// Its sigmoid says how much of the first layer's value replaces that of this layer, which does not have one itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<LowRank>,
    /// The sigmoid stands between the two matrices.
    pub gate: LowRank,
    /// Name of a tensor, `[heads, head_dim]`.
    pub key_scale: String,
    /// Name of a tensor, `[heads, head_dim]`.
    pub key_rate: String,
    /// Name of a tensor, `[heads, head_dim]`.
    pub bonus: String,
    /// Norm of each head's output.
    pub norm: Norm,
    /// `[hidden, heads * head_dim]`.
    pub output: Linear,
}

/// Names of tensors, `[hidden]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shifts {
    /// Of the receptance.
    pub receptance: String,
    /// Of the decay.
    pub decay: String,
    /// Of the key.
    pub key: String,
    /// Of the value, and of its residual.
    pub value: String,
    /// Of the rate.
    pub rate: String,
    /// Of the gate.
    pub gate: String,
}

/// A matrix of low rank, as two.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LowRank {
    /// `[rank, inputs]`.
    pub down: Linear,
    /// `[outputs, rank]`.
    pub up: Linear,
}

/// RWKV's feed-forward block: `value(relu(key(x))²)` of shifted inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelMix {
    /// Name of a tensor, `[hidden]`: how much of the position before is in what the key takes in.
    pub shift: String,
    /// `[intermediate, hidden]`.
    pub key: Linear,
    /// `[hidden, intermediate]`.
    pub value: Linear,
}

impl Shifts {
    /// All, in the order of the fields.
    pub(crate) fn names(&self) -> [&String; 6] {
        [&self.receptance, &self.decay, &self.key, &self.value, &self.rate, &self.gate]
    }

    pub(in crate::arch) fn names_mut(&mut self) -> [&mut String; 6] {
        [&mut self.receptance, &mut self.decay, &mut self.key, &mut self.value, &mut self.rate, &mut self.gate]
    }
}

impl TimeMix {
    pub(super) fn vectors(&self) -> Vec<String> {
        let own = [&self.key_scale, &self.key_rate, &self.bonus];
        self.shifts.names().into_iter().chain(own).cloned().collect()
    }

    pub(super) fn linears(&self) -> Vec<&Linear> {
        let low = [&self.decay, &self.rate, &self.gate].into_iter().chain(&self.residual);
        let low = low.flat_map(|low| [&low.down, &low.up]);
        [&self.receptance, &self.key, &self.value].into_iter().chain(low).chain([&self.output]).collect()
    }

    pub(in crate::arch) fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let low = [&mut self.decay, &mut self.rate, &mut self.gate].into_iter().chain(&mut self.residual);
        let low = low.flat_map(|low| [&mut low.down, &mut low.up]);
        [&mut self.receptance, &mut self.key, &mut self.value]
            .into_iter()
            .chain(low)
            .chain([&mut self.output])
            .collect()
    }
}
