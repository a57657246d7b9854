//! Activation functions and other operations number by number.

use mlx_rs::{Array, Dtype, ops};

use super::error::{Fault, Result};
use super::linear::cast;
use super::norm::scalar;
use super::{raw, rounding};
use crate::arch::spec::Activation;

/// `activation(gate) * up` over the two halves of the last dimension.
pub(super) fn gate(gate_up: &Array, activation: Activation) -> Result<Array> {
    let axis = gate_up.ndim().saturating_sub(1);
    let width = usize::try_from(gate_up.shape().last().copied().unwrap_or(0)).unwrap_or(0);
    let gate = raw::slice_axis(gate_up, axis, 0..width / 2)?;
    let up = raw::slice_axis(gate_up, axis, width / 2..width)?;
    match activation {
        Activation::ClippedSwiglu { alpha, limit } => clipped(&gate, &up, alpha, limit),
        Activation::LimitedSwiglu { limit } => {
            let number = |number: f32| scalar(number, gate.dtype());
            let swish = ops::minimum(activate(&gate, Activation::Silu)?, &number(limit)?)?;
            let up = ops::maximum(ops::minimum(&up, &number(limit)?)?, &number(-limit)?)?;
            Ok(up.multiply(&swish)?)
        }
        Activation::Situ { beta, cap } => {
            // In f32, as mlx-lm has it.
            let gate = wide(&gate)?;
            let open = softcap(&gate, beta)?.multiply(ops::sigmoid(&gate)?)?;
            let wide_up = wide(&up)?;
            let capped = cap.map(|cap| softcap(&wide_up, cap)).transpose()?;
            cast(open.multiply(capped.as_ref().unwrap_or(&wide_up))?, up.dtype())
        }
        Activation::ClampedSwiglu { limit } => {
            let number = |number: f32| scalar(number, gate.dtype());
            let swish = activate(&ops::minimum(&gate, &number(limit)?)?, Activation::Silu)?;
            let up = ops::maximum(ops::minimum(&up, &number(limit)?)?, &number(-limit)?)?;
            Ok(up.multiply(&swish)?)
        }
        _ => Ok(activate(&gate, activation)?.multiply(&up)?),
    }
}

/// `activation(x)`.
pub(super) fn activate(x: &Array, activation: Activation) -> Result<Array> {
    let number = |number: f32| scalar(number, x.dtype());
    Ok(match activation {
        Activation::Silu => x.multiply(ops::sigmoid(x)?)?,
        Activation::Softplus => ops::logaddexp(x, &number(0.0)?)?,
        Activation::Gelu => {
            let inner = ops::erf(x.multiply(&number(std::f32::consts::FRAC_1_SQRT_2)?)?)?;
            x.multiply(inner.add(&number(1.0)?)?)?.multiply(&number(0.5)?)?
        }
        Activation::GeluTanh => gelu_tanh(x)?,
        Activation::SparseGeluTanh { deviations } => {
            let (mean, spread) = (x.mean_axis(-1, true)?, ops::std_axis(x, -1, true, None)?);
            let bound = mean.add(spread.multiply(&number(deviations)?)?)?;
            gelu_tanh(&ops::maximum(x.subtract(bound)?, &number(0.0)?)?)?
        }
        Activation::Relu2 => ops::maximum(x, &number(0.0)?)?.square()?,
        Activation::Sigmoid => ops::sigmoid(x)?,
        Activation::Rounded { step } => {
            // In f32, as mlx-lm has it.
            let step = Array::from_f32(step);
            let steps = ops::round(wide(x)?.divide(&step)?, 0)?;
            let steps = ops::maximum(ops::minimum(steps, Array::from_f32(127.0))?, Array::from_f32(-128.0))?;
            cast(steps.multiply(&step)?, x.dtype())?
        }
        Activation::Clamp { limit } => ops::maximum(ops::minimum(x, &number(limit)?)?, &number(-limit)?)?,
        Activation::Xielu { alpha_p, alpha_n, beta, eps } => {
            let positive = number(softplus(alpha_p))?;
            let negative = number(beta + softplus(alpha_n))?;
            let straight = x.multiply(&number(beta)?)?;
            let above = x.square()?.multiply(&positive)?.add(&straight)?;
            let below = ops::expm1(ops::minimum(x, &number(eps)?)?)?.subtract(x)?;
            let below = below.multiply(&negative)?.add(&straight)?;
            ops::select(x.gt(&number(0.0)?)?, above, below)?
        }
        Activation::Float8 { group } => rounding::eight_bits(x, group)?,
        Activation::Float4 { group, fine } => rounding::four_bits(x, group, fine)?,
        Activation::ClippedSwiglu { .. }
        | Activation::LimitedSwiglu { .. }
        | Activation::Situ { .. }
        | Activation::ClampedSwiglu { .. } => {
            return Err(Fault::internal(format!("{activation:?} without a gate")));
        }
    })
}

/// `x * sigmoid(gate)`.
pub(super) fn sigmoid_gate(x: &Array, gate: &Array) -> Result<Array> {
    multiply(x, &ops::sigmoid(gate)?)
}

/// `a * b`, where `b` may have a number for each of equal parts of a row.
pub(super) fn multiply(a: &Array, b: &Array) -> Result<Array> {
    let (width, factors) = (a.dim(-1), b.dim(-1));
    if width == factors || factors == 1 {
        return Ok(a.multiply(b)?);
    }
    let parts = a.reshape(&[-1, factors, width / factors.max(1)])?;
    Ok(parts.multiply(b.expand_dims(-1)?)?.reshape(a.shape())?)
}

/// `x * factor`.
pub(super) fn scale(x: &Array, factor: f32) -> Result<Array> {
    Ok(x.multiply(&scalar(factor, x.dtype())?)?)
}

/// `cap * tanh(x / cap)`.
pub(super) fn softcap(x: &Array, cap: f32) -> Result<Array> {
    let cap = scalar(cap, x.dtype())?;
    Ok(ops::tanh(x.divide(&cap)?)?.multiply(&cap)?)
}

fn clipped(gate: &Array, up: &Array, alpha: f32, limit: f32) -> Result<Array> {
    let number = |number: f32| scalar(number, gate.dtype());
    let gate = ops::minimum(gate, &number(limit)?)?;
    let up = ops::maximum(ops::minimum(up, &number(limit)?)?, &number(-limit)?)?;
    let swish = gate.multiply(ops::sigmoid(gate.multiply(&number(alpha)?)?)?)?;
    Ok(up.add(&number(1.0)?)?.multiply(&swish)?)
}

fn gelu_tanh(x: &Array) -> Result<Array> {
    let number = |number: f32| scalar(number, x.dtype());
    let cubed = x.square()?.multiply(x)?.multiply(&number(0.044_715)?)?;
    let inner = ops::tanh(cubed.add(x)?.multiply(&number((2.0 / std::f32::consts::PI).sqrt())?)?)?;
    Ok(x.multiply(inner.add(&number(1.0)?)?)?.multiply(&number(0.5)?)?)
}

fn softplus(x: f32) -> f32 {
    (1.0 + f64::from(x).exp()).ln() as f32
}

/// In f32, whatever it was.
pub(super) fn wide(x: &Array) -> Result<Array> {
    cast(x.reshape(x.shape())?, Dtype::Float32)
}
