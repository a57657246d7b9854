//! Activation functions over rows of activations.

use super::super::simd::{Kernel, LANES, Lanes, Simd, exp, padded};
use crate::arch::spec::Activation;

/// `activation(gate) * up` for rows that hold gate and up side by side, or `activation(x)`.
pub(in super::super) struct ActivateRows<'a> {
    /// Rows of `width`, or of twice as much when gated.
    pub x: &'a [f32],
    pub width: usize,
    pub gated: bool,
    pub activation: Activation,
    /// Rows of `width`.
    pub out: &'a mut [f32],
}

impl Kernel for ActivateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, width, gated, activation, out } = self;
        let stride = if gated { 2 * width } else { width };
        for (row, out) in x.chunks_exact(stride).zip(out.chunks_exact_mut(width)) {
            let (gate, up) = row.split_at(width);
            for (index, out) in out.chunks_mut(LANES).enumerate() {
                let at = index * LANES;
                let lanes = |numbers: &[f32]| padded(&numbers[at.min(numbers.len())..]);
                let (gate, up) = (s.load(&lanes(gate)), s.load(&lanes(up)));
                let y = match activation {
                    Activation::ClippedSwiglu { alpha, limit } => clipped(s, gate, up, alpha, limit),
                    Activation::LimitedSwiglu { limit } => limited(s, gate, up, limit),
                    Activation::Situ { beta, cap } => situ(s, gate, up, beta, cap),
                    Activation::ClampedSwiglu { limit } => clamped(s, gate, up, limit),
                    _ if gated => s.mul(apply(s, activation, gate), up),
                    _ => apply(s, activation, gate),
                };
                let mut lanes: Lanes = [0.0; LANES];
                s.store(y, &mut lanes);
                out.copy_from_slice(&lanes[..out.len()]);
            }
        }
    }
}

/// `cap * tanh(x / cap)`.
pub(in super::super) struct SoftcapRows<'a> {
    pub cap: f32,
    /// Changed in place.
    pub x: &'a mut [f32],
}

impl Kernel for SoftcapRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in self.x.chunks_mut(LANES) {
            let mut lanes = padded(x);
            let capped = softcap(s, s.load(&lanes), self.cap);
            s.store(capped, &mut lanes);
            x.copy_from_slice(&lanes[..x.len()]);
        }
    }
}

/// `x * sigmoid(gate)` with one gate for each `width` numbers.
pub(in super::super) struct SigmoidGateRows<'a> {
    pub x: &'a [f32],
    pub gate: &'a [f32],
    /// Numbers that share a gate.
    pub width: usize,
    pub out: &'a mut [f32],
}

impl Kernel for SigmoidGateRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.width == 1 {
            let pairs = self.x.chunks(LANES).zip(self.gate.chunks(LANES));
            for ((x, gate), out) in pairs.zip(self.out.chunks_mut(LANES)) {
                let mut lanes: Lanes = [0.0; LANES];
                s.store(s.mul(s.load(&padded(x)), sigmoid(s, s.load(&padded(gate)))), &mut lanes);
                out.copy_from_slice(&lanes[..out.len()]);
            }
            return;
        }
        let rows = self.x.chunks_exact(self.width).zip(self.out.chunks_exact_mut(self.width));
        for ((x, out), gate) in rows.zip(self.gate) {
            let mut lanes: Lanes = [0.0; LANES];
            s.store(sigmoid(s, s.splat(*gate)), &mut lanes);
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * lanes[0];
            }
        }
    }
}

#[inline(always)]
pub(super) fn softcap<S: Simd>(s: S, x: S::V, cap: f32) -> S::V {
    // tanh(z) = 1 - 2 / (1 + exp(2z))
    let power = exp(s, s.mul(x, s.splat(2.0 / cap)));
    let tanh = s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(s.splat(1.0), power)));
    s.mul(tanh, s.splat(cap))
}

#[inline(always)]
pub(super) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    s.div(s.splat(1.0), s.add(s.splat(1.0), exp(s, s.sub(s.splat(0.0), x))))
}

#[inline(always)]
fn min<S: Simd>(s: S, a: S::V, b: S::V) -> S::V {
    s.select_less(a, b, a, b)
}

#[inline(always)]
fn clipped<S: Simd>(s: S, gate: S::V, up: S::V, alpha: f32, limit: f32) -> S::V {
    let gate = min(s, gate, s.splat(limit));
    let up = s.max(min(s, up, s.splat(limit)), s.splat(-limit));
    let swish = s.mul(gate, sigmoid(s, s.mul(gate, s.splat(alpha))));
    s.mul(s.add(up, s.splat(1.0)), swish)
}

