//! What chooses the positions that attention sees.

use serde::Serialize;

use super::{Norm, Rope};

/// Chooses for each position those that it sees, once there are many (sparse attention). The mixer's own projections give
/// what it needs, behind all else: its queries where the mixer's queries are made, its keys (one head, which is kept of
/// every position), and a number for each head where they are weighed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Indexer {
    /// Query heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Norm of each query head.
    pub query_norm: Option<Norm>,
    /// Norm of the key.
    pub key_norm: Option<Norm>,
    /// Of queries and keys.
    pub rope: Option<Rope>,
    /// What is chosen.
    pub choice: Choice,
}

/// What an indexer chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The positions with the highest sums of `weight * max(query · key, 0)` over all heads (DeepSeek 3.2). All heads of
    /// attention see the same.
    Positions {
        /// How many.
        count: usize,
    },
    /// For each head the blocks whose highest `query · key` is highest, of those that begin before the position (MiniMax
    /// M3). Consecutive key heads of attention share a head.
    Blocks {
        /// Positions of a block.
        size: usize,
        /// How many.
        count: usize,
        /// Blocks that are chosen in any case: that of the position and those before it.
        local: usize,
    },
}

impl Choice {
    /// Positions up to which all are seen.
    pub fn limit(self) -> usize {
        match self {
            Self::Positions { count } => count,
            Self::Blocks { size, count, .. } => size.saturating_mul(count),
        }
    }

    /// Whether heads are weighed.
    pub fn weighted(self) -> bool {
        matches!(self, Self::Positions { .. })
    }
}

impl Indexer {
    /// Scores that are computed at a time, at most.
    pub(crate) const MOST_SCORES: usize = 1 << 25;

    /// Width of all queries.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    pub(super) fn norms(&self) -> impl Iterator<Item = &Norm> {
        self.query_norm.iter().chain(&self.key_norm)
    }
}
