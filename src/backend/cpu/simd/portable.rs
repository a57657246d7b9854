//! Plain Rust, for processors without a level of their own.

use super::{LANES, Lanes, Registers, Simd};

#[derive(Clone, Copy)]
pub(super) struct Portable;

/// Whether the target has an instruction for `a * b + c` with one rounding, so that the C library isn't called for it.
const HAS_FMA: bool = cfg!(any(not(any(target_arch = "x86", target_arch = "x86_64")), target_feature = "fma"));

/// `a * b + c` with one rounding where the processor may lack the instruction; the C library's way is much slower.
/// The product is exact in f64, and the sum hardly ever so close to the middle of two f32 that rounding it twice gives
/// another result than rounding it once.
#[inline(always)]
fn emulated_lanes(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    let (mut sums, mut doubtful) = ([0.0; LANES], false);
    for i in 0..LANES {
        let sum = f64::from(a[i]) * f64::from(b[i]) + f64::from(c[i]);
        let middle = sum.to_bits() & 0x1fff_ffff == 0x1000_0000;
        let subnormal = (sum.abs() < f64::from(f32::MIN_POSITIVE)) & (sum != 0.0);
        doubtful |= middle | subnormal;
        sums[i] = sum as f32;
    }
    if doubtful { exact_lanes(a, b, c) } else { sums }
}

#[cold]
#[inline(never)]
fn exact_lanes(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    lanes(|i| emulated(a[i], b[i], c[i]))
}

/// The exact way: the sum is rounded to odd, so that rounding it again to f32 gives the right result.
#[inline(always)]
fn emulated(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let rest = sum - product;
    let error = (product - (sum - rest)) + (c - rest);
    let bits = sum.to_bits();
    let up = (error > 0.0) == (sum > 0.0);
    let odd = if up { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    // The error of infinities is not a number, and they stay as they are.
    let inexact = (error > 0.0) | (error < 0.0);
    f64::from_bits(if inexact && bits & 1 == 0 { odd } else { bits }) as f32
}

/// An f16 number, without branches. As an f32's exponent its own is too small by 112, for subnormal numbers too.
#[inline(always)]
fn widened(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let number = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(number.to_bits() | special | (bits & 0x8000) << 16)
}

#[inline(always)]
fn lanes(f: impl Fn(usize) -> f32) -> Lanes {
    let mut v = [0.0; LANES];
    for (i, lane) in v.iter_mut().enumerate() {
        *lane = f(i);
    }
    v
}

impl Simd for Portable {
    type V = Lanes;
    type Affine = (f32, f32);

    const REGISTERS: Registers = Registers::Narrow;

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Lanes {
        *from
    }

    #[inline(always)]
    fn store(self, v: Lanes, to: &mut Lanes) {
        *to = v;
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[u8; 64]) -> Lanes {
        let numbers = bytes.as_chunks().0;
        lanes(|i| f32::from_le_bytes(numbers[i]))
    }

    #[inline(always)]
    fn load_f16(self, bytes: &[u8; 32]) -> Lanes {
        let numbers = bytes.as_chunks().0;
        lanes(|i| widened(u16::from_le_bytes(numbers[i])))
    }

    #[inline(always)]
    fn load_bf16(self, bytes: &[u8; 32]) -> Lanes {
        let numbers = bytes.as_chunks().0;
        lanes(|i| f32::from_bits(u32::from(u16::from_le_bytes(numbers[i])) << 16))
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        lanes(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        lanes(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        lanes(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        lanes(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        if HAS_FMA { lanes(|i| a[i].mul_add(b[i], c[i])) } else { emulated_lanes(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        lanes(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn select_less(self, a: Lanes, b: Lanes, then: Lanes, otherwise: Lanes) -> Lanes {
        lanes(|i| if a[i] < b[i] { then[i] } else { otherwise[i] })
    }

    #[inline(always)]
    fn scale_exponent(self, v: Lanes, exponent: Lanes) -> Lanes {
        lanes(|i| f32::from_bits(v[i].to_bits().wrapping_add(exponent[i].to_bits() << 23)))
    }

    #[inline(always)]
    fn sum(self, mut v: Lanes) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                v[i] += v[i + half];
            }
        }
        v[0]
    }

    #[inline(always)]
    fn affine<const BITS: usize>(self, scale: f32, bias: f32) -> (f32, f32) {
        (scale, bias)
    }

    #[inline(always)]
    fn dequantize<const BITS: usize, const BYTES: usize>(
        self,
        codes: &[u8; BYTES],
        (scale, bias): (f32, f32),
    ) -> Lanes {
        let codes = lanes(|i| {
            let (byte, shift) = (i * BITS / 8, i * BITS % 8);
            // A code touches two bytes at most; the last of a chunk ends with its last byte.
            let high = if byte + 1 < BYTES { codes[byte + 1] } else { 0 };
            let code = (u32::from(codes[byte]) | u32::from(high) << 8) >> shift & ((1 << BITS) - 1);
            code as f32
        });
        self.fma(codes, [scale; LANES], [bias; LANES])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulated_product_sum_is_the_real_one() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        for round in 0..2_000_000 {
            // Near numbers, so that sums round and cancel, then any bits at all.
            let mut number = || match round % 4 {
                0 => f32::from_bits(random()),
                1 => f32::from_bits(random() & 0x80ff_f000 | 0x3f00_0000),
                _ => f32::from_bits(random() & 0x81ff_ffff | 0x3e00_0000),
            };
            let (a, b, c) = (number(), number(), number());
            let c = if round % 8 == 7 { -a * b } else { c };
            let want = a.mul_add(b, c);
            for got in [emulated(a, b, c), emulated_lanes([a; LANES], [b; LANES], [c; LANES])[5]] {
                let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                assert!(same, "{a:e} {b:e} {c:e} {got} {want}");
            }
        }
    }

    #[test]
    fn all_f16_numbers_are_widened() {
        for bits in 0..=u16::MAX {
            let (got, want) = (widened(bits), half::f16::from_bits(bits).to_f32());
            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:#x} {got} {want}");
        }
    }

    #[test]
    fn ties_between_two_numbers_are_broken_by_the_rest() {
        // The product lies just above the middle of two neighbouring f32 and rounds to it in f64.
        let (a, b) = (1.0 + 2f32.powi(-12), 1.0 + 2f32.powi(-12));
        for c in [2f32.powi(-60), -2f32.powi(-60), 1.0, -1.0, 2f32.powi(12), f32::MIN_POSITIVE / 8.0] {
            let want = a.mul_add(b, c).to_bits();
            assert_eq!(emulated(a, b, c).to_bits(), want, "{c}");
            assert_eq!(emulated_lanes([a; LANES], [b; LANES], [c; LANES])[0].to_bits(), want, "{c}");
        }
    }
}