#[inline(always)]
fn limited<S: Simd>(s: S, gate: S::V, up: S::V, limit: f32) -> S::V {
    let swish = min(s, s.mul(gate, sigmoid(s, gate)), s.splat(limit));
    s.mul(s.max(min(s, up, s.splat(limit)), s.splat(-limit)), swish)
}

#[inline(always)]
fn situ<S: Simd>(s: S, gate: S::V, up: S::V, beta: f32, cap: Option<f32>) -> S::V {
    let up = match cap {
        Some(cap) => softcap(s, up, cap),
        None => up,
    };
    s.mul(s.mul(softcap(s, gate, beta), sigmoid(s, gate)), up)
}

fn clamped<S: Simd>(s: S, gate: S::V, up: S::V, limit: f32) -> S::V {
    let gate = min(s, gate, s.splat(limit));
    s.mul(s.max(min(s, up, s.splat(limit)), s.splat(-limit)), s.mul(gate, sigmoid(s, gate)))
}

#[inline(always)]
fn apply<S: Simd>(s: S, activation: Activation, x: S::V) -> S::V {
    match activation {
        Activation::Silu => s.mul(x, sigmoid(s, x)),
        Activation::Softplus => {
            let mut lanes: Lanes = [0.0; LANES];
            s.store(x, &mut lanes);
            s.load(&lanes.map(softplus))
        }
        Activation::Gelu => s.mul(x, normal(s, x)),
        // What a sparse one leaves out is zero already.
        Activation::GeluTanh | Activation::SparseGeluTanh { .. } => gelu_tanh(s, x),
        Activation::Relu2 => {
            let positive = s.max(x, s.splat(0.0));
            s.mul(positive, positive)
        }
        Activation::Sigmoid => sigmoid(s, x),
        Activation::Rounded { step } => {
            let mut lanes: Lanes = [0.0; LANES];
            s.store(x, &mut lanes);
            s.load(&lanes.map(|x| (x / step).round_ties_even().clamp(-128.0, 127.0) * step))
        }
        Activation::Clamp { limit } => s.max(min(s, x, s.splat(limit)), s.splat(-limit)),
        // Gated only, and computed above; rounding to few bits goes by groups and is computed elsewhere.
        Activation::ClippedSwiglu { .. } | Activation::LimitedSwiglu { .. } => x,
        Activation::ClampedSwiglu { .. } | Activation::Situ { .. } => x,
        Activation::Float8 { .. } | Activation::Float4 { .. } => x,
        Activation::Xielu { alpha_p, alpha_n, beta, eps } => {
            let positive = s.splat(softplus(alpha_p));
            let negative = s.splat(beta + softplus(alpha_n));
            let straight = s.mul(x, s.splat(beta));
            let above = s.fma(s.mul(x, x), positive, straight);
            let below = s.sub(s.sub(exp(s, min(s, x, s.splat(eps))), s.splat(1.0)), x);
            let below = s.fma(below, negative, straight);
            s.select_less(s.splat(0.0), x, above, below)
        }
    }
}

/// Computed in f64 and rounded once, so that it is the same on every system.
fn softplus(x: f32) -> f32 {
    let x = f64::from(x);
    (if x > 30.0 { x } else { x.exp().ln_1p() }) as f32
}

/// `0.5 * (1 + tanh(z)) = sigmoid(2z)` with `z = sqrt(2/π) (x + 0.044715 x³)`.
#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let cubed = s.mul(s.mul(x, x), x);
    let inner = s.fma(cubed, s.splat(0.044_715), x);
    s.mul(x, sigmoid(s, s.mul(inner, s.splat(1.595_769_2))))
}

/// The normal distribution: `0.5 * (1 + erf(x / sqrt(2)))` with the error function by Abramowitz and Stegun, 7.1.26
/// (absolute error below 1.5e-7).
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::V) -> S::V {
    let negated = s.sub(s.splat(0.0), x);
    let z = s.mul(s.max(x, negated), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(s.splat(1.0), s.fma(z, s.splat(0.327_591_1), s.splat(1.0)));
    let mut sum = s.splat(1.061_405_4);
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = s.fma(sum, t, s.splat(coefficient));
    }
    let tail = s.mul(s.mul(sum, t), exp(s, s.sub(s.splat(0.0), s.mul(z, z))));
    let tail = s.mul(tail, s.splat(0.5));
    s.select_less(x, s.splat(0.0), tail, s.sub(s.splat(1.0), tail))
}
