//! Gated delta nets.

use mlx_rs::{Array, Dtype, fast, ops};

use super::Mlx;
use super::activation::wide;
use super::delta_rule::{BLOCK, DeltaRule};
use super::error::{Fault, Result};
use super::linear::cast;
use super::norm::scalar;
use super::raw;
use super::recurrent::{Parts, State, each_in_parts};
use crate::arch::spec::GatedDelta;
use crate::arch::spec::recorded::delta_bytes;
use crate::backend::{DeltaInput, DeltaParams, Rows};

/// Added to the squared length of queries and keys.
const EPSILON: f32 = 1e-6;

/// See [`Backend::gated_delta`](crate::backend::Backend::gated_delta).
pub(super) fn gated_delta(
    input: DeltaInput<'_, Mlx>,
    params: &DeltaParams<'_, Mlx>,
    rows: &Rows,
    states: &mut [State],
) -> Result<Array> {
    let DeltaInput { qkv, rate, step } = input;
    let parts = Parts::of_blocks(BLOCK, delta_bytes(params.spec));
    each_in_parts(&parts, [&qkv.0, &rate.0, &step.0], rows, states, |[qkv, rate, step], state| {
        let y = one_sequence(&wide(&qkv)?, &wide(&rate)?, &wide(&step)?, params, state)?;
        cast(y, qkv.dtype())
    })
}

fn one_sequence(
    qkv: &Array,
    rate: &Array,
    step: &Array,
    params: &DeltaParams<'_, Mlx>,
    state: &mut State,
) -> Result<Array> {
    let spec = params.spec;
    let GatedDelta { key_heads, value_heads, key_dim, value_dim, .. } = *spec;
    let count = qkv.dim(0);
    let part = |range, heads: usize, width: usize| {
        Ok::<_, Fault>(raw::slice_axis(qkv, 1, range)?.reshape(&[count, raw::dim(heads)?, raw::dim(width)?])?)
    };
    let key_width = key_heads * key_dim;
    let unit = |x: Array| {
        // The root mean square of a unit vector is one over the root of its width.
        let mean = EPSILON / key_dim as f32;
        let normed = fast::rms_norm(&x, None, mean)?.multiply(&scalar((key_dim as f32).powf(-0.5), Dtype::Float32)?)?;
        let repeats = raw::dim(value_heads / key_heads.max(1))?;
        Ok::<_, Fault>(if repeats > 1 { ops::repeat_axis::<f32>(normed, repeats, 1)? } else { normed })
    };
    let query = unit(part(0..key_width, key_heads, key_dim)?)?;
    let query = query.multiply(&scalar((key_dim as f32).powf(-0.5), Dtype::Float32)?)?;
    let key = unit(part(key_width..2 * key_width, key_heads, key_dim)?)?;
    let value = part(2 * key_width..spec.channels(), value_heads, value_dim)?;

    // One decay for all columns of a head's memory, or one for each.
    let columns = raw::dim(spec.decays() / value_heads.max(1))?;
    let gates = &[count, raw::dim(value_heads)?, columns];
    let step = step.add(params.step)?;
    let decay = ops::exp(params.decay)?.reshape(&[1, raw::dim(value_heads)?, 1])?;
    let exponents = match spec.lowest_decay {
        None => {
            let softplus = ops::logaddexp(step, Array::from_f32(0.0))?.reshape(gates)?;
            decay.negative()?.multiply(softplus)?
        }
        Some(lowest) => {
            let open = ops::sigmoid(decay.multiply(step.reshape(gates)?)?)?;
            open.multiply(&scalar(lowest, Dtype::Float32)?)?
        }
    };
    let memory = state.memory_or_zeros([value_heads, value_dim, key_dim])?;
    let mut rate = ops::sigmoid(rate)?;
    if spec.rate_scale != 1.0 {
        rate = rate.multiply(&scalar(spec.rate_scale, Dtype::Float32)?)?;
    }
    let removed = key.multiply(rate.expand_dims(-1)?)?;
    let lowest = spec.lowest_decay;
    let rule = DeltaRule { query, known: key, removed, value, written: None, exponents, lowest };
    let (y, memory) = rule.apply(memory)?;
    state.set_memory(memory);
    Ok(y.reshape(&[count, raw::dim(value_heads * value_dim)?])?)
}
