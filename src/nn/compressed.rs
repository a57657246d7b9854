//! Attention to a window and to chosen entries that stand for several positions.

use std::collections::BTreeMap;

use super::Sequence;
use super::layer::{Compressed, EntryKeys};
use super::mixer::recurrent;
use crate::arch::spec::{Activation, Candidates, CompressedAttention, Compressor};
use crate::backend::{AttentionExtras, AttentionParams, Backend, EntryChoice, EntryInput, Far, HeadPart, Rows};
use crate::error::{Error, Result};

/// What layers leave to later ones within a step, by their index.
pub(super) struct Shared<B: Backend> {
    chosen: BTreeMap<usize, B::Choice>,
    candidates: BTreeMap<usize, B::Choice>,
}

impl<B: Backend> Shared<B> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { chosen: BTreeMap::new(), candidates: BTreeMap::new() }
    }
}

/// The parts of a layer's input.
struct Input<B: Backend> {
    short: B::Tensor,
    key: B::Tensor,
    entries: Option<B::Tensor>,
    index_weights: Option<B::Tensor>,
}

impl<B: Backend> Input<B> {
    fn of(backend: &B, input: &B::Tensor, spec: &CompressedAttention) -> Result<Self> {
        let mut at = 0;
        let mut next = |width: usize| {
            at += width;
            backend.columns(input, at - width..at)
        };
        let with_gates = if spec.pooled().is_some() { 2 } else { 1 };
        Ok(Self {
            short: next(spec.query.width)?,
            key: next(spec.head_dim)?,
            entries: spec.compressor.as_ref().map(|_| next(with_gates * spec.head_dim)).transpose()?,
            index_weights: spec.indexer.as_ref().map(|indexer| next(indexer.heads)).transpose()?,
        })
    }
}

/// What the layer's input makes of itself, for the output projection.
#[allow(clippy::too_many_arguments)]
pub(super) fn compressed<B: Backend>(
    backend: &B,
    weights: &Compressed<B>,
    spec: &CompressedAttention,
    input: &B::Tensor,
    shared: &mut Shared<B>,
    index: usize,
    rows: &Rows,
    sequences: &mut [&mut Sequence<B>],
) -> Result<B::Tensor> {
    let Input { short, key, entries, index_weights } = Input::of(backend, input, spec)?;
    let (norm, linear) = &weights.query;
    let queries = backend.norm_linear(&short, norm, linear)?;
    let own = spec.heads * spec.head_dim;
    let turn = Turn { backend, rotated: spec.rotated };

    if let (Some(entries), Some(compressor)) = (entries, &spec.compressor) {
        make_entries(&turn, weights, spec, compressor, &entries, index, rows, sequences)?;
    }
    if let (Some(indexer), Some(head_weights)) = (&spec.indexer, &index_weights) {
        let width = indexer.query_width();
        let queries = backend.columns(&queries, own..own + width)?;
        let queries = turn.heads(&queries, indexer.heads, indexer.head_dim, &weights.rope, rows)?;
        let queries = rounded(backend, queries, indexer.rounding)?;
        let among = match indexer.candidates {
            Candidates::Of(layer) => Some(shared.candidates.get(&layer).ok_or_else(|| without(layer, "candidates"))?),
            _ => None,
        };
        let keys = sequences.iter().map(|sequence| sequence.index(indexer.keys_of)).collect::<Result<Vec<_>>>()?;
        let input = EntryInput { queries: &queries, weights: head_weights, among };
        let EntryChoice { chosen, candidates } = backend.choose_entries(input, indexer, rows, &keys)?;
        shared.chosen.insert(index, chosen);
        if let Some(candidates) = candidates {
            shared.candidates.insert(index, candidates);
        }
    }

    let queries = turn.heads(&backend.columns(&queries, 0..own)?, spec.heads, spec.head_dim, &weights.rope, rows)?;
    let key = turn.heads(&backend.norm(&key, &weights.key_norm)?, 1, spec.head_dim, &weights.rope, rows)?;
    let key = rounded(backend, key, spec.key_rounding)?;
    let qkv = backend.join_heads(&[HeadPart::Own(&queries), HeadPart::Own(&key), HeadPart::Own(&key)], 1)?;
    let (mut caches, mut entries) = (Vec::new(), Vec::new());
    for sequence in sequences.iter_mut() {
        let (cache, far) = sequence.cache_and_entries(index, spec.far.map(|far| far.entries_of))?;
        caches.push(cache);
        entries.extend(far);
    }
    let far = spec.far.map(|far| match shared.chosen.get(&far.chosen_by) {
        Some(chosen) => Ok(Far { caches: &entries, chosen }),
        None => Err(without(far.chosen_by, "a choice")),
    });
    let params = AttentionParams {
        heads: spec.heads,
        kv_heads: 1,
        head_dim: spec.head_dim,
        scale: spec.scale,
        query_norm: None,
        key_norm: None,
        rope: None,
        window: Some(spec.window),
        extras: AttentionExtras {
            sinks: Some(&weights.sinks),
            far: far.transpose()?,
            // As in mlx-lm: heads are wide.
            wide_scores: true,
            ..AttentionExtras::default()
        },
    };
    let attended = backend.attention(&qkv, &params, rows, &mut caches)?;
    let attended = turn.heads(&attended, spec.heads, spec.head_dim, &weights.back, rows)?;
    backend.heads_linear(&attended, &weights.groups)
}

