//! Gated linear recurrences: ever longer stretches of positions are joined.

use mlx_rs::{Array, Dtype, ops};

use super::error::Result;
use super::linear::cast;
use super::raw;
use super::recurrent::{State, each};
use crate::backend::Rows;

/// See [`Backend::recurrence`](crate::backend::Backend::recurrence).
pub(super) fn recurrence(x: &Array, gate: &Array, decay: &Array, rows: &Rows, states: &mut [State]) -> Result<Array> {
    each([x, gate], rows, states, |[x, gate], state| {
        let (count, width, dtype) = (x.dim(0), x.dim(1), x.dtype());
        let (x, gate) = (cast(x, Dtype::Float32)?, cast(gate, Dtype::Float32)?);
        let logarithm = decay.multiply(ops::sigmoid(&gate)?)?;
        let mut keep = ops::exp(&logarithm)?;
        let lost = ops::expm1(logarithm.multiply(Array::from_f32(2.0))?)?;
        let taken = x.multiply(ops::sqrt(lost.negative()?)?)?;
        let rest = |array: &Array| raw::slice_axis(array, 0, 1..count as usize);
        let first = |array: &Array| raw::slice_axis(array, 0, 0..1);
        let start = match state.memory() {
            Some(memory) => first(&taken)?.add(first(&keep)?.multiply(memory.reshape(&[1, width])?)?)?,
            None => first(&x)?,
        };
        let mut y = if count == 1 { start } else { ops::concatenate(&[start, rest(&taken)?], 0)? };
        let mut step = 1;
        while step < count {
            // What lies so many positions before each: nothing before the first.
            let before = |array: &Array, fill: f32| {
                let fill = ops::full::<f32>(&[step, width], Array::from_f32(fill))?;
                let earlier = raw::slice_axis(array, 0, 0..(count - step) as usize)?;
                Ok::<_, super::error::Fault>(ops::concatenate(&[fill, earlier], 0)?)
            };
            y = y.add(keep.multiply(before(&y, 0.0)?)?)?;
            keep = keep.multiply(before(&keep, 1.0)?)?;
            step *= 2;
        }
        let last = raw::slice_axis(&y, 0, (count - 1) as usize..count as usize)?;
        state.set_memory(last.reshape(&[1, 1, width])?);
        cast(y, dtype)
    })
}
