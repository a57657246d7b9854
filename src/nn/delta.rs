//! A gated delta net around its memory: convolution, gates, norm.

use super::layer::GatedDelta;
use crate::arch::spec::{self, Activation};
use crate::backend::{Backend, DeltaInput, DeltaParams, Rows};
use crate::error::Result;

/// What the layer's input makes of itself, for the output projection.
pub(super) fn gated_delta<B: Backend>(
    backend: &B,
    weights: &GatedDelta<B>,
    spec: &spec::GatedDelta,
    input: &B::Tensor,
    rows: &Rows,
    states: &mut [B::State],
) -> Result<B::Tensor> {
    let heads = spec.value_heads;
    let short = spec.short_gates.as_ref();
    let gate_width = short.filter(|gates| gates.gate.is_some()).map_or(heads * spec.value_dim, |gates| gates.rank);
    let step_width = short.map_or(spec.decays(), |gates| gates.rank);
    let mut at = 0;
    let mut next = |width: usize| {
        at += width;
        backend.columns(input, at - width..at)
    };
    let (mixed, mut gate, rate, mut step) =
        (next(spec.channels())?, next(gate_width)?, next(heads)?, next(step_width)?);
    if let Some(gates) = &weights.short_gates {
        if let Some(linear) = &gates.gate {
            gate = backend.linear(&gate, linear)?;
        }
        step = backend.linear(&step, &gates.decay)?;
    }
    let qkv = backend.activate(&backend.convolve(&mixed, &weights.conv, rows, states)?, Activation::Silu)?;
    let params = DeltaParams { spec, decay: &weights.decay, step: &weights.step };
    let y = backend.gated_delta(DeltaInput { qkv: &qkv, rate: &rate, step: &step }, &params, rows, states)?;
    let normed = backend.norm(&y, &weights.norm)?;
    match spec.sigmoid_gate {
        true => backend.sigmoid_gate(&normed, &gate),
        false => backend.multiply(&normed, &backend.activate(&gate, Activation::Silu)?),
    }
}
