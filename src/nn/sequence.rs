//! The state of one sequence: a cache for each layer that keeps something.

use std::rc::Rc;

use crate::arch::spec::{Layer, Mixer, Spec};
use crate::backend::{Backend, Cache, CacheLayout};
use crate::error::{Error, Result};

/// Keys and values of all layers for the positions processed so far.
pub(crate) struct Sequence<B: Backend> {
    caches: Vec<B::Cache>,
    /// For each layer the index of its cache.
    of_layers: Rc<[Option<usize>]>,
    len: usize,
}

impl<B: Backend> Sequence<B> {
    pub(super) fn new(backend: &B, spec: &Spec) -> Self {
        let mut caches = Vec::with_capacity(spec.layers.len());
        let mut of_layer = |layer| {
            caches.push(backend.new_cache(cache_layout(layer)?));
            Some(caches.len() - 1)
        };
        let of_layers = spec.layers.iter().map(&mut of_layer).collect();
        Self { caches, of_layers, len: 0 }
    }

    /// The cache of a layer that has one.
    pub(super) fn cache(&self, layer: usize) -> Result<&B::Cache> {
        self.index(layer).map(|index| &self.caches[index])
    }

    /// The cache of a layer that has one.
    pub(super) fn cache_mut(&mut self, layer: usize) -> Result<&mut B::Cache> {
        self.index(layer).map(|index| &mut self.caches[index])
    }

    fn index(&self, layer: usize) -> Result<usize> {
        let index = self.of_layers.get(layer).copied().flatten();
        index.ok_or_else(|| Error::internal(format!("layer {layer} has no cache")))
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
        let caches = self.caches.iter().map(Cache::fork).collect();
        Self { caches, of_layers: Rc::clone(&self.of_layers), len: self.len }
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

/// What a layer's cache holds, if it has one of its own.
pub(crate) fn cache_layout(layer: &Layer) -> Option<CacheLayout> {
    let Mixer::Attention(attention) = &layer.mixer;
    let own = attention.shares_kv_of.is_none();
    own.then_some(CacheLayout { kv_heads: attention.kv_heads, head_dim: attention.head_dim, window: attention.window })
}
