//! Plain Rust.

use super::super::portable::Portable;
use super::super::{LANES, Lanes};
use super::{Integer, UNIT, Unit};

impl Integer for Portable {
    type Codes = [u8; UNIT];
    type Sums = [i32; LANES];

    const NARROW: bool = false;

    #[inline(always)]
    fn zeros(self) -> Self::Sums {
        [0; LANES]
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; UNIT]) -> Self::Codes {
        *from
    }

    #[inline(always)]
    fn store_codes(self, codes: Self::Codes, to: &mut [u8; UNIT]) {
        *to = codes;
    }

    #[inline(always)]
    fn unpack<const BITS: usize, const BYTES: usize>(self, packed: &[u8; BYTES]) -> Self::Codes {
        let mut codes = [0; UNIT];
        // Eight codes are `BITS` whole bytes.
        for (packed, codes) in packed.chunks_exact(BITS).zip(codes.chunks_exact_mut(8)) {
            let word = packed.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            for (i, code) in codes.iter_mut().enumerate() {
                *code = (word >> (i * BITS)) as u8 & (((1 << BITS) - 1) as u8);
            }
        }
        codes
    }

    #[inline(always)]
    fn dot<const BITS: usize>(self, mut sums: Self::Sums, codes: Self::Codes, x: &Unit) -> Self::Sums {
        for (lane, sum) in sums.iter_mut().enumerate() {
            for i in 4 * lane..4 * lane + 4 {
                *sum += i32::from(codes[i]) * i32::from(x[i]);
            }
        }
        sums
    }

    #[inline(always)]
    fn dot_four<const BITS: usize>(self, mut sums: Self::Sums, codes: Self::Codes, x: [i8; 4]) -> Self::Sums {
        for (lane, sum) in sums.iter_mut().enumerate() {
            for i in 0..4 {
                *sum += i32::from(codes[4 * lane + i]) * i32::from(x[i]);
            }
        }
        sums
    }

    #[inline(always)]
    fn add_sums(self, mut a: Self::Sums, b: Self::Sums) -> Self::Sums {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    fn add_fours(self, sums: [Self::Sums; 4]) -> Self::Sums {
        std::array::from_fn(|lane| sums[lane % 4][lane / 4 * 4..][..4].iter().sum())
    }

    #[inline(always)]
    fn join_fours(self, fours: [Self::Sums; 4]) -> (Self::Sums, Self::Sums) {
        let half = |half: usize| {
            std::array::from_fn(|lane| fours[lane / 4][8 * half + lane % 4] + fours[lane / 4][8 * half + 4 + lane % 4])
        };
        (half(0), half(1))
    }

    #[inline(always)]
    fn load_sums(self, from: &[i32; LANES]) -> Self::Sums {
        *from
    }

    #[inline(always)]
    fn store_sums(self, sums: Self::Sums, to: &mut [i32; LANES]) {
        *to = sums;
    }

    #[inline(always)]
    fn to_float(self, sums: Self::Sums) -> Lanes {
        sums.map(|sum| sum as f32)
    }

    #[inline(always)]
    fn narrow(self, v: Lanes, to: &mut [i8; LANES]) {
        *to = v.map(|number| number as i8);
    }

    #[inline(always)]
    fn highest(self, v: Lanes) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn transpose(self, vectors: &mut [Lanes; LANES]) {
        let from = *vectors;
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = from.map(|from| from[i]);
        }
    }

    #[inline(always)]
    fn transpose_codes(self, vectors: &mut [Self::Codes; LANES]) {
        let from = *vectors;
        for (i, vector) in vectors.iter_mut().enumerate() {
            for (from, to) in from.iter().zip(vector.as_chunks_mut::<4>().0) {
                *to = from.as_chunks().0[i];
            }
        }
    }
}
