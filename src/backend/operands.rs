//! What the operations of a backend take beside activations: weights as they were read, inputs of several parts, and
//! parameters.

use super::Backend;
use crate::arch::spec::{Activation, GatedDelta, QueryGrowth, Routing, Scan, SparseBlocks, TimeMix};
use crate::error::{Error, Result};
use crate::weights::LinearData;

/// Token ids to embed.
pub(crate) enum Ids<'a, B: Backend> {
    /// Known ids, each below the vocabulary's size.
    Host(&'a [u32]),
    /// Ids that the device picked and that may not be computed yet, one a row.
    Device(&'a B::Tokens),
}

impl<B: Backend> Clone for Ids<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Ids<'_, B> {}

/// What attention needs beside activations and caches. `qkv` rows are `[heads | kv_heads | kv_heads] * head_dim` wide.
pub(crate) struct AttentionParams<'a, B: Backend> {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; query head `h` reads key head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Norm over each query head before rope, or over all of them together when it is as wide.
    pub query_norm: Option<&'a B::Norm>,
    /// Norm over each key head before rope, or over all of them together.
    pub key_norm: Option<&'a B::Norm>,
    /// Rotary embedding of queries and keys.
    pub rope: Option<&'a B::Rope>,
    /// Each position sees itself and the `window - 1` before it.
    pub window: Option<usize>,
    /// What few models have.
    pub extras: AttentionExtras<'a, B>,
}

/// What few models have in attention.
pub(crate) struct AttentionExtras<'a, B: Backend> {
    /// Norm over each value head.
    pub value_norm: Option<&'a B::Norm>,
    /// Whether queries and keys are normed after they are rotated instead of before.
    pub norm_after_rope: bool,
    /// For each query head, a score that takes its share of the softmax and adds nothing.
    pub sinks: Option<&'a B::Vector>,
    /// Scores become `softcap * tanh(scores / softcap)`.
    pub softcap: Option<f32>,
    /// Queries grow with their position.
    pub query_growth: Option<QueryGrowth>,
    /// A position sees none before the last multiple of this; the window is not wider.
    pub chunk: Option<usize>,
    /// The positions that are seen, of all of these.
    pub chosen: Option<&'a B::Choice>,
    /// Which blocks of positions a head sees; all when absent.
    pub blocks: Option<SparseBlocks>,
    /// What is seen beside.
    pub far: Option<Far<'a, B>>,
    /// Whether scores are f32 numbers, whatever the activations are.
    #[cfg_attr(not(feature = "mlx"), allow(dead_code, reason = "they always are on the CPU"))]
    pub wide_scores: bool,
}

/// Entries of other caches, of one key head, that rows see beside their own positions.
pub(crate) struct Far<'a, B: Backend> {
    /// One for each segment.
    pub caches: &'a [&'a B::Cache],
    /// The entries that each row sees.
    pub chosen: &'a B::Choice,
}

impl<B: Backend> Clone for Far<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Far<'_, B> {}

impl<B: Backend> Default for AttentionExtras<'_, B> {
    fn default() -> Self {
        Self {
            value_norm: None,
            norm_after_rope: false,
            sinks: None,
            softcap: None,
            query_growth: None,
            chunk: None,
            chosen: None,
            blocks: None,
            far: None,
            wide_scores: false,
        }
    }
}

/// What an indexer takes in for each row, normed and rotated.
pub(crate) struct IndexInput<'a, B: Backend> {
    /// `heads * head_dim` wide.
    pub queries: &'a B::Tensor,
    /// `head_dim` wide.
    pub keys: &'a B::Tensor,
    /// One a head, where heads are weighed.
    pub weights: Option<&'a B::Tensor>,
}

impl<B: Backend> Clone for IndexInput<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for IndexInput<'_, B> {}

/// What an indexer of entries takes in for each row, rotated.
pub(crate) struct EntryInput<'a, B: Backend> {
    /// `heads * head_dim` wide.
    pub queries: &'a B::Tensor,
    /// One a head.
    pub weights: &'a B::Tensor,
    /// What is chosen from, where an earlier layer left that.
    pub among: Option<&'a B::Choice>,
}

impl<B: Backend> Clone for EntryInput<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for EntryInput<'_, B> {}

/// What an indexer of entries gives.
pub(crate) struct EntryChoice<B: Backend> {
    /// The entries that each row sees.
    pub chosen: B::Choice,
    /// What later layers choose from, where it leaves that.
    pub candidates: Option<B::Choice>,
}

/// The matrices of experts.
pub(crate) struct ExpertsData {
    /// How many there are.
    pub count: usize,
    /// Gate and up as two matrices, or as one, or up alone.
    pub gate_up: Vec<StackData>,
    /// From the width of an expert back to that of the activations.
    pub down: StackData,
    /// Applied to the gate, or to up.
    pub activation: Activation,
    /// Whether there is a gate.
    pub gated: bool,
}

