//! Alternating updates: several residual streams, of which each layer computes one and predicts the others.

use serde::Serialize;

use super::{Linear, Norm};

/// Several residual streams (AltUp, Baykal et al. 2023; Gemma 3n). The first is the embedding, the others projections of
/// it, as large as it. After the layers the others are projected again, made as large as the first, and all are averaged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Streams {
    /// The stream that layers compute.
    pub active: usize,
    /// Makes the other streams of the embedding, `[hidden, hidden]` each.
    pub widen: Vec<Linear>,
    /// Makes what is averaged of the other streams, `[hidden, hidden]` each.
    pub narrow: Vec<Linear>,
}

/// How a layer goes on with several streams. `m = tanh(router(norm(·)))` has a number for each stream. Of the streams `x`
/// come predictions `p_i = x_i + Σ_j prediction(m)_ij x_j` with the `m` of the active one. The layer makes `y` of the
/// active prediction, and each stream becomes `p_i + (1 + correction(m)_i) (y - p_active)` with the `m` of `y`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AltUp {
    /// Norm of what the router sees.
    pub norm: Norm,
    /// `[streams, hidden]`.
    pub router: Linear,
    /// `[streams * streams, streams]`.
    pub prediction: Linear,
    /// `[streams, streams]`.
    pub correction: Linear,
    /// Numbers of the last two lie within ± this.
    pub clip: Option<f32>,
    /// Name of a tensor, `[hidden]`, that the active stream is multiplied by before it meets the layer's own input.
    pub output_scale: Option<String>,
    /// What stands beside the mixer.
    pub laurel: Laurel,
}

/// A learned augmented residual layer (LAuReL, Menghani et al. 2024): with `n` the normed input, `n + norm(right(left(n)))`
/// is added to what the mixer gives, and the sum is divided by the root of 2.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Laurel {
    /// `[rank, hidden]`.
    pub left: Linear,
    /// `[hidden, rank]`.
    pub right: Linear,
    /// Norm of what comes out.
    pub norm: Norm,
}

impl Streams {
    /// How many streams there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.widen.len() + 1
    }
}

impl AltUp {
    pub(in crate::arch) fn linears(&self) -> [&Linear; 5] {
        [&self.router, &self.prediction, &self.correction, &self.laurel.left, &self.laurel.right]
    }

    pub(super) fn norms(&self) -> [&Norm; 2] {
        [&self.norm, &self.laurel.norm]
    }
}
