//! A gated linear recurrence around its states: convolution and gates.

use super::layer::Recurrence;
use crate::arch::spec::{self, Activation};
use crate::backend::{Backend, Rows};
use crate::error::Result;

/// What the layer's input makes of itself, for the output projection.
pub(super) fn recurrence<B: Backend>(
    backend: &B,
    weights: &Recurrence<B>,
    spec: &spec::Recurrence,
    input: &B::Tensor,
    rows: &Rows,
    states: &mut [B::State],
) -> Result<B::Tensor> {
    let width = spec.conv.channels;
    let gate = backend.activate(&backend.columns(input, 0..width)?, Activation::GeluTanh)?;
    let x = backend.convolve(&backend.columns(input, width..2 * width)?, &weights.conv, rows, states)?;
    let taken = backend.sigmoid_gate(&x, &backend.heads_linear(&x, &weights.input_gate)?)?;
    let keep = backend.heads_linear(&x, &weights.keep_gate)?;
    backend.multiply(&backend.recurrence(&taken, &keep, &weights.decay, rows, states)?, &gate)
}
