//! The state of one sequence: what each layer keeps.

use std::rc::Rc;

use super::recurrent::Recurrent;
use crate::arch::spec::{Attention, Ffn, Layer, Mixer, Spec};
use crate::backend::{Backend, Cache, CacheLayout, Kept};
use crate::error::{Error, Result};

/// What all layers keep of the positions processed so far.
pub(crate) struct Sequence<B: Backend> {
    slots: Vec<Slot<B>>,
    of_layers: Rc<[Slots]>,
    len: usize,
    /// The tokens of all positions, where embeddings need those before.
    tokens: Vec<u32>,
}

/// The indices of a layer's slots. A layer has several when two mixers stand side by side, or its feed-forward block
/// keeps something, too.
#[derive(Default)]
struct Slots {
    cache: Option<usize>,
    /// The keys of an indexer.
    index: Option<usize>,
    /// Entries that stand for several positions.
    entries: Option<usize>,
    state: Option<usize>,
    /// That of the feed-forward block.
    ffn: Option<usize>,
}

/// What one layer keeps.
enum Slot<B: Backend> {
    /// A cache, and the positions of an entry.
    Cache(B::Cache, usize),
    Recurrent(Recurrent<B::State>),
}

impl<B: Backend> Slot<B> {
    fn kept(&self) -> Kept<'_, B::Operands> {
        match self {
            Self::Cache(cache, _) => Kept::Cache(cache),
            Self::Recurrent(recurrent) => Kept::State(recurrent.state()),
        }
    }

    fn len(&self) -> usize {
        match self {
            // There may be more, too few for an entry.
            Self::Cache(cache, ratio) => cache.len() * ratio,
            Self::Recurrent(recurrent) => recurrent.len(),
        }
    }

    fn can_truncate(&self, len: usize) -> bool {
        match self {
            Self::Cache(cache, ratio) => cache.can_truncate(len / ratio),
            Self::Recurrent(recurrent) => recurrent.can_truncate(len),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Cache(cache, ratio) => cache.truncate(len / *ratio),
            Self::Recurrent(recurrent) => recurrent.truncate(len),
        }
    }
}

impl<B: Backend> Sequence<B> {
    pub(super) fn new(backend: &B, spec: &Spec) -> Self {
        let mut slots = Vec::with_capacity(spec.layers.len());
        let mut of_layer = |layer: &Layer| {
            let mut own = Slots::default();
            for mixer in layer.mixers() {
                for (kind, LayerCache { layout, ratio }) in layouts(mixer) {
                    let slot = match kind {
                        Kind::Positions => &mut own.cache,
                        Kind::Entries => &mut own.entries,
                        Kind::Index => &mut own.index,
                    };
                    *slot = Some(slots.len());
                    slots.push(Slot::Cache(backend.new_cache(layout), ratio));
                }
                if mixer.is_recurrent() {
                    own.state = Some(slots.len());
                    slots.push(Slot::Recurrent(Recurrent::new()));
                }
            }
            if matches!(layer.ffn, Ffn::ChannelMix(_)) {
                own.ffn = Some(slots.len());
                slots.push(Slot::Recurrent(Recurrent::new()));
            }
            own
        };
        let of_layers = spec.layers.iter().map(&mut of_layer).collect();
        Self { slots, of_layers, len: 0, tokens: Vec::new() }
    }

    /// The cache of a layer that has one.
    pub(super) fn cache(&self, layer: usize) -> Result<&B::Cache> {
        self.held(layer, |slots| slots.cache, "a cache")
    }

    /// The cache of a layer that has one.
    pub(super) fn cache_mut(&mut self, layer: usize) -> Result<&mut B::Cache> {
        self.held_mut(layer, |slots| slots.cache, "a cache")
    }

    /// The keys of a layer's indexer.
    pub(super) fn index(&self, layer: usize) -> Result<&B::Cache> {
        self.held(layer, |slots| slots.index, "an indexer")
    }

