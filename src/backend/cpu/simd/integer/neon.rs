//! NEON, with and without dotprod and i8mm. Their intrinsics are not stable yet, so the instructions are written out.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::neon::{Neon, products};
use super::super::{LANES, word};
use super::{Integer, UNIT, Unit};

/// Intrinsics that need nothing but the instructions, or addresses within the given references.
macro_rules! neon {
    ($e:expr) => {
        // SAFETY: NEON is part of the targets that this file is compiled for, and a `Neon` with more exists only inside
        // of the functions beside it; pointers come from references to arrays of the size that is read or written, and
        // the instructions need no alignment.
        unsafe { $e }
    };
}

/// [`neon`] for each of the four registers. Not a closure, which would not be compiled with the instructions.
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

/// Adds the products of four signed bytes with four signed bytes to each lane.
#[inline(always)]
fn signed_dot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: callers have dotprod.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Adds the products of four unsigned bytes with four signed bytes to each lane.
#[inline(always)]
fn mixed_dot(mut sum: int32x4_t, a: uint8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: callers have i8mm.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

#[inline(always)]
fn dot<const PRODUCTS: u8, const BITS: usize>(sum: int32x4_t, codes: uint8x16_t, x: int8x16_t) -> int32x4_t {
    neon!({
        // Codes of 8 bits are signed bytes when 128 less.
        let signed = vreinterpretq_s8_u8(if BITS < 8 { codes } else { veorq_u8(codes, vdupq_n_u8(0x80)) });
        match PRODUCTS {
            products::MIXED => mixed_dot(sum, codes, x),
            products::DOT => {
                let sum = signed_dot(sum, signed, x);
                let half = vdupq_n_s8(64);
                if BITS < 8 { sum } else { signed_dot(signed_dot(sum, half, x), half, x) }
            }
            _ => {
                // Products of a code below 256 with a number from -127 to 127 fit into 16 bits.
                let (mut low, mut high) = (vmull_s8(vget_low_s8(signed), vget_low_s8(x)), vmull_high_s8(signed, x));
                if BITS == 8 {
                    low = vaddq_s16(low, vshll_n_s8::<7>(vget_low_s8(x)));
                    high = vaddq_s16(high, vshll_high_n_s8::<7>(x));
                }
                vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))
            }
        }
    })
}

/// The packed codes `16 * quarter` to `16 * quarter + 15`.
#[inline(always)]
fn quarter<const BITS: usize, const BYTES: usize>(packed: &[u8; BYTES], quarter: usize) -> uint8x16_t {
    // 16 bytes that hold the `2 * BITS` bytes of the codes.
    let from = (2 * BITS * quarter).min(BYTES - 16);
    // Each code gets 16 bits from the byte on that it begins in, and is shifted down.
    let (mut bytes, mut shifts) = ([[0u8; 16]; 2], [[0i16; 8]; 2]);
    for i in 0..16 {
        let bit = i * BITS;
        let byte = 2 * BITS * quarter - from + bit / 8;
        bytes[i / 8][i % 8 * 2] = byte as u8;
        // Numbers that are no index give zeros.
        bytes[i / 8][i % 8 * 2 + 1] = if byte < 15 { byte as u8 + 1 } else { 0xff };
        shifts[i / 8][i % 8] = -((bit % 8) as i16);
    }
    neon!({
        let packed = vld1q_u8(packed.as_ptr().add(from));
        let low = vreinterpretq_u16_u8(vqtbl1q_u8(packed, vld1q_u8(bytes[0].as_ptr())));
        let high = vreinterpretq_u16_u8(vqtbl1q_u8(packed, vld1q_u8(bytes[1].as_ptr())));
        let low = vshlq_u16(low, vld1q_s16(shifts[0].as_ptr()));
        let high = vshlq_u16(high, vld1q_s16(shifts[1].as_ptr()));
        let codes = vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
        vandq_u8(codes, vdupq_n_u8(((1 << BITS) - 1) as u8))
    })
}

/// Swaps lanes and vectors in a square of 4.
#[inline(always)]
fn transpose_square(v: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
    neon!({
        let (a, b) = (vtrn1q_u32(v[0], v[1]), vtrn2q_u32(v[0], v[1]));
        let (c, d) = (vtrn1q_u32(v[2], v[3]), vtrn2q_u32(v[2], v[3]));
        let low = |a: uint32x4_t, b: uint32x4_t| {
            vreinterpretq_u32_u64(vzip1q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)))
        };
        let high = |a: uint32x4_t, b: uint32x4_t| {
            vreinterpretq_u32_u64(vzip2q_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b)))
        };
        [low(a, c), low(b, d), high(a, c), high(b, d)]
    })
}

#[inline(always)]
fn transpose(v: &mut [[uint32x4_t; 4]; LANES]) {
    let mut out = *v;
    for row in 0..4 {
        for column in 0..4 {
            let square = transpose_square([
                v[4 * row][column],
                v[4 * row + 1][column],
                v[4 * row + 2][column],
                v[4 * row + 3][column],
            ]);
            for i in 0..4 {
                out[4 * column + i][row] = square[i];
            }
        }
    }
    *v = out;
}

impl<const PRODUCTS: u8> Integer for Neon<PRODUCTS> {
    type Codes = [uint8x16_t; 4];
    type Sums = [int32x4_t; 4];

    const NARROW: bool = PRODUCTS != products::MIXED;

