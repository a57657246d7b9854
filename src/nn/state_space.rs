//! A state space around its states: convolution, selection, norm and gate.

use super::layer::{Selection, StateSpace};
use crate::arch::spec::{self, Activation};
use crate::backend::{Backend, Rows, ScanInput, ScanParams};
use crate::error::{Error, Result};

/// What the layer's input makes of itself, for the output projection.
pub(super) fn state_space<B: Backend>(
    backend: &B,
    weights: &StateSpace<B>,
    spec: &spec::StateSpace,
    input: &B::Tensor,
    rows: &Rows,
    states: &mut [B::State],
) -> Result<B::Tensor> {
    let (width, state, channels) = (spec.width(), spec.state, spec.conv.channels);
    let gate = backend.columns(input, 0..width)?;
    let mixed = backend.columns(input, width..width + channels)?;
    let mixed = backend.activate(&backend.convolve(&mixed, &weights.conv, rows, states)?, Activation::Silu)?;
    let (x, b, c, step, bias) = match (&weights.selection, &spec.selection) {
        (Selection::Input { bias }, _) => {
            let both = spec.groups * state;
            let b = backend.columns(&mixed, width..width + both)?;
            let c = backend.columns(&mixed, width + both..width + 2 * both)?;
            let step = backend.columns(input, width + channels..width + channels + spec.heads)?;
            (backend.columns(&mixed, 0..width)?, b, c, step, Some(bias))
        }
        (Selection::Inner { projection, norms, step, bias }, spec::Selection::Inner(inner)) => {
            let all = backend.linear(&mixed, projection)?;
            let mut at = 0;
            let mut parts = Vec::with_capacity(3);
            for (index, width) in [inner.rank, state, state].into_iter().enumerate() {
                let part = backend.columns(&all, at..at + width)?;
                at += width;
                parts.push(match norms {
                    Some(norms) => backend.norm(&part, &norms[index])?,
                    None => part,
                });
            }
            let [short, b, c] =
                <[B::Tensor; 3]>::try_from(parts).map_err(|_| Error::internal("parts that got lost"))?;
            (mixed, b, c, backend.linear(&short, step)?, bias.as_ref())
        }
        _ => return Err(Error::internal("a selection that its layer does not have")),
    };
    let params = ScanParams { spec: spec.scan(), decay: &weights.decay, bias, skip: &weights.skip };
    let mut y = backend.state_space(ScanInput { x: &x, b: &b, c: &c, step: &step }, &params, rows, states)?;
    let gate = backend.activate(&gate, Activation::Silu)?;
    let norm = |y: &B::Tensor| weights.norm.as_ref().map_or_else(|| Ok(y.clone()), |norm| backend.norm(y, norm));
    if spec.norm_before_gate {
        y = norm(&y)?;
    }
    y = backend.multiply(&y, &gate)?;
    if spec.norm_before_gate { Ok(y) } else { norm(&y) }
}