/// Adds the entries that are complete with these rows, and their keys.
#[allow(clippy::too_many_arguments)]
fn make_entries<B: Backend>(
    turn: &Turn<'_, B>,
    weights: &Compressed<B>,
    spec: &CompressedAttention,
    compressor: &Compressor,
    input: &B::Tensor,
    index: usize,
    rows: &Rows,
    sequences: &mut [&mut Sequence<B>],
) -> Result<()> {
    let (backend, ratio) = (turn.backend, compressor.ratio);
    let (norm, rope) = weights.entries.as_ref().ok_or_else(|| without(index, "what makes its entries"))?;
    let pooled = match spec.pooled() {
        Some(ratio) => recurrent(index, rows, sequences, |states| backend.pool(input, ratio, rows, states))?,
        None => Some(input.clone()),
    };
    let Some(pooled) = pooled else { return Ok(()) };
    let made = rows.segments().iter().map(|segment| {
        let first = segment.position / ratio;
        (first, (segment.position + segment.len) / ratio - first)
    });
    let made: Vec<(usize, usize)> = made.collect();
    let own_rows = Rows::new(made.iter().copied().filter(|(_, count)| *count > 0));
    let latent = backend.norm(&pooled, norm)?;
    let entries = rounded(backend, turn.heads(&latent, 1, spec.head_dim, rope, &own_rows)?, compressor.rounding)?;
    let has_some = |at: &usize| made.get(*at).is_some_and(|(_, count)| *count > 0);
    let chosen = sequences.iter_mut().enumerate().filter(|(at, _)| has_some(at));
    let mut caches = chosen.map(|(_, sequence)| sequence.entries_mut(index)).collect::<Result<Vec<_>>>()?;
    backend.keep(&entries, &own_rows, &mut caches)?;

    let (Some(EntryKeys { projection, norm }), Some(indexer)) = (&weights.keys, &spec.indexer) else { return Ok(()) };
    let keys = backend.norm(&backend.linear(&latent, projection)?, norm)?;
    let keys = rounded(backend, turn.heads(&keys, 1, indexer.head_dim, rope, &own_rows)?, indexer.rounding)?;
    let chosen = sequences.iter_mut().enumerate().filter(|(at, _)| has_some(at));
    let mut caches = chosen.map(|(_, sequence)| sequence.index_mut(index)).collect::<Result<Vec<_>>>()?;
    backend.keep(&keys, &own_rows, &mut caches)
}

/// Rotates the ends of heads.
struct Turn<'a, B: Backend> {
    backend: &'a B,
    rotated: usize,
}

impl<B: Backend> Turn<'_, B> {
    fn heads(&self, x: &B::Tensor, heads: usize, width: usize, rope: &B::Rope, rows: &Rows) -> Result<B::Tensor> {
        let (backend, plain) = (self.backend, width.saturating_sub(self.rotated));
        if plain == 0 {
            return backend.rotate(x, heads, rope, rows);
        }
        let end = backend.rotate(&backend.head_columns(x, heads, plain..width)?, heads, rope, rows)?;
        backend.join_heads(&[HeadPart::Own(&backend.head_columns(x, heads, 0..plain)?), HeadPart::Own(&end)], heads)
    }
}

fn rounded<B: Backend>(backend: &B, x: B::Tensor, rounding: Option<Activation>) -> Result<B::Tensor> {
    rounding.map_or(Ok(x.clone()), |rounding| backend.activate(&x, rounding))
}

fn without(layer: usize, what: &str) -> Error {
    Error::internal(format!("layer {layer} has not left {what}"))
}
