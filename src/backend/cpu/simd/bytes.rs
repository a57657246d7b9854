//! Products of small integers, for caches of 8-bit and 4-bit numbers. They are exact, so all levels agree without more care.

use super::portable::Portable;
use super::{LANES, Lanes, Simd};

/// What kernels over small integers need beside [`Simd`].
pub(in super::super) trait Bytes: Simd {
    /// 16 lanes of i32.
    type Sums: Copy;
    /// 32 lanes of i16, two for each of [`Sums`](Self::Sums).
    type Pairs: Copy;
    /// 64 codes from 0 to 15, a byte each.
    type Codes: Copy;

    /// Stored bytes are signed integers plus 128. What [`dot_bytes`](Self::dot_bytes) multiplies is the integer plus
    /// this: 0 or 128, whatever is faster. The sum of the factors tells by how much the result is too large.
    const OFFSET: i32;

    /// The same integer in all lanes.
    fn splat_sums(self, x: i32) -> Self::Sums;
    /// Lane `i` gets the products of the bytes from `4 * i` on with the four signed bytes of `factors`, lowest first;
    /// none of those is -128.
    fn dot_bytes(self, sums: Self::Sums, bytes: &[u8; 64], factors: i32) -> Self::Sums;
    /// The codes in the low bits, and those in the high bits.
    fn codes(self, bytes: &[u8; 64]) -> [Self::Codes; 2];
    /// [`dot_bytes`](Self::dot_bytes) of codes, without an offset.
    fn dot_codes(self, sums: Self::Sums, codes: Self::Codes, factors: i32) -> Self::Sums;
    /// Widens signed bytes.
    fn pairs(self, bytes: &[u8; 32]) -> Self::Pairs;
    /// Widens the codes in the low bits, and those in the high bits.
    fn code_pairs(self, bytes: &[u8; 32]) -> [Self::Pairs; 2];
    /// Lane `i` gets the products of the pair `i` with the two signed halves of `factors`, the lower first.
    fn dot_pairs(self, sums: Self::Sums, pairs: Self::Pairs, factors: i32) -> Self::Sums;
    /// The sums, rounded to f32.
    fn floats(self, sums: Self::Sums) -> Self::V;
    /// Rounds to the nearest integer, the even one of two; numbers are at most 32767 in size.
    fn store_halves(self, v: Self::V, to: &mut [i16; LANES]);
    /// The largest lane. What is not a number may be passed over.
    fn highest(self, v: Self::V) -> f32;

    /// Asks for a cache line that will be read soon.
    #[inline(always)]
    fn prefetch(self, _line: &[u8; 64]) {}
}

/// Adding it to a number of at most 2^22 in size rounds it to an integer, which ends up in the low bits.
const ROUND: f32 = 12_582_912.0;

impl Bytes for Portable {
    type Sums = [i32; LANES];
    type Pairs = [[i16; 2]; LANES];
    type Codes = [u8; 64];

    const OFFSET: i32 = 128;

    #[inline(always)]
    fn splat_sums(self, x: i32) -> Self::Sums {
        [x; LANES]
    }

    #[inline(always)]
    fn dot_bytes(self, mut sums: Self::Sums, bytes: &[u8; 64], factors: i32) -> Self::Sums {
        let factors = factors.to_le_bytes().map(|factor| i32::from(factor.cast_signed()));
        for (sum, bytes) in sums.iter_mut().zip(bytes.as_chunks::<4>().0) {
            for i in 0..4 {
                *sum += i32::from(bytes[i]) * factors[i];
            }
        }
        sums
    }

    #[inline(always)]
    fn codes(self, bytes: &[u8; 64]) -> [Self::Codes; 2] {
        [bytes.map(|byte| byte & 15), bytes.map(|byte| byte >> 4)]
    }

    #[inline(always)]
    fn dot_codes(self, sums: Self::Sums, codes: Self::Codes, factors: i32) -> Self::Sums {
        self.dot_bytes(sums, &codes, factors)
    }

    #[inline(always)]
    fn code_pairs(self, bytes: &[u8; 32]) -> [Self::Pairs; 2] {
        [self.pairs(&bytes.map(|byte| byte & 15)), self.pairs(&bytes.map(|byte| byte >> 4))]
    }

