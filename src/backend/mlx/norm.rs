//! Loaded norms.

use mlx_rs::{Array, Dtype, fast, ops};

use super::error::{Fault, Result};
use super::linear::cast;
use super::raw;
use crate::arch::spec::NormKind;
use crate::weights::NormData;

/// A norm.
pub(crate) struct Norm {
    kind: NormKind,
    /// `[size]`, or `[heads, size]` where heads have weights of their own; 1 when absent.
    weight: Option<Array>,
    bias: Option<Array>,
    /// `[size]`, factors before anything else happens.
    input: Option<Array>,
    /// The result's format, where it is not that of what is normed.
    narrow: Option<Dtype>,
    size: i32,
    heads: i32,
    epsilon: f32,
}

impl Norm {
    /// Takes over a norm's numbers; `exact` turns them into f32.
    pub fn load(data: &NormData, exact: bool) -> Result<Self> {
        let float = |array: Array| if exact { cast(array, Dtype::Float32) } else { Ok(array) };
        let (size, heads) = (raw::dim(data.size)?, raw::dim(data.heads)?);
        let parts = data.weights.iter().map(raw::from_view).collect::<Result<Vec<_>>>()?;
        let mut weight = match &*parts {
            [] => None,
            [only] if heads > 1 => Some(float(only.reshape(&[heads, size])?)?),
            [only] => Some(float(only.reshape(only.shape())?)?),
            parts => Some(float(ops::concatenate(parts, 0)?.reshape(&[heads, size])?)?),
        };
        // `1 + weight` in the weight's own format, as mlx-lm has it.
        for (number, is_factor) in [(data.offset, false), (data.factor, true)] {
            if let Some(array) = &weight
                && number != if is_factor { 1.0 } else { 0.0 }
            {
                let number = scalar(number, array.dtype())?;
                weight = Some(if is_factor { array.multiply(&number)? } else { array.add(&number)? });
            }
        }
        if let (Some(array), Some(times)) = (&weight, &data.times) {
            weight = Some(array.multiply(float(raw::from_view(times)?)?)?);
        }
        let bias = |bias| match heads {
            1 => float(raw::from_view(bias)?),
            _ => float(raw::from_view(bias)?.reshape(&[heads, size])?),
        };
        let bias = data.bias.as_ref().map(bias).transpose()?;
        let input = data.input.as_ref().map(|input| float(raw::from_view(input)?)).transpose()?;
        for array in weight.iter().chain(&bias).chain(&input) {
            array.eval()?;
        }
        let narrow = weight.as_ref().filter(|_| data.narrow).map(Array::dtype);
        Ok(Self { kind: data.kind, weight, bias, input, narrow, size, heads, epsilon: data.epsilon })
    }

    /// Width that is normalised, of all heads that have weights of their own.
    pub fn width(&self) -> i32 {
        self.size * self.heads
    }

    /// Normalises pieces of the last dimension, which is a multiple of the norm's size, or one for each head in the
    /// dimension before it. The result has the shape of `x`, and its dtype unless it is to be narrow.
    pub fn apply(&self, x: &Array) -> Result<Array> {
        let dtype = self.narrow.unwrap_or(x.dtype());
        let last = x.shape().last().copied().unwrap_or(0);
        if last == self.size {
            return cast(self.pieces(x)?, dtype);
        }
        if last % self.width() != 0 {
            return Err(Fault::internal(format!("a norm of {} numbers over rows of {last}", self.width())));
        }
        let pieces = if self.heads > 1 { vec![-1, self.heads, self.size] } else { vec![-1, self.size] };
        let y = self.pieces(&x.reshape(&pieces)?)?.reshape(x.shape())?;
        cast(y, dtype)
    }

    fn pieces(&self, x: &Array) -> Result<Array> {
        let scaled = match &self.input {
            Some(input) => Some(x.multiply(cast(input.reshape(input.shape())?, x.dtype())?)?),
            None => None,
        };
        let x = scaled.as_ref().unwrap_or(x);
        let (weight, bias) = (self.weight.as_ref(), self.bias.as_ref());
        let fused = weight.filter(|_| self.heads == 1);
        let normed = match self.kind {
            NormKind::Rms => fast::rms_norm(x, fused, self.epsilon)?,
            NormKind::Layer => fast::layer_norm(x, fused, bias.filter(|_| self.heads == 1), self.epsilon)?,
        };
        let normed = match weight.filter(|_| self.heads > 1) {
            Some(weight) => normed.multiply(weight)?,
            None => normed,
        };
        match bias.filter(|_| self.heads > 1 || self.kind == NormKind::Rms) {
            Some(bias) => Ok(normed.add(bias)?),
            None => Ok(normed),
        }
    }
}

/// A number in a given format, so that it does not widen what it is combined with.
pub(super) fn scalar(number: f32, dtype: Dtype) -> Result<Array> {
    cast(Array::from_f32(number), dtype)
}
