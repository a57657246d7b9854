//! Hyper-connections: several residual streams, of which every block reads a mixture.

use serde::Serialize;

use super::{Linear, Norm};

/// What stands around a block of a model with hyper-connections (Zhu et al. 2024; with matrices that neither grow nor
/// shrink the streams, Xie et al. 2025). All streams side by side, normed, give `m = scale * mixture(·) + base`: for each
/// stream a number of `pre` and one of `post`, then a matrix `comb`. `pre = sigmoid(·) + epsilon` weighs what the next
/// block reads, `post = 2 sigmoid(·)` what each stream takes of the block's output, and `comb`, the softmax of its rows,
/// then brought to columns and rows that sum up to 1, what a stream takes of the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HyperConnection {
    /// Norm of all streams together, without weights.
    pub norm: Norm,
    /// `[streams * (streams + 2), streams * hidden]`.
    pub mixture: Linear,
    /// Name of a tensor, `[streams * (streams + 2)]`.
    pub base: String,
    /// Name of a tensor, `[3]`: of `pre`, `post` and `comb`.
    pub scale: String,
    /// What becomes of `m`.
    pub mixing: HyperMixing,
}

/// How the numbers of a hyper-connection become mixtures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HyperMixing {
    /// How many streams there are.
    pub streams: usize,
    /// How often columns are normalised; rows once less.
    pub iterations: usize,
    /// Added where nothing may be zero.
    pub epsilon: f32,
}

impl HyperMixing {
    /// Numbers of `m`.
    pub fn inputs(self) -> usize {
        self.streams * (self.streams + 2)
    }

    /// Numbers of what it becomes: `pre`, and for each stream its factors of all streams and of the block's output.
    pub fn outputs(self) -> usize {
        self.streams + self.streams * (self.streams + 1)
    }
}

impl HyperConnection {
    pub(super) fn vectors(&self) -> [&String; 2] {
        [&self.base, &self.scale]
    }
}
