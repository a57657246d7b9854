//! Multi-head latent attention, made of ordinary attention and products by head.

use super::layer::{Expansion, Latent};
use super::{Sequence, indexer};
use crate::arch::spec;
use crate::backend::{AttentionExtras, AttentionParams, Backend, HeadPart, IndexInput, Rows};
use crate::error::{Error, Result};

/// What the layer's input makes of itself, for the output projection. Heads begin with their rotated part, since that is
/// where rotary embeddings begin.
pub(super) fn latent<B: Backend>(
    backend: &B,
    weights: &Latent<B>,
    spec: &spec::LatentAttention,
    input: &B::Tensor,
    index: usize,
    rows: &Rows,
    sequences: &mut [&mut Sequence<B>],
) -> Result<B::Tensor> {
    let (heads, rotated) = (spec.heads, spec.rotated);
    let query_width = spec.query.as_ref().map_or(heads * (rotated + spec.plain), |query| query.width);
    let first = backend.columns(input, 0..query_width)?;
    let compressed = backend.columns(input, query_width..query_width + spec.latent)?;
    let key = backend.columns(input, query_width + spec.latent..query_width + spec.latent + rotated)?;
    let query = match &weights.query {
        Some((norm, linear)) => backend.norm_linear(&first, norm, linear)?,
        None => first,
    };
    let turned = backend.columns(&query, 0..heads * rotated)?;
    let plain = backend.columns(&query, heads * rotated..heads * (rotated + spec.plain))?;
    let compressed = backend.norm(&compressed, &weights.latent_norm)?;
    let own = query_width + spec.latent + rotated;
    let chosen = match (&weights.indexer, &spec.indexer) {
        (Some(weights), Some(indexer)) => {
            if spec.query.is_none() || !indexer.choice.weighted() {
                return Err(Error::internal("an indexer of latent attention without short queries or weights"));
            }
            let first = heads * (rotated + spec.plain);
            let key = own + spec.gates;
            let weight = key + indexer.head_dim;
            let input = IndexInput {
                queries: &backend.columns(&query, first..first + indexer.query_width())?,
                keys: &backend.columns(input, key..weight)?,
                weights: Some(&backend.columns(input, weight..weight + indexer.heads)?),
            };
            Some(indexer::choose(backend, weights, indexer, input, index, rows, sequences)?)
        }
        _ => None,
    };
    let mut caches: Vec<_> = sequences.iter_mut().map(|s| s.cache_mut(index)).collect::<Result<_>>()?;
    let caches = &mut caches;

    let (kv_heads, head_dim) = spec.kept();
    let params = AttentionParams {
        heads,
        kv_heads,
        head_dim,
        scale: spec.scale,
        query_norm: None,
        key_norm: None,
        rope: weights.rope.as_deref(),
        window: None,
        extras: AttentionExtras {
            query_growth: spec.query_growth,
            chosen: chosen.as_ref(),
            ..AttentionExtras::default()
        },
    };
    let whole = |queries: &B::Tensor, keys: &B::Tensor, values: &B::Tensor| {
        backend.join_heads(&[HeadPart::Own(queries), HeadPart::Own(keys), HeadPart::Own(values)], 1)
    };
    let attended = match &weights.expansion {
        Expansion::Absorbed { queries, values } => {
            let brought = backend.heads_linear(&plain, queries)?;
            let queries = backend.join_heads(&[HeadPart::Own(&turned), HeadPart::Own(&brought)], heads)?;
            let keys = backend.join_heads(&[HeadPart::Own(&key), HeadPart::Own(&compressed)], 1)?;
            // What is kept as the value's rotated part nobody reads.
            let attended = backend.attention(&whole(&queries, &keys, &keys)?, &params, rows, caches)?;
            backend.heads_linear(&backend.head_columns(&attended, heads, rotated..head_dim)?, values)?
        }
        Expansion::Full(linear) => {
            let both = backend.linear(&compressed, linear)?;
            let keys = backend.columns(&both, 0..heads * spec.plain)?;
            let values = backend.columns(&both, heads * spec.plain..heads * (spec.plain + spec.value))?;
            let rest = HeadPart::Zeros(head_dim - rotated - spec.plain);
            let queries = [HeadPart::Own(&turned), HeadPart::Own(&plain), rest];
            let queries = backend.join_heads(&queries, heads)?;
            let rest = HeadPart::Zeros(head_dim - rotated - spec.plain);
            let keys = backend.join_heads(&[HeadPart::Shared(&key), HeadPart::Own(&keys), rest], heads)?;
            let rest = HeadPart::Zeros(head_dim - spec.value);
            let values = backend.join_heads(&[HeadPart::Own(&values), rest], heads)?;
            let attended = backend.attention(&whole(&queries, &keys, &values)?, &params, rows, caches)?;
            backend.head_columns(&attended, heads, 0..spec.value)?
        }
    };
    match spec.gates {
        0 => Ok(attended),
        gates => backend.sigmoid_gate(&attended, &backend.columns(input, own..own + gates)?),
    }
}
