//! Operations of models with several residual streams.

use mlx_rs::{Array, ops};

use super::Tensor;
use super::activation::wide;
use super::error::Result;
use super::linear::{Linear, cast};
use super::norm::Norm;
use super::raw;
use crate::arch::spec::HyperMixing;

/// See [`Backend::mix_streams`](crate::backend::Backend::mix_streams).
pub(super) fn mix_streams(inputs: &[Tensor], coefficients: &Array, outputs: usize) -> Result<Vec<Tensor>> {
    let inputs: Vec<&Array> = inputs.iter().map(|tensor| &*tensor.0).collect();
    let (count, outputs) = (raw::dim(inputs.len())?, raw::dim(outputs)?);
    let stacked = ops::stack(&inputs, 1)?;
    let mixed = coefficients.reshape(&[coefficients.dim(0), outputs, count])?.matmul(&stacked)?;
    let mixed = cast(mixed, stacked.dtype())?;
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

/// See [`Backend::hyper_mixtures`](crate::backend::Backend::hyper_mixtures).
pub(super) fn hyper_mixtures(streams: &[Tensor], norm: &Norm, mixture: &Linear, mixing: HyperMixing) -> Result<Array> {
    let n = mixing.streams;
    let all: Vec<&Array> = streams.iter().map(|stream| &*stream.0).collect();
    let m = mixture.apply(&norm.apply(&wide(&ops::concatenate(&all, 1)?)?)?)?;
    let (rows, count) = (m.dim(0), raw::dim(n)?);
    let (epsilon, number) = (Array::from_f32(mixing.epsilon), Array::from_f32);
    let pre = ops::sigmoid(raw::slice_axis(&m, 1, 0..n)?)?.add(&epsilon)?;
    let post = ops::sigmoid(raw::slice_axis(&m, 1, n..2 * n)?)?.multiply(number(2.0))?;
    let comb = raw::slice_axis(&m, 1, 2 * n..mixing.inputs())?.reshape(&[rows, count, count])?;
    let mut comb = ops::softmax_axis(&comb, -1, true)?.add(&epsilon)?;
    for step in 1..2 * mixing.iterations {
        // Columns first and last.
        let axis = if step % 2 == 1 { -2 } else { -1 };
        comb = comb.divide(comb.sum_axis(axis, true)?.add(&epsilon)?)?;
    }
    let factors = ops::concatenate(&[&comb.swap_axes(1, 2)?, &post.expand_dims(-1)?], 2)?;
    Ok(ops::concatenate(&[&pre, &factors.reshape(&[rows, -1])?], 1)?)
}

/// See [`Backend::match_magnitude`](crate::backend::Backend::match_magnitude).
pub(super) fn match_magnitude(x: &Array, like: &Array) -> Result<Array> {
    let magnitude = |x: &Array| Ok::<_, super::Fault>(wide(x)?.square()?.mean_axis(-1, true)?.sqrt()?);
    let factor = magnitude(like)?.divide(magnitude(x)?)?;
    Ok(x.multiply(cast(factor, x.dtype())?)?)
}
