//! The state of one sequence: a cache for each layer.

use crate::arch::spec::{Layer, Spec};
use crate::backend::{Backend, Cache, CacheLayout};

/// Keys and values of all layers for the positions processed so far.
pub(crate) struct Sequence<B: Backend> {
    pub(super) caches: Vec<B::Cache>,
    len: usize,
}

impl<B: Backend> Sequence<B> {
    pub(super) fn new(backend: &B, spec: &Spec) -> Self {
        let caches = spec.layers.iter().map(|layer| backend.new_cache(cache_layout(layer))).collect();
        Self { caches, len: 0 }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the state after the first `len` positions can be had by [`truncate`](Self::truncate).
    pub fn can_truncate(&self, len: usize) -> bool {
        len <= self.len && self.caches.iter().all(|cache| cache.can_truncate(len))
    }

    /// Forgets all positions from `len` on. Callers check [`can_truncate`](Self::can_truncate) first.
    pub fn truncate(&mut self, len: usize) {
        self.len = len;
        self.roll_back();
    }

    /// Counts what all caches have taken in.
    pub(super) fn commit(&mut self, appended: usize) {
        self.len += appended;
    }

    /// Takes back what some caches have taken in since the last commit.
    pub(super) fn roll_back(&mut self) {
        for cache in &mut self.caches {
            if cache.len() > self.len {
                cache.truncate(self.len);
            }
        }
    }

    /// A second sequence with the same state, sharing memory until one of them goes on.
    pub fn fork(&self) -> Self {
        Self { caches: self.caches.iter().map(Cache::fork).collect(), len: self.len }
    }

    /// Bytes held, shared ones included.
    pub fn bytes(&self) -> usize {
        self.caches.iter().map(Cache::bytes).sum()
    }

    /// The caches, first layer to last.
    pub fn caches(&self) -> impl Iterator<Item = &B::Cache> {
        self.caches.iter()
    }
}

/// What a layer's cache holds.
pub(crate) fn cache_layout(layer: &Layer) -> CacheLayout {
    let attention = &layer.attention;
    CacheLayout { kv_heads: attention.kv_heads, head_dim: attention.head_dim, window: attention.window }
}
