//! AVX2, with and without AVX-VNNI.

use std::arch::x86_64::*;

use super::super::avx2::Avx2;
use super::super::{LANES, word};
use super::{Integer, UNIT, Unit};

/// Intrinsics that need nothing but the instructions, or addresses within the given references.
macro_rules! avx2 {
    ($e:expr) => {
        // SAFETY: an `Avx2` exists only inside of the functions beside it, so the processor has the instructions;
        // pointers come from references to arrays of the size that is read or written, and the instructions need no
        // alignment.
        unsafe { $e }
    };
}

/// [`avx2`] for each of the two registers. Not a closure, which would not be compiled with the instructions.
macro_rules! halves {
    ($i:ident => $e:expr) => {
        avx2!([
            {
                let $i = 0;
                $e
            },
            {
                let $i = 1;
                $e
            },
        ])
    };
}

/// The packed codes `16 * quarter` to `16 * quarter + 15` of more than 2 bits.
#[inline(always)]
fn quarter<const BITS: usize, const BYTES: usize>(packed: &[u8; BYTES], quarter: usize) -> __m128i {
    // 16 bytes that hold the `2 * BITS` bytes of the codes.
    let from = (2 * BITS * quarter).min(BYTES - 16);
    // Each code gets 16 bits from the byte on that it begins in, is shifted to their top, and back down.
    let (mut bytes, mut factors) = ([[0u8; 16]; 2], [[0i16; 8]; 2]);
    for i in 0..16 {
        let bit = i * BITS;
        let byte = 2 * BITS * quarter - from + bit / 8;
        bytes[i / 8][i % 8 * 2] = byte as u8;
        bytes[i / 8][i % 8 * 2 + 1] = if byte < 15 { byte as u8 + 1 } else { 0x80 };
        factors[i / 8][i % 8] = 1 << (16 - BITS - bit % 8);
    }
    let down = 16 - BITS as i32;
    let packed = avx2!(_mm_loadu_si128(packed.as_ptr().add(from).cast()));
    let eights = halves!(i => {
        let wide = _mm_shuffle_epi8(packed, _mm_loadu_si128(bytes[i].as_ptr().cast()));
        let top = _mm_mullo_epi16(wide, _mm_loadu_si128(factors[i].as_ptr().cast()));
        _mm_srl_epi16(top, _mm_cvtsi32_si128(down))
    });
    avx2!(_mm_packus_epi16(eights[0], eights[1]))
}

/// Swaps lanes and vectors in a square of 8.
#[inline(always)]
fn transpose_square(v: [__m256i; 8]) -> [__m256i; 8] {
    let (mut w, mut u, mut out) = (v, v, v);
    avx2!({
        for i in 0..4 {
            w[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
            w[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
        }
        for i in 0..2 {
            for j in 0..2 {
                u[4 * i + 2 * j] = _mm256_unpacklo_epi64(w[4 * i + j], w[4 * i + 2 + j]);
                u[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(w[4 * i + j], w[4 * i + 2 + j]);
            }
        }
        for j in 0..4 {
            out[j] = _mm256_permute2x128_si256::<0x20>(u[j], u[4 + j]);
            out[4 + j] = _mm256_permute2x128_si256::<0x31>(u[j], u[4 + j]);
        }
    });
    out
}

#[inline(always)]
fn transpose(v: &mut [[__m256i; 2]; LANES]) {
    let mut out = *v;
    for row in 0..2 {
        for column in 0..2 {
            let mut square = [v[0][0]; 8];
            for i in 0..8 {
                square[i] = v[8 * row + i][column];
            }
            let square = transpose_square(square);
            for i in 0..8 {
                out[8 * column + i][row] = square[i];
            }
        }
    }
    *v = out;
}

#[inline(always)]
fn dot<const VNNI: bool, const BITS: usize>(sum: __m256i, codes: __m256i, x: __m256i) -> __m256i {
    avx2!({
        if VNNI {
            _mm256_dpbusd_avx_epi32(sum, codes, x)
        } else if BITS < 8 {
            // Two products of at most 127 * 127 fit into 16 bits.
            let pairs = _mm256_maddubs_epi16(codes, x);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        } else {
            let (even, odd) = (_mm256_and_si256(codes, _mm256_set1_epi16(255)), _mm256_srli_epi16::<8>(codes));
            let (x_even, x_odd) = (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x)), _mm256_srai_epi16::<8>(x));
            _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(even, x_even), _mm256_madd_epi16(odd, x_odd)))
        }
    })
}

impl<const VNNI: bool> Integer for Avx2<VNNI> {
    type Codes = [__m256i; 2];
    type Sums = [__m256i; 2];