    #[inline(always)]
    fn zeros(self) -> Self::Sums {
        neon!([vdupq_n_s32(0); 4])
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; UNIT]) -> Self::Codes {
        quarters!(i => vld1q_u8(from.as_ptr().add(16 * i)))
    }

    #[inline(always)]
    fn store_codes(self, codes: Self::Codes, to: &mut [u8; UNIT]) {
        quarters!(i => vst1q_u8(to.as_mut_ptr().add(16 * i), codes[i]));
    }

    #[inline(always)]
    fn unpack<const BITS: usize, const BYTES: usize>(self, packed: &[u8; BYTES]) -> Self::Codes {
        match BITS {
            4 => {
                let halves = neon!([vld1q_u8(packed.as_ptr()), vld1q_u8(packed.as_ptr().add(16))]);
                quarters!(i => {
                    let (low, high) = (vandq_u8(halves[i / 2], vdupq_n_u8(15)), vshrq_n_u8::<4>(halves[i / 2]));
                    if i % 2 == 0 { vzip1q_u8(low, high) } else { vzip2q_u8(low, high) }
                })
            }
            8 => quarters!(i => vld1q_u8(packed.as_ptr().add(16 * i))),
            _ => [
                quarter::<BITS, BYTES>(packed, 0),
                quarter::<BITS, BYTES>(packed, 1),
                quarter::<BITS, BYTES>(packed, 2),
                quarter::<BITS, BYTES>(packed, 3),
            ],
        }
    }

    #[inline(always)]
    fn dot<const BITS: usize>(self, sums: Self::Sums, codes: Self::Codes, x: &Unit) -> Self::Sums {
        quarters!(i => dot::<PRODUCTS, BITS>(sums[i], codes[i], vld1q_s8(x.as_ptr().add(16 * i))))
    }

    #[inline(always)]
    fn dot_four<const BITS: usize>(self, sums: Self::Sums, codes: Self::Codes, x: [i8; 4]) -> Self::Sums {
        let x = word(&x.map(i8::cast_unsigned), 0).cast_signed();
        let x = neon!(vreinterpretq_s8_s32(vdupq_n_s32(x)));
        [
            dot::<PRODUCTS, BITS>(sums[0], codes[0], x),
            dot::<PRODUCTS, BITS>(sums[1], codes[1], x),
            dot::<PRODUCTS, BITS>(sums[2], codes[2], x),
            dot::<PRODUCTS, BITS>(sums[3], codes[3], x),
        ]
    }

    #[inline(always)]
    fn add_sums(self, a: Self::Sums, b: Self::Sums) -> Self::Sums {
        quarters!(i => vaddq_s32(a[i], b[i]))
    }

    #[inline(always)]
    fn add_fours(self, v: [Self::Sums; 4]) -> Self::Sums {
        quarters!(i => vpaddq_s32(vpaddq_s32(v[0][i], v[1][i]), vpaddq_s32(v[2][i], v[3][i])))
    }

    #[inline(always)]
    fn join_fours(self, fours: [Self::Sums; 4]) -> (Self::Sums, Self::Sums) {
        let low = quarters!(i => vaddq_s32(fours[i][0], fours[i][1]));
        (low, quarters!(i => vaddq_s32(fours[i][2], fours[i][3])))
    }

    #[inline(always)]
    fn load_sums(self, from: &[i32; LANES]) -> Self::Sums {
        quarters!(i => vld1q_s32(from.as_ptr().add(4 * i)))
    }

    #[inline(always)]
    fn store_sums(self, sums: Self::Sums, to: &mut [i32; LANES]) {
        quarters!(i => vst1q_s32(to.as_mut_ptr().add(4 * i), sums[i]));
    }

    #[inline(always)]
    fn to_float(self, sums: Self::Sums) -> Self::V {
        quarters!(i => vcvtq_f32_s32(sums[i]))
    }

    #[inline(always)]
    fn narrow(self, v: Self::V, to: &mut [i8; LANES]) {
        neon!({
            let low = vcombine_s16(vqmovn_s32(vcvtq_s32_f32(v[0])), vqmovn_s32(vcvtq_s32_f32(v[1])));
            let high = vcombine_s16(vqmovn_s32(vcvtq_s32_f32(v[2])), vqmovn_s32(vcvtq_s32_f32(v[3])));
            vst1q_s8(to.as_mut_ptr(), vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
        });
    }

    #[inline(always)]
    fn highest(self, v: Self::V) -> f32 {
        neon!(vmaxvq_f32(vmaxq_f32(vmaxq_f32(v[0], v[1]), vmaxq_f32(v[2], v[3]))))
    }

    #[inline(always)]
    fn transpose(self, vectors: &mut [Self::V; LANES]) {
        let mut lanes = [neon!([vdupq_n_u32(0); 4]); LANES];
        for i in 0..LANES {
            lanes[i] = quarters!(j => vreinterpretq_u32_f32(vectors[i][j]));
        }
        transpose(&mut lanes);
        for i in 0..LANES {
            vectors[i] = quarters!(j => vreinterpretq_f32_u32(lanes[i][j]));
        }
    }

    #[inline(always)]
    fn transpose_codes(self, vectors: &mut [Self::Codes; LANES]) {
        let mut lanes = [neon!([vdupq_n_u32(0); 4]); LANES];
        for i in 0..LANES {
            lanes[i] = quarters!(j => vreinterpretq_u32_u8(vectors[i][j]));
        }
        transpose(&mut lanes);
        for i in 0..LANES {
            vectors[i] = quarters!(j => vreinterpretq_u8_u32(lanes[i][j]));
        }
    }
}
