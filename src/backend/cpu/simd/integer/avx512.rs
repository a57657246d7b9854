//! AVX-512 with VNNI and VBMI.

use std::arch::x86_64::*;

use super::super::avx512::Avx512;
use super::super::{LANES, word};
use super::{EARLY, Integer, UNIT, Unit, dots_of_units, join, pack_units, prefetch_rows};

/// Intrinsics that need nothing but the instructions, or addresses within the given references.
macro_rules! vnni {
    ($e:expr) => {
        // SAFETY: an `Avx512<true>` exists only inside of `enter_vnni`, so the processor has the instructions; pointers
        // come from references to arrays of the size that is read or written, and the instructions need no alignment.
        unsafe { $e }
    };
}

/// Swaps 32-bit lanes and vectors.
#[inline(always)]
fn transpose(v: &mut [__m512i; LANES]) {
    let mut w = *v;
    vnni!({
        for i in 0..8 {
            w[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
            w[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
        }
        // In each quarter of `v[4i + j]` now: column `j` of the rows `4i` to `4i + 3`.
        for i in 0..4 {
            for j in 0..2 {
                v[4 * i + 2 * j] = _mm512_unpacklo_epi64(w[4 * i + j], w[4 * i + 2 + j]);
                v[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(w[4 * i + j], w[4 * i + 2 + j]);
            }
        }
        for j in 0..4 {
            let low = _mm512_shuffle_i32x4::<0b01_00_01_00>(v[j], v[4 + j]);
            let high = _mm512_shuffle_i32x4::<0b11_10_11_10>(v[j], v[4 + j]);
            let low2 = _mm512_shuffle_i32x4::<0b01_00_01_00>(v[8 + j], v[12 + j]);
            let high2 = _mm512_shuffle_i32x4::<0b11_10_11_10>(v[8 + j], v[12 + j]);
            w[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, low2);
            w[4 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, low2);
            w[8 + j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(high, high2);
            w[12 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(high, high2);
        }
    });
    *v = w;
}

/// Even bytes, then odd ones, of two units.
#[inline(always)]
fn separate(low: &Unit, high: &Unit) -> [Unit; 2] {
    let (mut even, mut odd) = ([0u8; UNIT], [0u8; UNIT]);
    for i in 0..UNIT {
        even[i] = 2 * i as u8;
        odd[i] = 2 * i as u8 + 1;
    }
    let mut out = [[0; UNIT]; 2];
    vnni!({
        let (low, high) = (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()));
        for (index, out) in [even, odd].iter().zip(&mut out) {
            let index = _mm512_loadu_si512(index.as_ptr().cast());
            _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_permutex2var_epi8(low, index, high));
        }
    });
    out
}

impl Integer for Avx512<true> {
    type Codes = __m512i;
    type Sums = __m512i;

    const NARROW: bool = false;

    #[inline(always)]
    fn zeros(self) -> __m512i {
        vnni!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; UNIT]) -> __m512i {
        vnni!(_mm512_loadu_si512(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn store_codes(self, codes: __m512i, to: &mut [u8; UNIT]) {
        vnni!(_mm512_storeu_si512(to.as_mut_ptr().cast(), codes));
    }

    #[inline(always)]
    fn unpack<const BITS: usize, const BYTES: usize>(self, packed: &[u8; BYTES]) -> __m512i {
        match BITS {
            4 => vnni!({
                let wide = _mm512_cvtepu8_epi16(_mm256_loadu_si256(packed.as_ptr().cast()));
                let both = _mm512_or_si512(wide, _mm512_slli_epi16::<4>(wide));
                _mm512_and_si512(both, _mm512_set1_epi8(15))
            }),
            8 => vnni!(_mm512_loadu_si512(packed.as_ptr().cast())),
            _ => {
                // Each 8 bytes get the `BITS` bytes of their codes, and then each byte the 8 bits from its code on.
                let (mut bytes, mut shifts) = ([0u8; UNIT], [0u8; UNIT]);
                for i in 0..UNIT {
                    bytes[i] = (i / 8 * BITS + i % 8 % BITS) as u8;
                    shifts[i] = (i % 8 * BITS) as u8;
                }
                vnni!({
                    let packed = _mm512_maskz_loadu_epi8(u64::MAX >> (64 - BYTES), packed.as_ptr().cast());
                    let wide = _mm512_permutexvar_epi8(_mm512_loadu_si512(bytes.as_ptr().cast()), packed);
                    let shifted = _mm512_multishift_epi64_epi8(_mm512_loadu_si512(shifts.as_ptr().cast()), wide);
                    _mm512_and_si512(shifted, _mm512_set1_epi8((1 << BITS) - 1))
                })
            }
        }
    }

    #[inline(always)]
    fn dot<const BITS: usize>(self, sums: __m512i, codes: __m512i, x: &Unit) -> __m512i {
        vnni!(_mm512_dpbusd_epi32(sums, codes, _mm512_loadu_si512(x.as_ptr().cast())))
    }

    #[inline(always)]
    fn dot_four<const BITS: usize>(self, sums: __m512i, codes: __m512i, x: [i8; 4]) -> __m512i {
        let x = word(&x.map(i8::cast_unsigned), 0).cast_signed();
        vnni!(_mm512_dpbusd_epi32(sums, codes, _mm512_set1_epi32(x)))
    }

    #[inline(always)]
    fn add_sums(self, a: __m512i, b: __m512i) -> __m512i {
        vnni!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn add_fours(self, v: [__m512i; 4]) -> __m512i {
        vnni!({
            let low = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
            let high = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
            _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high))
        })
    }

    #[inline(always)]
    fn join_fours(self, fours: [__m512i; 4]) -> (__m512i, __m512i) {
        vnni!({
            let first = _mm512_add_epi32(
                _mm512_shuffle_i32x4::<0b10_00_10_00>(fours[0], fours[1]),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(fours[0], fours[1]),
            );
            let last = _mm512_add_epi32(
                _mm512_shuffle_i32x4::<0b10_00_10_00>(fours[2], fours[3]),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(fours[2], fours[3]),
            );
            (_mm512_shuffle_i32x4::<0b10_00_10_00>(first, last), _mm512_shuffle_i32x4::<0b11_01_11_01>(first, last))
        })
    }

    #[inline(always)]
    fn load_sums(self, from: &[i32; LANES]) -> __m512i {
        vnni!(_mm512_loadu_si512(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn store_sums(self, sums: __m512i, to: &mut [i32; LANES]) {
        vnni!(_mm512_storeu_si512(to.as_mut_ptr().cast(), sums));
    }

    #[inline(always)]
    fn to_float(self, sums: __m512i) -> __m512 {
        vnni!(_mm512_cvtepi32_ps(sums))
    }

    #[inline(always)]
    fn narrow(self, v: __m512, to: &mut [i8; LANES]) {
        vnni!(_mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))));
    }

    #[inline(always)]
    fn highest(self, v: __m512) -> f32 {
        vnni!(_mm512_reduce_max_ps(v))
    }

    #[inline(always)]
    fn transpose(self, vectors: &mut [__m512; LANES]) {
        let mut lanes = [self.zeros(); LANES];
        for i in 0..LANES {
            lanes[i] = vnni!(_mm512_castps_si512(vectors[i]));
        }
        transpose(&mut lanes);
        for i in 0..LANES {
            vectors[i] = vnni!(_mm512_castsi512_ps(lanes[i]));
        }
    }

    #[inline(always)]
    fn transpose_codes(self, vectors: &mut [__m512i; LANES]) {
        transpose(vectors);
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        vnni!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
    }

    #[inline(always)]
    fn prefetch_early(self, address: *const u8) {
        vnni!(_mm_prefetch::<_MM_HINT_T1>(address.cast()));
    }

    // Codes of 4 bits are multiplied two units at a time: the low halves of their bytes with the even numbers, the
    // high ones with the odd numbers, so that the lanes of both units stay apart.
    #[inline(always)]
    fn arrange_units<const BITS: usize>(self, block: usize, x: &[Unit], arranged: &mut [Unit]) {
        if BITS != 4 || block != UNIT {
            arranged.copy_from_slice(x);
            return;
        }
        let ((pairs, rest), (to, to_rest)) = (x.as_chunks::<2>(), arranged.as_chunks_mut::<2>());
        for ([low, high], to) in pairs.iter().zip(to) {
            *to = separate(low, high);
        }
        to_rest.copy_from_slice(rest);
    }

    #[inline(always)]
    fn dots<const BITS: usize, const BYTES: usize>(
        self,
        codes: &[u8],
        stride: usize,
        x: &[Unit],
        ahead: usize,
        block: usize,
        sums: &mut [[i32; LANES]],
        room: &mut [[i32; LANES]],
    ) {
        if BITS != 4 || block != UNIT {
            return dots_of_units::<Self, BITS, BYTES>(self, codes, stride, x, ahead, block, sums, room);
        }
        assert!(x.is_empty() || codes.len() >= (LANES - 1) * stride + x.len() * BYTES);
        let (pairs, rest) = x.as_chunks::<2>();
        let fours = &mut room.as_chunks_mut::<4>().0[..pairs.len()];
        for four in 0..4 {
            for (pair, (x, fours)) in pairs.iter().zip(fours.iter_mut()).enumerate() {
                let mut dots = [self.zeros(); 4];
                for i in 0..4 {
                    // Two units of a row, as asserted.
                    vnni!({
                        let at = codes.as_ptr().add((4 * four + i) * stride + pair * 2 * BYTES);
                        self.prefetch(at.wrapping_add(ahead));
                        self.prefetch_early(at.wrapping_add(EARLY * ahead));
                        let (bytes, mask) = (_mm512_loadu_si512(at.cast()), _mm512_set1_epi8(15));
                        let (low, high) = (bytes, _mm512_srli_epi16::<4>(bytes));
                        dots[i] = self.dot::<BITS>(dots[i], _mm512_and_si512(low, mask), &x[0]);
                        dots[i] = self.dot::<BITS>(dots[i], _mm512_and_si512(high, mask), &x[1]);
                    });
                }
                self.store_sums(self.add_fours(dots), &mut fours[four]);
            }
        }
        let (sums, sums_of_rest) = sums.split_at_mut(2 * pairs.len());
        for (fours, sums) in fours.iter().zip(sums.as_chunks_mut::<2>().0) {
            let (low, high) = join(self, fours);
            self.store_sums(low, &mut sums[0]);
            self.store_sums(high, &mut sums[1]);
        }
        if !rest.is_empty() {
            let codes = &codes[2 * pairs.len() * BYTES..];
            dots_of_units::<Self, BITS, BYTES>(self, codes, stride, rest, ahead, block, sums_of_rest, room);
        }
    }

    // Two units of 4-bit codes are transposed as they are, and taken apart afterwards.
    #[inline(always)]
    fn pack<const BITS: usize, const BYTES: usize>(self, codes: &[u8], stride: usize, packed: &mut [[u8; UNIT]]) {
        if BITS != 4 {
            return pack_units::<Self, BITS, BYTES>(self, codes, stride, packed);
        }
        let (pairs, rest) = packed.as_chunks_mut::<{ 2 * LANES }>();
        assert!(pairs.is_empty() || codes.len() >= (LANES - 1) * stride + pairs.len() * 2 * BYTES);
        let (mut low, mut high) = ([0u8; UNIT], [0u8; UNIT]);
        for i in 0..UNIT {
            // The bit that a byte's code begins at, in each 8 bytes.
            low[i] = (i % 8 / 4 * 32 + i % 4 * 4) as u8;
            high[i] = low[i] + 16;
        }
        let whole = pairs.len();
        for (pair, to) in pairs.iter_mut().enumerate() {
            let mut vectors = [self.zeros(); LANES];
            for i in 0..LANES {
                // Two units of a row, as asserted.
                vnni!({
                    let at = codes.as_ptr().add(i * stride + pair * 2 * BYTES);
                    prefetch_rows(self, at, stride);
                    vectors[i] = _mm512_loadu_si512(at.cast());
                });
            }
            transpose(&mut vectors);
            for i in 0..LANES {
                vnni!({
                    let mask = _mm512_set1_epi8(15);
                    let first = _mm512_multishift_epi64_epi8(_mm512_loadu_si512(low.as_ptr().cast()), vectors[i]);
                    let last = _mm512_multishift_epi64_epi8(_mm512_loadu_si512(high.as_ptr().cast()), vectors[i]);
                    self.store_codes(_mm512_and_si512(first, mask), &mut to[2 * i]);
                    self.store_codes(_mm512_and_si512(last, mask), &mut to[2 * i + 1]);
                });
            }
        }
        if !rest.is_empty() {
            pack_units::<Self, BITS, BYTES>(self, &codes[whole * 2 * BYTES..], stride, rest);
        }
    }
}
