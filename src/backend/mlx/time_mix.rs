//! RWKV's recurrences: the shift by a position, and the memory of time mixing.

use std::rc::Rc;

use mlx_rs::{Array, Dtype, ops};

use super::activation::wide;
use super::delta_rule::{BLOCK, DeltaRule};
use super::error::{Fault, Result};
use super::linear::cast;
use super::norm::scalar;
use super::recurrent::{Parts, State, each, each_in_parts};
use super::{Mlx, Tensor, raw};
use crate::arch::spec::recorded::time_mix_bytes;
use crate::arch::spec::time_mix::{LOWEST_DECAY, SHORTEST};
use crate::backend::{Rows, TimeMixInput, TimeMixParams};

/// See [`Backend::token_shift`](crate::backend::Backend::token_shift).
pub(super) fn token_shift(x: &Array, shares: &[Array], rows: &Rows, states: &mut [State]) -> Result<Vec<Tensor>> {
    let before = each([x], rows, states, |[x], state| {
        let (count, width) = (x.dim(0), x.dim(1));
        let first = match &state.history {
            Some(history) => history.reshape(&[1, width])?,
            None => ops::zeros_dtype(&[1, width], x.dtype())?,
        };
        let all = ops::concatenate(&[&first, &x], 0)?;
        let count = count as usize;
        let last = raw::slice_axis(&all, 0, count..count + 1)?;
        state.history = Some(Rc::new(last.expand_dims(0)?));
        raw::slice_axis(&all, 0, 0..count)
    })?;
    let difference = before.subtract(x)?;
    let shifted = |share: &Array| {
        let share = cast(share.reshape(share.shape())?, x.dtype())?;
        Ok(x.add(difference.multiply(&share)?)?.into())
    };
    shares.iter().map(shifted).collect()
}

/// See [`Backend::time_mix`](crate::backend::Backend::time_mix).
pub(super) fn time_mix(
    input: TimeMixInput<'_, Mlx>,
    params: &TimeMixParams<'_, Mlx>,
    rows: &Rows,
    states: &mut [State],
) -> Result<[Tensor; 2]> {
    let TimeMixInput { receptance, key, value, decay, rate } = input;
    let (heads, head_dim) = (raw::dim(params.spec.heads)?, raw::dim(params.spec.head_dim)?);
    let dtype = value.0.dtype();
    let by_head = |x: &Array| Ok::<_, Fault>(wide(x)?.reshape(&[-1, heads, head_dim])?);
    let number = |number: f32| scalar(number, Dtype::Float32);

    let (receptance, key, value) = (by_head(&receptance.0)?, by_head(&key.0)?, by_head(&value.0)?);
    let exponents = ops::sigmoid(by_head(&decay.0)?)?.multiply(number(LOWEST_DECAY)?)?;
    let rate = ops::sigmoid(by_head(&rate.0)?)?;
    let scaled = key.multiply(by_head(params.key_scale)?)?;
    let length = scaled.square()?.sum_axis(-1, true)?.sqrt()?;
    let known = scaled.divide(ops::maximum(length, number(SHORTEST)?)?)?;
    let removed = known.multiply(&rate)?;
    // It is asked of a memory before that fades, and the bound keeps what is left far from zero.
    let known = known.divide(ops::exp(&exponents)?)?;
    let written = rate.subtract(number(1.0)?)?.multiply(by_head(params.key_rate)?)?.add(number(1.0)?)?;
    let written = key.multiply(written)?;
    let weight = receptance.multiply(&written)?.multiply(by_head(params.bonus)?)?.sum_axis(-1, true)?;
    let own = weight.multiply(&value)?;

    let flat = [&receptance, &known, &removed, &value, &written, &exponents];
    let parts = Parts::of_blocks(BLOCK, time_mix_bytes(params.spec));
    let y = each_in_parts(&parts, flat, rows, states, |[query, known, removed, value, written, exponents], state| {
        let size = params.spec.head_dim;
        let memory = state.memory_or_zeros([params.spec.heads, size, size])?;
        let (written, lowest) = (Some(written), Some(LOWEST_DECAY));
        let rule = DeltaRule { query, known, removed, value, written, exponents, lowest };
        let (y, memory) = rule.apply(memory)?;
        state.set_memory(memory);
        Ok(y)
    })?;
    let rows_of = |x: Array| Ok::<_, Fault>(cast(x.reshape(&[-1, heads * head_dim])?, dtype)?.into());
    Ok([rows_of(y)?, rows_of(own)?])
}
