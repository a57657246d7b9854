//! What recurrent layers have in common: their state, and convolutions along positions.

use std::rc::Rc;

use mlx_rs::{Array, Dtype, ops, transforms};

use super::error::{Fault, Result};
use super::linear::cast;
use super::raw;
use crate::arch::spec::recorded::PART_BYTES;
use crate::backend::{ConvData, Rows, Segment};

/// What a recurrent layer keeps of a sequence.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The convolution's inputs of the last positions, `[1, width - 1, channels]`; or rows that wait to be pooled.
    pub(super) history: Option<Rc<Array>>,
    /// The memory of each head in f32: `[heads, value_dim, key_dim]` of a delta net, `[heads, head_dim, state]` of a
    /// state space.
    memory: Option<Rc<Array>>,
}

impl State {
    /// The arrays that hold it.
    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.history.iter().chain(&self.memory).map(|array| &**array)
    }

    /// The memory, if it is not empty.
    pub(super) fn memory(&self) -> Option<&Array> {
        self.memory.as_deref()
    }

    /// The memory, of zeros if it is empty.
    pub(super) fn memory_or_zeros(&self, shape: [usize; 3]) -> Result<Array> {
        match self.memory() {
            Some(memory) => Ok(memory.reshape(memory.shape())?),
            None => {
                let [heads, rows, columns] = shape;
                Ok(ops::zeros_dtype(&[raw::dim(heads)?, raw::dim(rows)?, raw::dim(columns)?], Dtype::Float32)?)
            }
        }
    }

    pub(super) fn set_memory(&mut self, memory: Array) {
        self.memory = Some(Rc::new(memory));
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

/// The rows of each sequence by themselves: `step` gets those of all of `inputs`.
pub(super) fn each<const N: usize>(
    inputs: [&Array; N],
    rows: &Rows,
    states: &mut [State],
    mut step: impl FnMut([Array; N], &mut State) -> Result<Array>,
) -> Result<Array> {
    if states.len() != rows.segments().len() {
        return Err(Fault::internal(format!("{} states for {} sequences", states.len(), rows.segments().len())));
    }
    let mut outputs = Vec::with_capacity(states.len());
    for (Segment { start, len, .. }, state) in rows.segments().iter().zip(states) {
        let own = inputs.iter().map(|input| raw::slice_axis(input, 0, *start..start + len));
        let own = own.collect::<Result<Vec<_>>>()?.try_into();
        outputs.push(step(own.map_err(|_| Fault::internal("inputs that got lost"))?, state)?);
    }
    match (outputs.pop(), outputs.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            outputs.extend(last);
            Ok(ops::concatenate(&outputs, 0)?)
        }
    }
}

/// How a recurrence goes over many rows.
pub(super) struct Parts {
    /// Rows of a part.
    pub rows: usize,
    /// Bytes that a row takes until it is computed.
    pub row_bytes: u64,
}

impl Parts {
    /// As many rows as there is room for, a multiple of `block` where that is possible.
    pub fn of_blocks(block: usize, row_bytes: u64) -> Self {
        let rows = usize::try_from(PART_BYTES / row_bytes.max(1)).unwrap_or(usize::MAX);
        Self { rows: (rows / block * block).max(block), row_bytes }
    }
}

/// [`each`] in parts: what was recorded is begun where it would take much memory, after what was begun before is done.
pub(super) fn each_in_parts<const N: usize>(
    parts: &Parts,
    inputs: [&Array; N],
    rows: &Rows,
    states: &mut [State],
    mut step: impl FnMut([Array; N], &mut State) -> Result<Array>,
) -> Result<Array> {
    each(inputs, rows, states, |own, state| {
        let count = own.first().map_or(0, |input| input.dim(0) as usize);
        if count <= parts.rows {
            return step(own, state);
        }
        let (mut outputs, mut recorded, mut begun): (Vec<Array>, u64, Option<usize>) = (Vec::new(), 0, None);
        for start in (0..count).step_by(parts.rows) {
            let end = (start + parts.rows).min(count);
            let part = own.iter().map(|input| raw::slice_axis(input, 0, start..end));
            let part = part.collect::<Result<Vec<_>>>()?.try_into();
            outputs.push(step(part.map_err(|_| Fault::internal("inputs that got lost"))?, state)?);
            recorded = parts.row_bytes.saturating_mul((end - start) as u64).saturating_add(recorded);
            if recorded.saturating_add(parts.row_bytes.saturating_mul(parts.rows as u64)) > PART_BYTES {
                transforms::async_eval(outputs.last().into_iter().chain(state.arrays()))?;
                if let Some(before) = begun.and_then(|index| outputs.get(index)) {
                    before.eval()?;
                }
                (recorded, begun) = (0, Some(outputs.len() - 1));
            }
        }
        Ok(ops::concatenate(&outputs, 0)?)
    })
}

/// See [`Backend::short_conv`](crate::backend::Backend::short_conv).
pub(super) fn short_conv(bcx: &Array, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Array> {
    let channels = conv.channels as usize;
    each([bcx], rows, states, |[bcx], state| {
        let part = |index: usize| raw::slice_axis(&bcx, 1, index * channels..(index + 1) * channels);
        let (y, history) = conv.apply(&part(0)?.multiply(part(2)?)?, state.history.as_deref())?;
        state.history = Some(Rc::new(history));
        Ok(y.multiply(part(1)?)?)
    })
}

/// See [`Backend::convolve`](crate::backend::Backend::convolve).
pub(super) fn convolve(x: &Array, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Array> {
    each([x], rows, states, |[x], state| {
        let (y, history) = conv.apply(&x, state.history.as_deref())?;
        state.history = Some(Rc::new(history));
        Ok(y)
    })
}
