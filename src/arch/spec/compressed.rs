//! Attention to a window of positions and to chosen entries that stand for several positions each.

use serde::Serialize;

use super::{Activation, LatentQuery, Linear, Norm, Rope};

/// Attention with one key head whose keys are its values, too (DeepSeek 4.1). A row sees a window of positions and, of
/// all others, the entries that an indexer chooses. Entries and choices may be those of an earlier layer. The last
/// dimensions of queries and keys are rotated, and what comes out is rotated back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompressedAttention {
    /// Query heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the part of a head that is rotated, at its end.
    pub rotated: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Each position sees itself and the `window - 1` before it.
    pub window: usize,
    /// The short form of queries, the key, what entries are made of (and, where they stand for several positions, its
    /// gates), the weights of the indexer's heads.
    pub input: Vec<Linear>,
    /// Queries of their short form, the indexer's last.
    pub query: LatentQuery,
    /// Norm of the key.
    pub key_norm: Norm,
    /// Rounding of the key.
    pub key_rounding: Option<Activation>,
    /// Name of a tensor, `[heads]`, of scores that take a share of the softmax and add nothing.
    pub sinks: String,
    /// Of everything that is rotated.
    pub rope: Rope,
    /// What makes entries, if this layer does.
    pub compressor: Option<Compressor>,
    /// What chooses entries, if this layer does.
    pub indexer: Option<EntryIndexer>,
    /// The entries that are seen.
    pub far: Option<FarEntries>,
    /// `[groups, rank, heads * head_dim / groups]`: heads by groups to a shorter form.
    pub groups: Linear,
    /// `[hidden, groups * rank]`.
    pub output: Linear,
}

/// Makes an entry of each `ratio` positions: the sum of their numbers, weighed column by column by the softmax of their
/// gates. It has the rotation of its first position.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compressor {
    /// Positions of an entry; there are no gates where it is one.
    pub ratio: usize,
    /// Norm of the sum.
    pub norm: Norm,
    /// Rounding of what is kept.
    pub rounding: Option<Activation>,
}

/// Chooses for each position those that it sees of the entries that end with it or before: the ones with the highest
/// sums of `weight * max(query · key, 0)` over all heads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryIndexer {
    /// Query heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rounding of queries and keys.
    pub rounding: Option<Activation>,
    /// What makes keys of the layer's own entries; none where those of another layer are read.
    pub keys: Option<EntryKeys>,
    /// The layer whose keys are read.
    pub keys_of: usize,
    /// Positions of an entry.
    pub ratio: usize,
    /// Entries that are chosen, at most.
    pub count: usize,
    /// What is chosen from.
    pub candidates: Candidates,
}

/// Makes the keys of an indexer, one head each, of entries before they are rotated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EntryKeys {
    /// `[head_dim of the indexer, head_dim]`.
    pub projection: Linear,
    /// Norm of the key.
    pub norm: Norm,
}

/// What an indexer chooses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidates {
    /// All entries.
    All,
    /// All entries, and it leaves to later layers the blocks with the highest scores, the last block among them.
    Leaves {
        /// Entries of a block.
        size: usize,
        /// How many blocks.
        count: usize,
    },
    /// Those that this earlier layer leaves.
    Of(usize),
}

/// The entries that a layer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FarEntries {
    /// The layer that keeps them.
    pub entries_of: usize,
    /// The layer that chooses them.
    pub chosen_by: usize,
}

impl CompressedAttention {
    /// Groups of heads.
    pub fn group_count(&self) -> usize {
        self.groups.experts.unwrap_or(1)
    }

    /// Positions of an entry that waits for more, where there may be some.
    pub(crate) fn pooled(&self) -> Option<usize> {
        self.compressor.as_ref().map(|compressor| compressor.ratio).filter(|&ratio| ratio > 1)
    }

    /// The indexer, where it keeps keys.
    pub(crate) fn keeps_keys(&self) -> Option<&EntryIndexer> {
        self.indexer.as_ref().filter(|indexer| indexer.keys.is_some())
    }

    pub(super) fn linears(&self) -> Vec<&Linear> {
        let keys = self.indexer.iter().flat_map(|indexer| &indexer.keys).map(|keys| &keys.projection);
        self.input.iter().chain(&self.query.linear).chain(keys).chain([&self.groups, &self.output]).collect()
    }

    pub(super) fn norms(&self) -> Vec<&Norm> {
        let entries = self.compressor.iter().map(|compressor| &compressor.norm);
        let keys = self.indexer.iter().flat_map(|indexer| &indexer.keys).map(|keys| &keys.norm);
        [&self.query.norm, &self.key_norm].into_iter().chain(entries).chain(keys).collect()
    }

    pub(in crate::arch) fn norms_mut(&mut self) -> Vec<&mut Norm> {
        let entries = self.compressor.iter_mut().map(|compressor| &mut compressor.norm);
        let keys = self.indexer.iter_mut().flat_map(|indexer| &mut indexer.keys).map(|keys| &mut keys.norm);
        [&mut self.query.norm, &mut self.key_norm].into_iter().chain(entries).chain(keys).collect()
    }

    pub(in crate::arch) fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let keys = self.indexer.iter_mut().flat_map(|indexer| &mut indexer.keys).map(|keys| &mut keys.projection);
        let all = self.input.iter_mut().chain(&mut self.query.linear).chain(keys);
        all.chain([&mut self.groups, &mut self.output]).collect()
    }
}

impl EntryIndexer {
    /// Width of all queries.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }
}
