//! Residual streams that are attended to.

use serde::Serialize;

use super::Norm;

/// How a layer reads a residual stream that is kept in pieces (attention residuals, Kimi K3). The layers form blocks. At
/// the first layer of a block the stream so far, which is the embedding before all layers, is put aside, and a new one
/// begins at zero. Mixer and feed-forward block read, in place of the stream, the mixture by a query of those that were
/// put aside and of the one at hand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResidualAttention {
    /// Whether a block begins with this layer, after its mixer has read the stream of the block before.
    pub begins: bool,
    /// Of what the mixer reads.
    pub mixer: ResidualQuery,
    /// Of what the feed-forward block reads.
    pub ffn: ResidualQuery,
}

/// What a mixture is made by: the weights are a softmax over `query · norm(x)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResidualQuery {
    /// Name of a tensor, `[1, hidden]`.
    pub query: String,
    /// Norm of what is mixed, for its score alone.
    pub norm: Norm,
}

impl ResidualAttention {
    pub(super) fn queries(&self) -> [&ResidualQuery; 2] {
        [&self.mixer, &self.ffn]
    }
}