    /// The keys of a layer's indexer.
    pub(super) fn index_mut(&mut self, layer: usize) -> Result<&mut B::Cache> {
        self.held_mut(layer, |slots| slots.index, "an indexer")
    }

    /// The entries of a layer that makes some.
    pub(super) fn entries_mut(&mut self, layer: usize) -> Result<&mut B::Cache> {
        self.held_mut(layer, |slots| slots.entries, "entries")
    }

    /// The cache of a layer, and the entries of that or another.
    pub(super) fn cache_and_entries(
        &mut self,
        layer: usize,
        entries_of: Option<usize>,
    ) -> Result<(&mut B::Cache, Option<&B::Cache>)> {
        let Some(other) = entries_of else { return Ok((self.cache_mut(layer)?, None)) };
        let own = self.of_layers.get(layer).and_then(|slots| slots.cache);
        let entries = self.of_layers.get(other).and_then(|slots| slots.entries);
        let (Some(own), Some(entries)) = (own, entries) else { return Err(without(other, "entries")) };
        match self.slots.get_disjoint_mut([own, entries]) {
            Ok([Slot::Cache(own, _), Slot::Cache(entries, _)]) => Ok((own, Some(entries))),
            _ => Err(without(other, "entries")),
        }
    }

    fn held(&self, layer: usize, which: fn(&Slots) -> Option<usize>, what: &str) -> Result<&B::Cache> {
        let index = self.of_layers.get(layer).and_then(which);
        match index.and_then(|index| self.slots.get(index)) {
            Some(Slot::Cache(cache, _)) => Ok(cache),
            _ => Err(without(layer, what)),
        }
    }

    fn held_mut(&mut self, layer: usize, which: fn(&Slots) -> Option<usize>, what: &str) -> Result<&mut B::Cache> {
        let index = self.of_layers.get(layer).and_then(which);
        match index.and_then(|index| self.slots.get_mut(index)) {
            Some(Slot::Cache(cache, _)) => Ok(cache),
            _ => Err(without(layer, what)),
        }
    }

    /// The states of a layer that has some.
    pub(super) fn recurrent(&mut self, layer: usize) -> Result<&mut Recurrent<B::State>> {
        self.state(layer, |slots| slots.state)
    }

    /// The states of a layer's feed-forward block that has some.
    pub(super) fn recurrent_ffn(&mut self, layer: usize) -> Result<&mut Recurrent<B::State>> {
        self.state(layer, |slots| slots.ffn)
    }

    fn state(&mut self, layer: usize, slot: fn(&Slots) -> Option<usize>) -> Result<&mut Recurrent<B::State>> {
        let index = self.of_layers.get(layer).and_then(slot);
        match index.and_then(|index| self.slots.get_mut(index)) {
            Some(Slot::Recurrent(recurrent)) => Ok(recurrent),
            _ => Err(without(layer, "a state")),
        }
    }

    /// The last tokens, `count` at most.
    pub(super) fn last_tokens(&self, count: usize) -> &[u32] {
        &self.tokens[self.tokens.len().saturating_sub(count)..]
    }

