//! Recurrent layers: short convolutions and gated delta nets.

use std::rc::Rc;

use mlx_rs::{Array, Dtype, fast, ops};

use super::Mlx;
use super::activation::{activate, wide};
use super::error::{Fault, Result};
use super::linear::cast;
use super::norm::scalar;
use super::raw;
use crate::arch::spec::{Activation, GatedDelta};
use crate::backend::{ConvData, DeltaParams, Rows, Segment};

/// Added to the squared length of queries and keys.
const EPSILON: f32 = 1e-6;

/// What a recurrent layer keeps of a sequence.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The convolution's inputs of the last positions, `[1, width - 1, channels]`.
    history: Option<Rc<Array>>,
    /// The memory of each head in f32, `[heads, value_dim, key_dim]`.
    memory: Option<Rc<Array>>,
}

impl State {
    /// The arrays that hold it.
    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.history.iter().chain(&self.memory).map(|array| &**array)
    }
}

impl crate::backend::State for State {
    fn bytes(&self) -> usize {
        self.arrays().map(Array::nbytes).sum()
    }
}

/// A convolution along positions, each channel by itself.
pub(crate) struct Conv {
    /// `[channels, width, 1]`.
    weight: Array,
    bias: Option<Array>,
    channels: i32,
    width: i32,
}

impl Conv {
    /// Takes over a convolution's numbers.
    pub fn load(data: &ConvData) -> Result<Self> {
        let (channels, width) = (raw::dim(data.channels)?, raw::dim(data.width)?);
        if data.weight.len() != data.channels * data.width {
            return Err(Fault::internal(format!("{} weights of {channels} × {width}", data.weight.len())));
        }
        let weight = Array::from_slice(&data.weight, &[channels, width, 1]);
        let bias = (!data.bias.is_empty()).then(|| Array::from_slice(&data.bias, &[channels]));
        Ok(Self { weight, bias, channels, width })
    }

    /// The convolution of the rows of one sequence, and its history after them.
    fn apply(&self, x: &Array, history: Option<&Array>) -> Result<(Array, Array)> {
        let rows = x.dim(0);
        let x = x.reshape(&[1, rows, self.channels])?;
        let padded = match history {
            Some(history) => ops::concatenate(&[history, &x], 1)?,
            None => {
                let zeros = ops::zeros_dtype(&[1, self.width - 1, self.channels], x.dtype())?;
                ops::concatenate(&[&zeros, &x], 1)?
            }
        };
        let weight = self.weight.as_dtype(x.dtype())?;
        let mut y = ops::conv1d(&padded, &weight, 1, 0, 1, self.channels)?.reshape(&[rows, self.channels])?;
        if let Some(bias) = &self.bias {
            y = y.add(cast(bias.reshape(bias.shape())?, y.dtype())?)?;
        }
        let (rows, all) = (rows as usize, padded.dim(1) as usize);
        Ok((y, raw::slice_axis(&padded, 1, rows..all)?))
    }
}

/// Rows of a segment, each sequence by itself.
fn each(
    x: &Array,
    rows: &Rows,
    states: &mut [State],
    mut step: impl FnMut(&Array, &mut State) -> Result<Array>,
) -> Result<Array> {
    if states.len() != rows.segments().len() {
        return Err(Fault::internal(format!("{} states for {} sequences", states.len(), rows.segments().len())));
    }
    let mut outputs = Vec::with_capacity(states.len());
    for (Segment { start, len, .. }, state) in rows.segments().iter().zip(states) {
        outputs.push(step(&raw::slice_axis(x, 0, *start..start + len)?, state)?);
    }
    match (outputs.pop(), outputs.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            outputs.extend(last);
            Ok(ops::concatenate(&outputs, 0)?)
        }
    }
}

/// See [`Backend::short_conv`](crate::backend::Backend::short_conv).
pub(super) fn short_conv(bcx: &Array, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Array> {
    let channels = conv.channels as usize;
    each(bcx, rows, states, |bcx, state| {
        let part = |index: usize| raw::slice_axis(bcx, 1, index * channels..(index + 1) * channels);
        let (y, history) = conv.apply(&part(0)?.multiply(part(2)?)?, state.history.as_deref())?;
        state.history = Some(Rc::new(history));
        Ok(y.multiply(part(1)?)?)
    })
}

/// See [`Backend::gated_delta`](crate::backend::Backend::gated_delta).
pub(super) fn gated_delta(
    input: &Array,
    params: &DeltaParams<'_, Mlx>,
    rows: &Rows,
    states: &mut [State],
) -> Result<Array> {
    each(input, rows, states, |input, state| one_sequence(input, params, state))
}

fn one_sequence(input: &Array, params: &DeltaParams<'_, Mlx>, state: &mut State) -> Result<Array> {
    let spec = params.spec;
    let GatedDelta { key_heads, value_heads, key_dim, value_dim, .. } = *spec;
    let (channels, values) = (spec.channels(), value_heads * value_dim);
    let (qkv, history) = params.conv.apply(&raw::slice_axis(input, 1, 0..channels)?, state.history.as_deref())?;
    let qkv = wide(&activate(&qkv, Activation::Silu)?)?;
    let count = input.dim(0);
    let part = |range, heads: usize, width: usize| {
        Ok::<_, Fault>(raw::slice_axis(&qkv, 1, range)?.reshape(&[count, raw::dim(heads)?, raw::dim(width)?])?)
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
    let value = part(2 * key_width..channels, value_heads, value_dim)?;

    let gates = channels + values;
    let rate = ops::sigmoid(wide(&raw::slice_axis(input, 1, gates..gates + value_heads)?)?)?;
    let step = wide(&raw::slice_axis(input, 1, gates + value_heads..gates + 2 * value_heads)?)?.add(params.step)?;
    let softplus = ops::logaddexp(&step, Array::from_f32(0.0))?;
    let keep = ops::exp(ops::exp(params.decay)?.negative()?.multiply(softplus)?)?;

    let memory = match &state.memory {
        Some(memory) => memory.reshape(memory.shape())?,
        None => {
            let shape = [raw::dim(value_heads)?, raw::dim(value_dim)?, raw::dim(key_dim)?];
            ops::zeros_dtype(&shape, Dtype::Float32)?
        }
    };
    let (y, memory) = scan(&query, &key, &value, &rate, &keep, memory)?;
    *state = State { history: Some(Rc::new(history)), memory: Some(Rc::new(memory)) };
    let normed = params.norm.apply(&y)?.reshape(&[count, raw::dim(values)?])?;
    let z = wide(&raw::slice_axis(input, 1, channels..channels + values)?)?;
    cast(normed.multiply(activate(&z, Activation::Silu)?)?, input.dtype())
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
        let keep = at(keep)?.expand_dims_axes(&[-1, -2])?;
        let kept = memory.multiply(&keep)?;
        let known = kept.matmul(key.expand_dims(-1)?)?.squeeze_axes(&[-1])?;
        let write = at(value)?.subtract(known)?.multiply(at(rate)?.expand_dims(-1)?)?;
        memory = kept.add(write.expand_dims(-1)?.multiply(key.expand_dims(-2)?)?)?;
        outputs.push(memory.matmul(query)?.squeeze_axes(&[-1])?.expand_dims(0)?);
    }
    Ok((ops::concatenate(&outputs, 0)?, memory))
}
