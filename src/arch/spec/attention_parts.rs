//! What few families have in attention.

use serde::Serialize;

use super::Linear;

/// Which blocks of positions a query head sees (Phi 3 Small): the latest ones, and of all others every `stride`th, another
/// one for each head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SparseBlocks {
    /// Positions of a block.
    pub size: usize,
    /// Blocks that all heads see, the query's own included.
    pub local: usize,
    /// Head `h` sees block `b` where this divides `b + h + 1`.
    pub stride: usize,
}

impl SparseBlocks {
    /// Whether a position of query head `head` sees another one that is not after it.
    pub fn sees(&self, head: usize, position: usize, other: usize) -> bool {
        let (own, block) = (position / self.size.max(1), other / self.size.max(1));
        own.saturating_sub(block) < self.local || (block + head + 1).is_multiple_of(self.stride.max(1))
    }
}

/// Names of tensors with one number, that keys and values are rounded to multiples of before they are kept; multiples
/// beyond -128 and 127 become these.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KvRounding {
    /// Of keys, rotated and normed.
    pub key: String,
    /// Of values.
    pub value: String,
}

/// A convolution of keys and values along positions before anything else happens to them: each head has one number for
/// each position that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KvConv {
    /// Name of a tensor, `[1, 1, kv_heads, 1, width]`, the last column that of the current position.
    pub key: String,
    /// The same for values.
    pub value: String,
    /// Positions that count.
    pub width: usize,
}

/// Attention of layers that run twice and look twice the second time (IQuest Loop): at the keys and values of the first
/// time, and at their own. Each head weighs the two by the sigmoid of a number that its query gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SecondLook {
    /// Of rotated queries, `[heads, head_dim]`, one row for each head.
    pub gate: Linear,
    /// The layer as it ran the first time; none when this is that time.
    pub first: Option<usize>,
}