    /// Takes tokens in before [`commit`](Self::commit).
    pub(super) fn remember(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the state after the first `len` positions can be had by [`truncate`](Self::truncate).
    pub fn can_truncate(&self, len: usize) -> bool {
        len <= self.len && self.slots.iter().all(|slot| slot.can_truncate(len))
    }

    /// Forgets all positions from `len` on. Callers check [`can_truncate`](Self::can_truncate) first.
    pub fn truncate(&mut self, len: usize) {
        self.len = len;
        self.roll_back();
    }

    /// Counts what all layers have taken in.
    pub(super) fn commit(&mut self, appended: usize) {
        self.len += appended;
    }

    /// Takes back what some layers have taken in since the last commit.
    pub(super) fn roll_back(&mut self) {
        self.tokens.truncate(self.len);
        for slot in &mut self.slots {
            if slot.len() > self.len {
                slot.truncate(self.len);
            }
        }
    }

    /// A second sequence with the same state, sharing memory until one of them goes on.
    pub fn fork(&self) -> Self {
        let fork = |slot: &Slot<B>| match slot {
            Slot::Cache(cache, ratio) => Slot::Cache(cache.fork(), *ratio),
            Slot::Recurrent(recurrent) => Slot::Recurrent(recurrent.clone()),
        };
        Self {
            slots: self.slots.iter().map(fork).collect(),
            of_layers: Rc::clone(&self.of_layers),
            len: self.len,
            tokens: self.tokens.clone(),
        }
    }

    /// Bytes held, shared ones included.
    pub fn bytes(&self) -> usize {
        let bytes = |slot: &Slot<B>| match slot {
            Slot::Cache(cache, _) => cache.bytes(),
            Slot::Recurrent(recurrent) => recurrent.bytes(),
        };
        self.slots.iter().map(bytes).sum()
    }

    /// What a layer keeps, which outlives a step.
    pub(super) fn kept(&self, layer: usize) -> impl Iterator<Item = Kept<'_, B::Operands>> {
        let slots = self.of_layers.get(layer).into_iter();
        let indices = slots.flat_map(|own| [own.cache, own.index, own.entries, own.state, own.ffn]).flatten();
        indices.filter_map(|index| self.slots.get(index)).map(Slot::kept)
    }

    /// All that outlives a step.
    pub fn caches(&self) -> impl Iterator<Item = Kept<'_, B::Operands>> {
        self.slots.iter().map(Slot::kept)
    }
}

fn without(layer: usize, what: &str) -> Error {
    Error::internal(format!("layer {layer} has not {what}"))
}

/// A cache of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerCache {
    /// What it holds.
    pub layout: CacheLayout,
    /// Positions of an entry, usually 1.
    pub ratio: usize,
}

impl LayerCache {
    /// Entries of so many positions.
    pub fn entries(&self, positions: usize) -> usize {
        positions / self.ratio.max(1)
    }
}

/// Which cache of a layer.
enum Kind {
    Positions,
    Entries,
    Index,
}

/// The caches of a layer, if it has some of its own.
pub(crate) fn caches_of(layer: &Layer) -> impl Iterator<Item = LayerCache> {
    layer.mixers().flat_map(layouts).map(|(_, cache)| cache)
}

fn layouts(mixer: &Mixer) -> Vec<(Kind, LayerCache)> {
    let cache = |kv_heads, head_dim, window, ratio| LayerCache {
        layout: CacheLayout { kv_heads, head_dim, window, index: false },
        ratio,
    };
    let index = |head_dim, ratio| LayerCache {
        layout: CacheLayout { kv_heads: 1, head_dim, window: None, index: true },
        ratio,
    };
    let mut all = Vec::new();
    match mixer {
        Mixer::Attention(attention) if attention.shares_kv_of.is_none() => {
            let Attention { kv_heads, head_dim, window, .. } = *attention;
            all.push((Kind::Positions, cache(kv_heads, head_dim, window, 1)));
        }
        Mixer::Latent(latent) => {
            let (kv_heads, head_dim) = latent.kept();
            all.push((Kind::Positions, cache(kv_heads, head_dim, None, 1)));
        }
        Mixer::Compressed(compressed) => {
            all.push((Kind::Positions, cache(1, compressed.head_dim, Some(compressed.window), 1)));
            if let Some(compressor) = &compressed.compressor {
                all.push((Kind::Entries, cache(1, compressed.head_dim, None, compressor.ratio)));
            }
            if let Some(indexer) = compressed.keeps_keys() {
                all.push((Kind::Index, index(indexer.head_dim, indexer.ratio)));
            }
        }
        _ => {}
    }
    all.extend(mixer.indexer().map(|indexer| (Kind::Index, index(indexer.head_dim, 1))));
    all
}
