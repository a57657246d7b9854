//! Operations of models with several residual streams.

use mlx_rs::{Array, ops};

use super::Tensor;
use super::activation::wide;
use super::error::Result;
use super::linear::cast;
use super::raw;

/// See [`Backend::mix_streams`](crate::backend::Backend::mix_streams).
pub(super) fn mix_streams(inputs: &[Tensor], coefficients: &Array, outputs: usize) -> Result<Vec<Tensor>> {
    let inputs: Vec<&Array> = inputs.iter().map(|tensor| &*tensor.0).collect();
    let (count, outputs) = (raw::dim(inputs.len())?, raw::dim(outputs)?);
    let stacked = ops::stack(&inputs, 1)?;
    let mixed = coefficients.reshape(&[coefficients.dim(0), outputs, count])?.matmul(stacked)?;
    let one = |output: usize| Ok(raw::slice_axis(&mixed, 1, output..output + 1)?.squeeze_axes(&[1])?.into());
    (0..outputs as usize).map(one).collect()
}

/// See [`Backend::mix_by_query`](crate::backend::Backend::mix_by_query).
pub(super) fn mix_by_query(inputs: &[Tensor], query: &Array, epsilon: f32) -> Result<Array> {
    let arrays: Vec<&Array> = inputs.iter().map(|tensor| &*tensor.0).collect();
    let stacked = ops::stack(&arrays, 0)?;
    let (dtype, stacked) = (stacked.dtype(), wide(&stacked)?);
    let mean = stacked.square()?.mean_axis(-1, true)?;
    let length = ops::rsqrt(mean.add(Array::from_f32(epsilon))?)?;
    let scores = stacked.matmul(query.reshape(&[-1, 1])?)?.multiply(length)?;
    let weights = ops::softmax_axis(&scores, 0, true)?;
    cast(stacked.multiply(weights)?.sum_axis(0, false)?, dtype)
}

/// See [`Backend::match_magnitude`](crate::backend::Backend::match_magnitude).
pub(super) fn match_magnitude(x: &Array, like: &Array) -> Result<Array> {
    let magnitude = |x: &Array| Ok::<_, super::Fault>(wide(x)?.square()?.mean_axis(-1, true)?.sqrt()?);
    let factor = magnitude(like)?.divide(magnitude(x)?)?;
    Ok(x.multiply(cast(factor, x.dtype())?)?)
}
