//! AVX2 with fused products and f16 conversions: two registers of 8 lanes.

use std::arch::x86_64::*;

use super::{IntegerKernel, Kernel, Lanes, Registers, Simd, word};

/// Proof that the instructions are there: only the functions below make one. With `VNNI`, AVX-VNNI's are too.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const VNNI: bool>(());

/// Whether this processor has the instructions.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Runs a kernel compiled with the instructions.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<false>(()))
}

/// Runs an integer kernel compiled with the instructions.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn enter_integer<K: IntegerKernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<false>(()))
}

/// Whether this processor has AVX-VNNI too.
pub(super) fn has_vnni() -> bool {
    is_available() && is_x86_feature_detected!("avxvnni")
}

/// Runs an integer kernel compiled with AVX-VNNI too.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn enter_vnni<K: IntegerKernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<true>(()))
}

/// Intrinsics that need nothing but the instructions, or addresses within the given references.
macro_rules! avx2 {
    ($e:expr) => {
        // SAFETY: an `Avx2` exists only inside of `enter`, so the processor has the instructions; pointers come from
        // references to arrays of the size that is read or written, and the instructions need no alignment.
        unsafe { $e }
    };
}

/// Code `8 * half + i` in lane `i`, in the low bits.
#[inline(always)]
fn codes<const BITS: usize, const BYTES: usize>(codes: &[u8; BYTES], half: usize) -> __m256i {
    let mask = (1 << BITS) - 1;
    match BITS {
        2 => {
            let first = 16 * half as i32;
            let shifts = avx2!(_mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
            let shifts = avx2!(_mm256_add_epi32(shifts, _mm256_set1_epi32(first)));
            avx2!(_mm256_and_si256(
                _mm256_srlv_epi32(_mm256_set1_epi32(word(codes, 0).cast_signed()), shifts),
                _mm256_set1_epi32(mask)
            ))
        }
        4 => {
            let shifts = avx2!(_mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
            avx2!(_mm256_and_si256(
                _mm256_srlv_epi32(_mm256_set1_epi32(word(codes, 4 * half).cast_signed()), shifts),
                _mm256_set1_epi32(mask)
            ))
        }
        8 => {
            let (low, high) = (word(codes, 8 * half), word(codes, 8 * half + 4));
            avx2!(_mm256_cvtepu8_epi32(_mm_set_epi32(0, 0, high.cast_signed(), low.cast_signed())))
        }
        _ => {
            // Eight codes are `BITS` bytes: each lane gets the two bytes that its code lies in.
            let mut packed = 0;
            for i in 0..BITS {
                packed |= i64::from(codes[BITS * half + i]) << (8 * i);
            }
            let all = avx2!(_mm256_set1_epi64x(packed));
            let (mut select, mut shifts) = ([-1i8; 32], [0i32; 8]);
            for i in 0..8 {
                select[4 * i] = (i * BITS / 8) as i8;
                select[4 * i + 1] = (i * BITS / 8 + 1) as i8;
                shifts[i] = (i * BITS % 8) as i32;
            }
            let pairs = avx2!(_mm256_shuffle_epi8(all, _mm256_loadu_si256(select.as_ptr().cast())));
            let shifted = avx2!(_mm256_srlv_epi32(pairs, _mm256_loadu_si256(shifts.as_ptr().cast())));
            avx2!(_mm256_and_si256(shifted, _mm256_set1_epi32(mask)))
        }
    }
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type V = [__m256; 2];
    type Affine = (__m256, __m256);

    const REGISTERS: Registers = Registers::Half;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        avx2!([_mm256_set1_ps(x); 2])
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Self::V {
        avx2!([_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))])
    }

    #[inline(always)]
    fn store(self, v: Self::V, to: &mut Lanes) {
        avx2!({
            _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
        });
    }

    #[inline(always)]
    fn load_f32(self, from: &[u8; 64]) -> Self::V {
        avx2!([_mm256_loadu_ps(from.as_ptr().cast()), _mm256_loadu_ps(from.as_ptr().add(32).cast())])
    }

    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> Self::V {
        avx2!([
            _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().add(16).cast()))
        ])
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> Self::V {
        avx2!({
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().add(16).cast()));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high))]
        })
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        avx2!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        avx2!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        avx2!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        avx2!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        avx2!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        avx2!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, then: Self::V, otherwise: Self::V) -> Self::V {
        avx2!([
            _mm256_blendv_ps(otherwise[0], then[0], _mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0])),
            _mm256_blendv_ps(otherwise[1], then[1], _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1]))
        ])
    }

    #[inline(always)]
    fn scale_exponent(self, v: Self::V, exponent: Self::V) -> Self::V {
        avx2!({
            let low = _mm256_slli_epi32::<23>(_mm256_castps_si256(exponent[0]));
            let high = _mm256_slli_epi32::<23>(_mm256_castps_si256(exponent[1]));
            [
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v[0]), low)),
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v[1]), high)),
            ]
        })
    }

    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        avx2!({
            let eight = _mm256_add_ps(v[0], v[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn affine<const BITS: usize>(self, scale: f32, bias: f32) -> Self::Affine {
        avx2!((_mm256_set1_ps(scale), _mm256_set1_ps(bias)))
    }

    #[inline(always)]
    fn dequantize<const BITS: usize, const BYTES: usize>(
        self,
        bytes: &[u8; BYTES],
        (scale, bias): Self::Affine,
    ) -> Self::V {
        let (low, high) = (codes::<BITS, BYTES>(bytes, 0), codes::<BITS, BYTES>(bytes, 1));
        avx2!([
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(low), scale, bias),
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(high), scale, bias)
        ])
    }
}
