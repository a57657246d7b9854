//! NEON, which every 64-bit ARM processor has: four registers of 4 lanes.

use std::arch::aarch64::*;

use super::portable::Portable;
use super::{IntegerKernel, Kernel, Lanes, Registers, Simd, word};

/// How bytes are multiplied.
pub(super) mod products {
    /// By widening products, which all processors have.
    pub const WIDE: u8 = 0;
    /// By products of four signed bytes (dotprod).
    pub const DOT: u8 = 1;
    /// By products of four unsigned with four signed bytes too (i8mm).
    pub const MIXED: u8 = 2;
}

/// Proof that the instructions for `PRODUCTS` are there: only the functions below make one.
#[derive(Clone, Copy)]
pub(super) struct Neon<const PRODUCTS: u8>(());

/// Runs a kernel.
pub(super) fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<{ products::WIDE }>(()))
}

/// Runs an integer kernel.
pub(super) fn enter_integer<K: IntegerKernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<{ products::WIDE }>(()))
}

/// Whether this processor has dotprod.
pub(super) fn has_dot() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// Runs an integer kernel compiled with dotprod.
#[target_feature(enable = "dotprod")]
pub(super) fn enter_dot<K: IntegerKernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<{ products::DOT }>(()))
}

/// Whether this processor has dotprod and i8mm.
pub(super) fn has_mixed() -> bool {
    has_dot() && std::arch::is_aarch64_feature_detected!("i8mm")
}

/// Runs an integer kernel compiled with dotprod and i8mm.
#[target_feature(enable = "dotprod,i8mm")]
pub(super) fn enter_mixed<K: IntegerKernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<{ products::MIXED }>(()))
}

/// Intrinsics that need nothing but the instructions, or addresses within the given references.
macro_rules! neon {
    ($e:expr) => {
        // SAFETY: NEON is part of the targets that this file is compiled for; pointers come from references to arrays
        // of the size that is read or written, and the instructions need no alignment.
        unsafe { $e }
    };
}

/// [`neon`] for each of the four registers.
macro_rules! quarters {
    ($i:ident => $e:expr) => {
        neon!([
            {
                let $i = 0;
                $e
            },
            {
                let $i = 1;
                $e
            },
            {
                let $i = 2;
                $e
            },
            {
                let $i = 3;
                $e
            },
        ])
    };
}

/// Bits from a first one on in each lane.
#[inline(always)]
fn shift_right(word: u32, first: i32, step: i32) -> uint32x4_t {
    let shifts = [-first, -first - step, -first - 2 * step, -first - 3 * step];
    neon!(vshlq_u32(vdupq_n_u32(word), vld1q_s32(shifts.as_ptr())))
}

/// Codes `4 * quarter` and the three after it.
#[inline(always)]
fn codes<const BITS: usize, const BYTES: usize>(codes: &[u8; BYTES], quarter: usize) -> uint32x4_t {
    let bits = BITS as i32;
    let shifted = match BITS {
        2 => shift_right(word(codes, 0), 8 * quarter as i32, bits),
        4 => shift_right(word(codes, quarter / 2 * 4), 16 * (quarter as i32 % 2), bits),
        8 => return neon!(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(u64::from(word(codes, 4 * quarter))))))),
        _ => {
            // Four codes are at most 3 bytes and begin at most 4 bits into the first one.
            let start = quarter * 4 * BITS;
            let mut packed = 0;
            for i in 0..4 {
                if start / 8 + i < BYTES {
                    packed |= u32::from(codes[start / 8 + i]) << (8 * i);
                }
            }
            shift_right(packed, (start % 8) as i32, bits)
        }
    };
    neon!(vandq_u32(shifted, vdupq_n_u32((1 << BITS) - 1)))
}

impl<const PRODUCTS: u8> Simd for Neon<PRODUCTS> {
    type V = [float32x4_t; 4];
    type Affine = (float32x4_t, float32x4_t);

    const REGISTERS: Registers = Registers::Narrow;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        neon!([vdupq_n_f32(x); 4])
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Self::V {
        quarters!(i => vld1q_f32(from.as_ptr().add(4 * i)))
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut Lanes) {
        quarters!(i => vst1q_f32(to.as_mut_ptr().add(4 * i), v[i]));
    }

    #[inline(always)]
    fn load_f32(self, from: &[u8; 64]) -> Self::V {
        quarters!(i => vreinterpretq_f32_u8(vld1q_u8(from.as_ptr().add(16 * i))))
    }

    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> Self::V {
        self.load(&Portable.load_f16(from))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> Self::V {
        quarters!(i => {
            let halves = vreinterpret_u16_u8(vld1_u8(from.as_ptr().add(8 * i)));
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(halves)))
        })
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        quarters!(i => vaddq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        quarters!(i => vsubq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        quarters!(i => vmulq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        quarters!(i => vdivq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        quarters!(i => vfmaq_f32(c[i], a[i], b[i]))
    }

    // Not the instruction for it, which treats what is not a number in another way.
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        quarters!(i => vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]))
    }

    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, then: Self::V, otherwise: Self::V) -> Self::V {
        quarters!(i => vbslq_f32(vcltq_f32(a[i], b[i]), then[i], otherwise[i]))
    }

    #[inline(always)]
    fn scale_exponent(self, v: Self::V, exponent: Self::V) -> Self::V {
        quarters!(i => {
            let shift = vshlq_n_u32::<23>(vreinterpretq_u32_f32(exponent[i]));
            vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(v[i]), shift))
        })
    }

    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        neon!({
            let four = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        })
    }

    #[inline(always)]
    fn affine<const BITS: usize>(self, scale: f32, bias: f32) -> Self::Affine {
        neon!((vdupq_n_f32(scale), vdupq_n_f32(bias)))
    }

    #[inline(always)]
    fn dequantize<const BITS: usize, const BYTES: usize>(
        self,
        bytes: &[u8; BYTES],
        (scale, bias): Self::Affine,
    ) -> Self::V {
        quarters!(i => vfmaq_f32(bias, vcvtq_f32_u32(codes::<BITS, BYTES>(bytes, i)), scale))
    }
}
