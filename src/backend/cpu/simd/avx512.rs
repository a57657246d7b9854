//! AVX-512 (F, BW, DQ, VL, VNNI): one register of 16 lanes.

use std::arch::x86_64::*;

use super::{IntegerKernel, Kernel, Lanes, Registers, Simd, word};

/// Proof that the instructions are there: only the functions below make one. With `VNNI`, VNNI's and VBMI's are too.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const VNNI: bool>(());

/// Whether this processor has the instructions.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && super::avx2::is_available()
}

/// Runs a kernel compiled with the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false>(()))
}

/// Whether this processor has VNNI and VBMI too.
pub(super) fn has_vnni() -> bool {
    is_available() && is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vbmi")
}

/// Runs an integer kernel compiled with VNNI and VBMI too.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx2,fma,f16c")]
pub(super) fn enter_vnni<K: IntegerKernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true>(()))
}

/// Intrinsics that need nothing but the instructions, or addresses within the given references.
macro_rules! avx512 {
    ($e:expr) => {
        // SAFETY: an `Avx512` exists only inside of `enter`, so the processor has the instructions; pointers come from
        // references to arrays of the size that is read or written, and the instructions need no alignment.
        unsafe { $e }
    };
}

/// A group's numbers by code, so that looking up 16 codes is one permutation (5 bits and less).
#[derive(Clone, Copy)]
pub(super) struct Group {
    scale: __m512,
    bias: __m512,
    /// Numbers of the codes 0 to 15, repeated when there are fewer codes.
    low: __m512,
    /// Numbers of the codes 16 to 31.
    high: __m512,
}

#[inline(always)]
fn iota() -> __m512i {
    avx512!(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
}

/// Code `i` in lane `i`, in the low bits; the bits above are arbitrary.
#[inline(always)]
fn codes<const BITS: usize, const BYTES: usize>(codes: &[u8; BYTES]) -> __m512i {
    match BITS {
        2 => {
            let shifts = avx512!(_mm512_slli_epi32::<1>(iota()));
            avx512!(_mm512_srlv_epi32(_mm512_set1_epi32(word(codes, 0).cast_signed()), shifts))
        }
        4 => {
            let low = avx512!(_mm512_set1_epi32(word(codes, 0).cast_signed()));
            let words = avx512!(_mm512_mask_set1_epi32(low, 0xff00, word(codes, 4).cast_signed()));
            avx512!(_mm512_srlv_epi32(
                words,
                _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28)
            ))
        }
        8 => avx512!(_mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()))),
        _ => {
            // Each lane gets the two bytes that its code lies in. The masked load reads `BYTES` bytes only.
            let mask = ((1u32 << BYTES) - 1) as u16;
            let chunk = avx512!(_mm_maskz_loadu_epi8(mask, codes.as_ptr().cast()));
            let (mut select, mut shifts) = ([-1i8; 64], [0i32; 16]);
            for i in 0..16 {
                select[4 * i] = (i * BITS / 8) as i8;
                select[4 * i + 1] = (i * BITS / 8 + 1) as i8;
                shifts[i] = (i * BITS % 8) as i32;
            }
            let all = avx512!(_mm512_broadcast_i32x4(chunk));
            let pairs = avx512!(_mm512_shuffle_epi8(all, _mm512_loadu_si512(select.as_ptr().cast())));
            avx512!(_mm512_srlv_epi32(pairs, _mm512_loadu_si512(shifts.as_ptr().cast())))
        }
    }
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    type V = __m512;
    type Affine = Group;

    const REGISTERS: Registers = Registers::Full;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        avx512!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> __m512 {
        avx512!(_mm512_loadu_ps(from.as_ptr()))
    }

    #[inline(always)]
    fn store(self, v: __m512, to: &mut Lanes) {
        avx512!(_mm512_storeu_ps(to.as_mut_ptr(), v));
    }

    #[inline(always)]
    fn load_f32(self, from: &[u8; 64]) -> __m512 {
        avx512!(_mm512_loadu_ps(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn load_f16(self, from: &[u8; 32]) -> __m512 {
        avx512!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u8; 32]) -> __m512 {
        avx512!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        avx512!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, then: __m512, otherwise: __m512) -> __m512 {
        avx512!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), otherwise, then))
    }

    #[inline(always)]
    fn scale_exponent(self, v: __m512, exponent: __m512) -> __m512 {
        avx512!({
            let shift = _mm512_slli_epi32::<23>(_mm512_castps_si512(exponent));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v), shift))
        })
    }

    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        avx512!({
            let eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn affine<const BITS: usize>(self, scale: f32, bias: f32) -> Group {
        avx512!({
            let (scale, bias) = (_mm512_set1_ps(scale), _mm512_set1_ps(bias));
            let index = _mm512_and_si512(iota(), _mm512_set1_epi32((1 << BITS) - 1));
            let low = _mm512_fmadd_ps(_mm512_cvtepi32_ps(index), scale, bias);
            let upper = _mm512_add_epi32(iota(), _mm512_set1_epi32(16));
            let high = _mm512_fmadd_ps(_mm512_cvtepi32_ps(upper), scale, bias);
            Group { scale, bias, low, high }
        })
    }

    #[inline(always)]
    fn dequantize<const BITS: usize, const BYTES: usize>(self, bytes: &[u8; BYTES], group: Group) -> __m512 {
        let codes = codes::<BITS, BYTES>(bytes);
        match BITS {
            // The permutations look at the low 4 and 5 bits only.
            2..=4 => avx512!(_mm512_permutexvar_ps(codes, group.low)),
            5 => avx512!(_mm512_permutex2var_ps(group.low, codes, group.high)),
            _ => avx512!({
                let codes = _mm512_and_si512(codes, _mm512_set1_epi32((1 << BITS) - 1));
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(codes), group.scale, group.bias)
            }),
        }
    }

    // Both words of 4 bit codes go to all lanes in one load, and alternate.
    #[inline(always)]
    fn dequantize_arranged<const BITS: usize, const BYTES: usize>(self, bytes: &[u8; BYTES], group: Group) -> __m512 {
        if BITS != 4 {
            return self.dequantize::<BITS, BYTES>(bytes, group);
        }
        let words = u64::from(word(bytes, 0)) | u64::from(word(bytes, 4)) << 32;
        avx512!({
            let shifts = _mm512_slli_epi32::<2>(_mm512_srli_epi32::<1>(iota()));
            let codes = _mm512_srlv_epi32(_mm512_set1_epi64(words.cast_signed()), shifts);
            _mm512_permutexvar_ps(codes, group.low)
        })
    }

    #[inline(always)]
    fn arrange<const BITS: usize>(self, v: __m512) -> __m512 {
        if BITS != 4 {
            return v;
        }
        avx512!(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15), v))
    }

    #[inline(always)]
    fn restore<const BITS: usize>(self, v: __m512) -> __m512 {
        if BITS != 4 {
            return v;
        }
        avx512!(_mm512_permutexvar_ps(_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15), v))
    }
}
