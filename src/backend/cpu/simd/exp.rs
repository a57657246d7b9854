//! The exponential function, the same at every level.

use super::{LANES, Simd};

/// Above it e^x overflows.
const HIGHEST: f32 = 88.722_83;
/// Below it 0 is returned. e^x would be a subnormal number from -87.34 on.
const LOWEST: f32 = -87.3;

/// ln 2 in two parts; multiples of the first are exact in f32.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding it rounds to an integer, which ends up in the low bits.
const ROUND: f32 = 12_582_912.0;

/// (e^r - 1 - r) / r² for |r| ≤ ln 2 / 2, highest power first; a minimax fit with relative error 3e-9 of e^r.
const POLYNOMIAL: [f32; 5] = [0.001_381_453_9, 0.008_368_745, 0.041_668_39, 0.166_665_21, 0.499_999_94];

/// e^x, within 2 units in the last place; 0 below -87.3, infinity above the largest f32.
#[inline(always)]
pub(in crate::backend::cpu) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let rounded = s.fma(x, s.splat(std::f32::consts::LOG2_E), s.splat(ROUND));
    let n = s.sub(rounded, s.splat(ROUND));
    let r = s.fma(n, s.splat(-LN_2_HIGH), x);
    let r = s.fma(n, s.splat(-LN_2_LOW), r);
    let mut q = s.splat(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        q = s.fma(q, r, s.splat(*coefficient));
    }
    let y = s.add(s.fma(s.mul(r, r), q, r), s.splat(1.0));
    let y = s.scale_exponent(y, rounded);
    let y = s.select_less(s.splat(HIGHEST), x, s.splat(f32::INFINITY), y);
    s.select_less(x, s.splat(LOWEST), s.splat(0.0), y)
}

/// [`exp`] of one number.
#[inline(always)]
pub(in crate::backend::cpu) fn exp_one<S: Simd>(s: S, x: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    s.store(exp(s, s.splat(x)), &mut lanes);
    lanes[0]
}