/// A matrix of every expert.
pub(crate) struct StackData {
    /// One with the rows of all experts, one expert after the other, or one for each expert.
    pub parts: Vec<LinearData>,
    /// What the product with each expert's matrix is multiplied by.
    pub factors: Option<Vec<f32>>,
}

impl StackData {
    /// Rows of all experts.
    pub fn outputs(&self) -> usize {
        self.parts.iter().map(|part| part.outputs).sum()
    }

    /// Bytes of the stored numbers.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(LinearData::bytes).sum()
    }

    /// The matrix of one of `count` experts.
    pub fn expert(&self, index: usize, count: usize) -> Result<LinearData> {
        let rows = self.outputs() / count.max(1);
        let missing = || Error::internal(format!("{} matrices of {count} experts", self.parts.len()));
        match &*self.parts {
            [] => Err(missing()),
            [all] => Ok(all.rows(index * rows..(index + 1) * rows)),
            each => each.get(index).filter(|_| each.len() == count).cloned().ok_or_else(missing),
        }
    }
}

/// How experts are chosen and weighed.
pub(crate) struct RoutingParams<'a, B: Backend> {
    /// The rule.
    pub rule: &'a Routing,
    /// Added to the scores of experts to choose.
    pub correction: Option<&'a B::Vector>,
    /// Factors of the experts' weights.
    pub expert_scale: Option<&'a B::Vector>,
    /// Norm of what each expert gives, before it is weighed.
    pub norm: Option<&'a B::Norm>,
}

/// A part of what heads are joined of.
pub(crate) enum HeadPart<'a, B: Backend> {
    /// Each head has its own.
    Own(&'a B::Tensor),
    /// All heads have the same.
    Shared(&'a B::Tensor),
    /// So many zeros.
    Zeros(usize),
}

/// The weights of a convolution along positions, each channel by itself.
pub(crate) struct ConvData {
    /// `channels × width`, the last column that of the current position.
    pub weight: Vec<f32>,
    /// One a channel; empty without.
    pub bias: Vec<f32>,
    /// Channels.
    pub channels: usize,
    /// Positions that count.
    pub width: usize,
}

/// What a gated delta rule takes in for each row.
pub(crate) struct DeltaInput<'a, B: Backend> {
    /// Queries, keys and values.
    pub qkv: &'a B::Tensor,
    /// `b`, one a head.
    pub rate: &'a B::Tensor,
    /// `a`, one a head or one for each column of a head's memory.
    pub step: &'a B::Tensor,
}

impl<B: Backend> Clone for DeltaInput<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for DeltaInput<'_, B> {}

/// What a gated delta rule needs beside its input.
pub(crate) struct DeltaParams<'a, B: Backend> {
    /// Sizes.
    pub spec: &'a GatedDelta,
    /// The logarithm of each head's decay.
    pub decay: &'a B::Vector,
    /// Added to `a`.
    pub step: &'a B::Vector,
}

/// What RWKV's time mixing takes in for each row, all of it `heads * head_dim` wide.
pub(crate) struct TimeMixInput<'a, B: Backend> {
    /// What is asked for.
    pub receptance: &'a B::Tensor,
    /// Before its scale.
    pub key: &'a B::Tensor,
    /// What is written.
    pub value: &'a B::Tensor,
    /// Before the sigmoid.
    pub decay: &'a B::Tensor,
    /// Before the sigmoid.
    pub rate: &'a B::Tensor,
}

/// What RWKV's time mixing needs beside its input. Vectors have `heads * head_dim` numbers.
pub(crate) struct TimeMixParams<'a, B: Backend> {
    /// Sizes.
    pub spec: &'a TimeMix,
    /// Factors of keys where they tell what to take out of a memory.
    pub key_scale: &'a B::Vector,
    /// How much of the rate is in keys that are written.
    pub key_rate: &'a B::Vector,
    /// Factors of what a position gives for itself.
    pub bonus: &'a B::Vector,
}

/// What a state space takes in for each row.
pub(crate) struct ScanInput<'a, B: Backend> {
    /// `heads * head_dim` wide.
    pub x: &'a B::Tensor,
    /// What is written, `groups * state` wide.
    pub b: &'a B::Tensor,
    /// What is read, `groups * state` wide.
    pub c: &'a B::Tensor,
    /// Before bias, softplus and limits; one a head.
    pub step: &'a B::Tensor,
}

impl<B: Backend> Clone for ScanInput<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for ScanInput<'_, B> {}

/// What a state space needs beside its input.
pub(crate) struct ScanParams<'a, B: Backend> {
    /// Sizes.
    pub spec: Scan,
    /// `A` itself, below zero: one a head, or one for each number of a head's state.
    pub decay: &'a B::Vector,
    /// Added to steps, one a head.
    pub bias: Option<&'a B::Vector>,
    /// `D`, one a head.
    pub skip: &'a B::Vector,
}
