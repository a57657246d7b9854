//! Mixers without attention around operations that others have, too: linear attention, gated convolutions.

use super::layer::{GatedConv, LinearAttention};
use crate::arch::spec;
use crate::backend::{Backend, HeadPart, Rows, ScanInput, ScanParams};
use crate::error::Result;

/// What the layer's input makes of itself, for the output projection.
pub(super) fn linear_attention<B: Backend>(
    backend: &B,
    weights: &LinearAttention<B>,
    spec: &spec::LinearAttention,
    input: &B::Tensor,
    rows: &Rows,
    states: &mut [B::State],
) -> Result<B::Tensor> {
    let (heads, width) = (spec.heads, spec.heads * spec.head_dim);
    let part = |index: usize| backend.columns(input, index * width..(index + 1) * width);
    let turned = |x: B::Tensor, norm: &Option<B::Norm>| {
        let x = match norm {
            Some(norm) => backend.norm(&x, norm)?,
            None => x,
        };
        backend.rotate(&x, heads, &weights.rope, rows)
    };
    let query = backend.scale(&turned(part(0)?, &weights.query_norm)?, spec.scale)?;
    let (key, value, gate) = (turned(part(1)?, &weights.key_norm)?, part(2)?, part(3)?);
    // All steps are 1, whatever they are made of.
    let step = backend.columns(&gate, 0..heads)?;
    let params = ScanParams { spec: spec.scan(), decay: &weights.decays, bias: None, skip: &weights.skip };
    let y = backend.state_space(ScanInput { x: &value, b: &key, c: &query, step: &step }, &params, rows, states)?;
    backend.sigmoid_gate(&backend.norm(&y, &weights.norm)?, &gate)
}

/// What the layer's input makes of itself, for the output projection.
pub(super) fn gated_conv<B: Backend>(
    backend: &B,
    weights: &GatedConv<B>,
    spec: &spec::GatedConv,
    input: &B::Tensor,
    rows: &Rows,
    states: &mut [B::State],
) -> Result<B::Tensor> {
    let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
    let query = backend.norm(&backend.columns(input, 0..queries)?, &weights.query_norm)?;
    let key = backend.norm(&backend.columns(input, queries..queries + keys)?, &weights.key_norm)?;
    let value = backend.columns(input, queries + keys..queries + 2 * keys)?;
    let both = backend.join_heads(&[HeadPart::Own(&key), HeadPart::Own(&value)], 1)?;
    let mixed = backend.convolve(&both, &weights.conv, rows, states)?;
    // Each key head stands beside itself as often as there are query heads for it.
    let repeated = |range| {
        let part = backend.columns(&mixed, range)?;
        let group: Vec<_> = (0..spec.heads / spec.kv_heads).map(|_| HeadPart::Own(&part)).collect();
        backend.join_heads(&group, spec.kv_heads)
    };
    let (key, value) = (repeated(0..keys)?, repeated(keys..2 * keys)?);
    backend.sigmoid_gate(&value, &backend.multiply(&query, &key)?)
}