    const NARROW: bool = !VNNI;

    #[inline(always)]
    fn zeros(self) -> Self::Sums {
        avx2!([_mm256_setzero_si256(); 2])
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; UNIT]) -> Self::Codes {
        avx2!([_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from.as_ptr().add(32).cast())])
    }

    #[inline(always)]
    fn store_codes(self, codes: Self::Codes, to: &mut [u8; UNIT]) {
        avx2!({
            _mm256_storeu_si256(to.as_mut_ptr().cast(), codes[0]);
            _mm256_storeu_si256(to.as_mut_ptr().add(32).cast(), codes[1]);
        });
    }

    #[inline(always)]
    fn unpack<const BITS: usize, const BYTES: usize>(self, packed: &[u8; BYTES]) -> Self::Codes {
        match BITS {
            4 => halves!(half => {
                let wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(packed.as_ptr().add(16 * half).cast()));
                let both = _mm256_or_si256(wide, _mm256_slli_epi16::<4>(wide));
                _mm256_and_si256(both, _mm256_set1_epi8(15))
            }),
            8 => halves!(half => _mm256_loadu_si256(packed.as_ptr().add(32 * half).cast())),
            _ => halves!(half => {
                let low = quarter::<BITS, BYTES>(packed, 2 * half);
                _mm256_set_m128i(quarter::<BITS, BYTES>(packed, 2 * half + 1), low)
            }),
        }
    }

    #[inline(always)]
    fn dot<const BITS: usize>(self, sums: Self::Sums, codes: Self::Codes, x: &Unit) -> Self::Sums {
        halves!(i => dot::<VNNI, BITS>(sums[i], codes[i], _mm256_loadu_si256(x.as_ptr().add(32 * i).cast())))
    }

    #[inline(always)]
    fn dot_four<const BITS: usize>(self, sums: Self::Sums, codes: Self::Codes, x: [i8; 4]) -> Self::Sums {
        let x = word(&x.map(i8::cast_unsigned), 0).cast_signed();
        let x = avx2!(_mm256_set1_epi32(x));
        [dot::<VNNI, BITS>(sums[0], codes[0], x), dot::<VNNI, BITS>(sums[1], codes[1], x)]
    }

    #[inline(always)]
    fn add_sums(self, a: Self::Sums, b: Self::Sums) -> Self::Sums {
        halves!(i => _mm256_add_epi32(a[i], b[i]))
    }

    #[inline(always)]
    fn add_fours(self, sums: [Self::Sums; 4]) -> Self::Sums {
        halves!(half => {
            let low = _mm256_hadd_epi32(sums[0][half], sums[1][half]);
            _mm256_hadd_epi32(low, _mm256_hadd_epi32(sums[2][half], sums[3][half]))
        })
    }

    #[inline(always)]
    fn join_fours(self, fours: [Self::Sums; 4]) -> (Self::Sums, Self::Sums) {
        let mut out = [self.zeros(); 2];
        for half in 0..2 {
            out[half] = halves!(i => {
                let (a, b) = (fours[2 * i][half], fours[2 * i + 1][half]);
                _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b))
            });
        }
        (out[0], out[1])
    }

    #[inline(always)]
    fn load_sums(self, from: &[i32; LANES]) -> Self::Sums {
        halves!(i => _mm256_loadu_si256(from.as_ptr().add(8 * i).cast()))
    }

    #[inline(always)]
    fn store_sums(self, sums: Self::Sums, to: &mut [i32; LANES]) {
        avx2!({
            _mm256_storeu_si256(to.as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(to.as_mut_ptr().add(8).cast(), sums[1]);
        });
    }

    #[inline(always)]
    fn to_float(self, sums: Self::Sums) -> Self::V {
        halves!(i => _mm256_cvtepi32_ps(sums[i]))
    }

    #[inline(always)]
    fn narrow(self, v: Self::V, to: &mut [i8; LANES]) {
        avx2!({
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
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
    fn transpose(self, vectors: &mut [Self::V; LANES]) {
        let mut lanes = [self.zeros(); LANES];
        for i in 0..LANES {
            lanes[i] = halves!(half => _mm256_castps_si256(vectors[i][half]));
        }
        transpose(&mut lanes);
        for i in 0..LANES {
            vectors[i] = halves!(half => _mm256_castsi256_ps(lanes[i][half]));
        }
    }

    #[inline(always)]
    fn transpose_codes(self, vectors: &mut [Self::Codes; LANES]) {
        transpose(vectors);
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        avx2!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
    }

    #[inline(always)]
    fn prefetch_early(self, address: *const u8) {
        avx2!(_mm_prefetch::<_MM_HINT_T1>(address.cast()));
    }
}