    #[inline(always)]
    fn pairs(self, bytes: &[u8; 32]) -> Self::Pairs {
        let mut pairs = [[0; 2]; LANES];
        for (pair, bytes) in pairs.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *pair = bytes.map(|byte| i16::from(byte.cast_signed()));
        }
        pairs
    }

    #[inline(always)]
    fn dot_pairs(self, mut sums: Self::Sums, pairs: Self::Pairs, factors: i32) -> Self::Sums {
        let (low, high) = (i32::from(factors as i16), factors >> 16);
        for (sum, [first, second]) in sums.iter_mut().zip(pairs) {
            *sum += i32::from(first) * low + i32::from(second) * high;
        }
        sums
    }

    #[inline(always)]
    fn floats(self, sums: Self::Sums) -> Lanes {
        sums.map(|sum| sum as f32)
    }

    #[inline(always)]
    fn store_halves(self, v: Lanes, to: &mut [i16; LANES]) {
        for (half, x) in to.iter_mut().zip(v) {
            *half = (x + ROUND).to_bits() as i16;
        }
    }

    #[inline(always)]
    fn highest(self, mut v: Lanes) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                v[i] = if v[i] > v[i + half] { v[i] } else { v[i + half] };
            }
        }
        v[0]
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::super::avx2::Avx2;
    use super::{Bytes, LANES};

    /// Intrinsics that need nothing but the instructions, or addresses within the given references.
    macro_rules! avx2 {
        ($e:expr) => {
            // SAFETY: an `Avx2` exists only where the processor has the instructions; pointers come from references to
            // arrays of the size that is read or written, and the instructions need no alignment.
            unsafe { $e }
        };
    }

    impl<const VNNI: bool> Bytes for Avx2<VNNI> {
        type Sums = [__m256i; 2];
        type Pairs = [__m256i; 2];
        type Codes = [__m256i; 2];

        const OFFSET: i32 = 0;

        #[inline(always)]
        fn splat_sums(self, x: i32) -> Self::Sums {
            avx2!([_mm256_set1_epi32(x); 2])
        }

        // Unsigned times signed saturates in 16 bits, so the signs go to the factors: 2 * 128 * 127 fits.
        #[inline(always)]
        fn dot_bytes(self, mut sums: Self::Sums, bytes: &[u8; 64], factors: i32) -> Self::Sums {
            avx2!({
                let (factors, ones) = (_mm256_set1_epi32(factors), _mm256_set1_epi16(1));
                for (sum, bytes) in sums.iter_mut().zip(bytes.as_chunks::<32>().0) {
                    let stored = _mm256_loadu_si256(bytes.as_ptr().cast());
                    let signed = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
                    let factors = _mm256_sign_epi8(factors, signed);
                    let products = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), factors);
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
                }
                sums
            })
        }

        #[inline(always)]
        fn codes(self, bytes: &[u8; 64]) -> [Self::Codes; 2] {
            avx2!({
                let low = _mm256_set1_epi8(15);
                let stored = [0, 32].map(
                    #[inline(always)]
                    |at| _mm256_loadu_si256(bytes.as_ptr().add(at).cast()),
                );
                let high = [_mm256_srli_epi16::<4>(stored[0]), _mm256_srli_epi16::<4>(stored[1])];
                [
                    [_mm256_and_si256(stored[0], low), _mm256_and_si256(stored[1], low)],
                    [_mm256_and_si256(high[0], low), _mm256_and_si256(high[1], low)],
                ]
            })
        }

        // 2 * 15 * 127 does not saturate.
        #[inline(always)]
        fn dot_codes(self, sums: Self::Sums, codes: Self::Codes, factors: i32) -> Self::Sums {
            avx2!({
                let (factors, ones) = (_mm256_set1_epi32(factors), _mm256_set1_epi16(1));
                let products = [_mm256_maddubs_epi16(codes[0], factors), _mm256_maddubs_epi16(codes[1], factors)];
                [
                    _mm256_add_epi32(sums[0], _mm256_madd_epi16(products[0], ones)),
                    _mm256_add_epi32(sums[1], _mm256_madd_epi16(products[1], ones)),
                ]
            })
        }

        #[inline(always)]
        fn code_pairs(self, bytes: &[u8; 32]) -> [Self::Pairs; 2] {
            avx2!({
                let wide = [
                    _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes.as_ptr().cast())),
                    _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes.as_ptr().add(16).cast())),
                ];
                let low = _mm256_set1_epi16(15);
                [
                    [_mm256_and_si256(wide[0], low), _mm256_and_si256(wide[1], low)],
                    [_mm256_srli_epi16::<4>(wide[0]), _mm256_srli_epi16::<4>(wide[1])],
                ]
            })
        }

        #[inline(always)]
        fn pairs(self, bytes: &[u8; 32]) -> Self::Pairs {
            avx2!([
                _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes.as_ptr().cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes.as_ptr().add(16).cast()))
            ])
        }

        #[inline(always)]
        fn dot_pairs(self, sums: Self::Sums, pairs: Self::Pairs, factors: i32) -> Self::Sums {
            avx2!({
                let factors = _mm256_set1_epi32(factors);
                [
                    _mm256_add_epi32(sums[0], _mm256_madd_epi16(pairs[0], factors)),
                    _mm256_add_epi32(sums[1], _mm256_madd_epi16(pairs[1], factors)),
                ]
            })
        }

        #[inline(always)]
        fn floats(self, sums: Self::Sums) -> Self::V {
            avx2!([_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])])
        }

        #[inline(always)]
        fn store_halves(self, v: Self::V, to: &mut [i16; LANES]) {
            avx2!({
                let packed = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
                let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
                _mm256_storeu_si256(to.as_mut_ptr().cast(), ordered);
            });
        }

        #[inline(always)]
        fn highest(self, v: Self::V) -> f32 {
            avx2!({
                let eight = _mm256_max_ps(v[0], v[1]);
                let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
            })
        }

        #[inline(always)]
        fn prefetch(self, line: &[u8; 64]) {
            avx2!(_mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::super::avx512::Avx512;
    use super::{Bytes, LANES};

    /// Intrinsics that need nothing but the instructions, or addresses within the given references.
    macro_rules! avx512 {
        ($e:expr) => {
            // SAFETY: an `Avx512` exists only where the processor has the instructions; pointers come from references
            // to arrays of the size that is read or written, and the instructions need no alignment.
            unsafe { $e }
        };
    }

    impl<const VNNI: bool> Bytes for Avx512<VNNI> {
        type Sums = __m512i;
        type Pairs = __m512i;
        type Codes = __m512i;

        const OFFSET: i32 = 128;

        #[inline(always)]
        fn splat_sums(self, x: i32) -> __m512i {
            avx512!(_mm512_set1_epi32(x))
        }

        #[inline(always)]
        fn dot_bytes(self, sums: __m512i, bytes: &[u8; 64], factors: i32) -> __m512i {
            avx512!(_mm512_dpbusd_epi32(sums, _mm512_loadu_si512(bytes.as_ptr().cast()), _mm512_set1_epi32(factors)))
        }

        #[inline(always)]
        fn codes(self, bytes: &[u8; 64]) -> [__m512i; 2] {
            avx512!({
                let (stored, low) = (_mm512_loadu_si512(bytes.as_ptr().cast()), _mm512_set1_epi8(15));
                [_mm512_and_si512(stored, low), _mm512_and_si512(_mm512_srli_epi16::<4>(stored), low)]
            })
        }

        #[inline(always)]
        fn dot_codes(self, sums: __m512i, codes: __m512i, factors: i32) -> __m512i {
            avx512!(_mm512_dpbusd_epi32(sums, codes, _mm512_set1_epi32(factors)))
        }

        #[inline(always)]
        fn code_pairs(self, bytes: &[u8; 32]) -> [__m512i; 2] {
            avx512!({
                let wide = _mm512_cvtepu8_epi16(_mm256_loadu_si256(bytes.as_ptr().cast()));
                [_mm512_and_si512(wide, _mm512_set1_epi16(15)), _mm512_srli_epi16::<4>(wide)]
            })
        }

        #[inline(always)]
        fn pairs(self, bytes: &[u8; 32]) -> __m512i {
            avx512!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(bytes.as_ptr().cast())))
        }

        #[inline(always)]
        fn dot_pairs(self, sums: __m512i, pairs: __m512i, factors: i32) -> __m512i {
            avx512!(_mm512_dpwssd_epi32(sums, pairs, _mm512_set1_epi32(factors)))
        }

        #[inline(always)]
        fn floats(self, sums: __m512i) -> __m512 {
            avx512!(_mm512_cvtepi32_ps(sums))
        }

        #[inline(always)]
        fn store_halves(self, v: __m512, to: &mut [i16; LANES]) {
            let halves = avx512!(_mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
            avx512!(_mm256_storeu_si256(to.as_mut_ptr().cast(), halves));
        }

        #[inline(always)]
        fn highest(self, v: __m512) -> f32 {
            avx512!({
                let eight = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
                let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
            })
        }

        #[inline(always)]
        fn prefetch(self, line: &[u8; 64]) {
            avx512!(_mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::super::neon::Neon;
    use super::{Bytes, LANES};

    /// Intrinsics for each of the four registers of a vector.
    macro_rules! quarters {
        ($i:ident => $e:expr) => {
            // SAFETY: NEON is part of the targets that this file is compiled for; pointers come from references to
            // arrays of the size that is read or written, and the instructions need no alignment.
            [0, 1, 2, 3].map(
                #[inline(always)]
                |$i: usize| unsafe { $e },
            )
        };
    }

    impl<const PRODUCTS: u8> Bytes for Neon<PRODUCTS> {
        type Sums = [int32x4_t; 4];
        type Pairs = [int16x8_t; 4];
        type Codes = [int8x16_t; 4];

        const OFFSET: i32 = 0;

        #[inline(always)]
        fn splat_sums(self, x: i32) -> Self::Sums {
            // SAFETY: see `quarters`.
            [unsafe { vdupq_n_s32(x) }; 4]
        }

        #[inline(always)]
        fn dot_bytes(self, sums: Self::Sums, bytes: &[u8; 64], factors: i32) -> Self::Sums {
            quarters!(i => {
                let signed = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes.as_ptr().add(16 * i)), vdupq_n_u8(128)));
                let factors = vreinterpret_s8_s32(vdup_n_s32(factors));
                let low = vpaddlq_s16(vmull_s8(vget_low_s8(signed), factors));
                let high = vpaddlq_s16(vmull_s8(vget_high_s8(signed), factors));
                vaddq_s32(sums[i], vpaddq_s32(low, high))
            })
        }

        #[inline(always)]
        fn codes(self, bytes: &[u8; 64]) -> [Self::Codes; 2] {
            [
                quarters!(i => vreinterpretq_s8_u8(vandq_u8(vld1q_u8(bytes.as_ptr().add(16 * i)), vdupq_n_u8(15)))),
                quarters!(i => vreinterpretq_s8_u8(vshrq_n_u8::<4>(vld1q_u8(bytes.as_ptr().add(16 * i))))),
            ]
        }

        #[inline(always)]
        fn dot_codes(self, sums: Self::Sums, codes: Self::Codes, factors: i32) -> Self::Sums {
            quarters!(i => {
                let factors = vreinterpret_s8_s32(vdup_n_s32(factors));
                let low = vpaddlq_s16(vmull_s8(vget_low_s8(codes[i]), factors));
                let high = vpaddlq_s16(vmull_s8(vget_high_s8(codes[i]), factors));
                vaddq_s32(sums[i], vpaddq_s32(low, high))
            })
        }

        #[inline(always)]
        fn code_pairs(self, bytes: &[u8; 32]) -> [Self::Pairs; 2] {
            let wide = quarters!(i => vmovl_u8(vld1_u8(bytes.as_ptr().add(8 * i))));
            [
                quarters!(i => vreinterpretq_s16_u16(vandq_u16(wide[i], vdupq_n_u16(15)))),
                quarters!(i => vreinterpretq_s16_u16(vshrq_n_u16::<4>(wide[i]))),
            ]
        }

        #[inline(always)]
        fn pairs(self, bytes: &[u8; 32]) -> Self::Pairs {
            quarters!(i => vmovl_s8(vreinterpret_s8_u8(vld1_u8(bytes.as_ptr().add(8 * i)))))
        }

        #[inline(always)]
        fn dot_pairs(self, sums: Self::Sums, pairs: Self::Pairs, factors: i32) -> Self::Sums {
            quarters!(i => {
                let factors = vreinterpret_s16_s32(vdup_n_s32(factors));
                let low = vmull_s16(vget_low_s16(pairs[i]), factors);
                let high = vmull_s16(vget_high_s16(pairs[i]), factors);
                vaddq_s32(sums[i], vpaddq_s32(low, high))
            })
        }

        #[inline(always)]
        fn floats(self, sums: Self::Sums) -> Self::V {
            quarters!(i => vcvtq_f32_s32(sums[i]))
        }

        #[inline(always)]
        fn store_halves(self, v: Self::V, to: &mut [i16; LANES]) {
            let halves = quarters!(i => vmovn_s32(vcvtnq_s32_f32(v[i])));
            for (halves, to) in halves.into_iter().zip(to.as_chunks_mut::<4>().0) {
                // SAFETY: four numbers are written to an array of four.
                unsafe { vst1_s16(to.as_mut_ptr(), halves) };
            }
        }

        #[inline(always)]
        fn highest(self, v: Self::V) -> f32 {
            // SAFETY: see above.
            unsafe { vmaxvq_f32(vmaxq_f32(vmaxq_f32(v[0], v[1]), vmaxq_f32(v[2], v[3]))) }
        }
    }
}
