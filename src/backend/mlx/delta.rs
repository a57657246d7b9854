//! Gated delta nets.

use mlx_rs::{Array, Dtype, fast, ops};

use super::Mlx;
use super::activation::wide;
use super::error::{Fault, Result};
use super::linear::cast;
use super::norm::scalar;
use super::raw;
use super::recurrent::{State, each};
use crate::arch::spec::GatedDelta;
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
    each([&qkv.0, &rate.0, &step.0], rows, states, |[qkv, rate, step], state| {
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
    let keep = match spec.lowest_decay {
        None => {
            let softplus = ops::logaddexp(step, Array::from_f32(0.0))?.reshape(gates)?;
            ops::exp(decay.negative()?.multiply(softplus)?)?
        }
        Some(lowest) => {
            let open = ops::sigmoid(decay.multiply(step.reshape(gates)?)?)?;
            ops::exp(open.multiply(&scalar(lowest, Dtype::Float32)?)?)?
        }
    };
    let memory = state.memory_or_zeros([value_heads, value_dim, key_dim])?;
    let mut rate = ops::sigmoid(rate)?;
    if spec.rate_scale != 1.0 {
        rate = rate.multiply(&scalar(spec.rate_scale, Dtype::Float32)?)?;
    }
    let (y, memory) = scan(&query, &key, &value, &rate, &keep, memory)?;
    state.set_memory(memory);
    Ok(y.reshape(&[count, raw::dim(value_heads * value_dim)?])?)
}

/// The recurrence itself, position by position. What each gives is `[rows, heads, value_dim]`.
fn scan(
    query: &Array,
    key: &Array,
    value: &Array,
    rate: &Array,
    keep: &Array,
    mut memory: Array,
) -> Result<(Array, Array)> {
    let rows = query.dim(0) as usize;
    let mut outputs = Vec::with_capacity(rows);
    for row in 0..rows {
        let at = |array: &Array| raw::slice_axis(array, 0, row..row + 1)?.squeeze_axes(&[0]).map_err(Fault::from);
        let (query, key) = (at(query)?.expand_dims(-1)?, at(key)?);
        let keep = at(keep)?.expand_dims(-2)?;
        let kept = memory.multiply(&keep)?;
        let known = kept.matmul(key.expand_dims(-1)?)?.squeeze_axes(&[-1])?;
        let write = at(value)?.subtract(known)?.multiply(at(rate)?.expand_dims(-1)?)?;
        memory = kept.add(write.expand_dims(-1)?.multiply(key.expand_dims(-2)?)?)?;
        outputs.push(memory.matmul(query)?.squeeze_axes(&[-1])?.expand_dims(0)?);
    }
    Ok((ops::concatenate(&outputs, 0)?, memory))
}
