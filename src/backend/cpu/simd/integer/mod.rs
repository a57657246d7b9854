//! Exact products of packed codes with i8 numbers.
//!
//! Integer sums are the same in any order, so each processor takes them the way that suits it. What goes on in f32
//! stays lane by lane, in an order that the kernels fix.

use super::{LANES, Simd};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

/// Numbers that are multiplied at a time.
pub(in super::super) const UNIT: usize = 64;

/// What is asked for `ahead` was asked for so many times as early from a cache that is further away: the nearest one
/// can wait for few cache lines at a time only.
const EARLY: usize = 4;

/// Consecutive numbers from -127 to 127.
pub(in super::super) type Unit = [i8; UNIT];

/// Operations on codes and sums. Sums never overflow: 64 products of codes below 256 with i8 numbers fit easily.
pub(in super::super) trait Integer: Simd {
    /// 64 unsigned codes of 8 bits at most.
    type Codes: Copy;
    /// 16 lanes of i32.
    type Sums: Copy;

    /// Whether products of codes of fewer than 8 bits are cheaper.
    const NARROW: bool;

    /// All lanes 0.
    fn zeros(self) -> Self::Sums;
    /// Reads codes of a byte each.
    fn load_codes(self, from: &[u8; UNIT]) -> Self::Codes;
    /// Writes codes of a byte each.
    fn store_codes(self, codes: Self::Codes, to: &mut [u8; UNIT]);
    /// 64 packed codes of `BITS` bits. `BYTES` is `8 * BITS`.
    fn unpack<const BITS: usize, const BYTES: usize>(self, packed: &[u8; BYTES]) -> Self::Codes;
    /// Adds the products `4i` to `4i + 3` to lane `i`. Codes are below `2^BITS`.
    fn dot<const BITS: usize>(self, sums: Self::Sums, codes: Self::Codes, x: &Unit) -> Self::Sums;
    /// Adds the products of the codes `4i` to `4i + 3` with the same four numbers to lane `i`.
    fn dot_four<const BITS: usize>(self, sums: Self::Sums, codes: Self::Codes, x: [i8; 4]) -> Self::Sums;
    /// `a + b`.
    fn add_sums(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// Lane `4q + i`: the sum of the lanes `4q` to `4q + 3` of operand `i`.
    fn add_fours(self, sums: [Self::Sums; 4]) -> Self::Sums;
    /// Lane `4j + i` of the results: the sum of the lanes `i` and `4 + i`, and of `8 + i` and `12 + i`, of operand `j`.
    fn join_fours(self, fours: [Self::Sums; 4]) -> (Self::Sums, Self::Sums);
    /// Reads sums.
    fn load_sums(self, from: &[i32; LANES]) -> Self::Sums;
    /// Writes sums.
    fn store_sums(self, sums: Self::Sums, to: &mut [i32; LANES]);
    /// To f32, rounded to nearest.
    fn to_float(self, sums: Self::Sums) -> Self::V;
    /// Whole numbers from -128 to 127 as i8.
    fn narrow(self, v: Self::V, to: &mut [i8; LANES]);
    /// The largest lane; none may be NaN.
    fn highest(self, v: Self::V) -> f32;
    /// Swaps lanes and vectors.
    fn transpose(self, vectors: &mut [Self::V; LANES]);
    /// Swaps fours of codes and vectors.
    fn transpose_codes(self, vectors: &mut [Self::Codes; LANES]);

    /// Asks for the cache line at an address, which need not be valid.
    #[inline(always)]
    fn prefetch(self, _: *const u8) {}

    /// The same for a cache that is further away, long before it is needed.
    #[inline(always)]
    fn prefetch_early(self, _: *const u8) {}

    /// Puts `x` into the order that [`dots`](Self::dots) wants.
    #[inline(always)]
    fn arrange_units<const BITS: usize>(self, _block: usize, x: &[Unit], arranged: &mut [Unit]) {
        arranged.copy_from_slice(x);
    }

    /// For each block of 32 or 64 numbers, in lane `i` the sum of the products of row `i` with the numbers. Rows begin
    /// `stride` bytes after one another. Their bytes `ahead` are asked for meanwhile.
    ///
    /// # Panics
    ///
    /// Unless `codes` has all of 16 rows, `sums` a vector for each block, and `room` four for each unit.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
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
        dots_of_units::<Self, BITS, BYTES>(self, codes, stride, x, ahead, block, sums, room);
    }

    /// Codes of 16 rows, a byte each: for every 4 inputs a vector of 16 fours. Rows begin `stride` bytes after one
    /// another.
    ///
    /// # Panics
    ///
    /// Unless `codes` has all of 16 rows.
    #[inline(always)]
    fn pack<const BITS: usize, const BYTES: usize>(self, codes: &[u8], stride: usize, packed: &mut [[u8; UNIT]]) {
        pack_units::<Self, BITS, BYTES>(self, codes, stride, packed);
    }
}

/// [`Integer::pack`], unit by unit.
#[inline(always)]
fn pack_units<S: Integer, const BITS: usize, const BYTES: usize>(
    s: S,
    codes: &[u8],
    stride: usize,
    packed: &mut [[u8; UNIT]],
) {
    let units = packed.as_chunks_mut::<LANES>().0;
    assert!(units.is_empty() || codes.len() >= (LANES - 1) * stride + units.len() * BYTES);
    for (u, to) in units.iter_mut().enumerate() {
        let mut vectors = [s.load_codes(&to[0]); LANES];
        for i in 0..LANES {
            // SAFETY: as asserted; an array of bytes needs no alignment.
            let packed = unsafe { &*codes.as_ptr().add(i * stride + u * BYTES).cast::<[u8; BYTES]>() };
            prefetch_rows(s, packed.as_ptr(), stride);
            vectors[i] = s.unpack::<BITS, BYTES>(packed);
        }
        s.transpose_codes(&mut vectors);
        for i in 0..LANES {
            s.store_codes(vectors[i], &mut to[i]);
        }
    }
}

/// Asks for what is 16 rows away, and early for what is further.
#[inline(always)]
fn prefetch_rows<S: Integer>(s: S, at: *const u8, stride: usize) {
    s.prefetch(at.wrapping_add(LANES * stride));
    s.prefetch_early(at.wrapping_add(EARLY * LANES * stride));
}

/// [`Integer::dots`], unit by unit. Four rows are read at a time: processors fetch ahead along a few streams only.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn dots_of_units<S: Integer, const BITS: usize, const BYTES: usize>(
    s: S,
    codes: &[u8],
    stride: usize,
    x: &[Unit],
    ahead: usize,
    block: usize,
    sums: &mut [[i32; LANES]],
    room: &mut [[i32; LANES]],
) {
    assert!(x.is_empty() || codes.len() >= (LANES - 1) * stride + x.len() * BYTES);
    let room = &mut room.as_chunks_mut::<4>().0[..x.len()];
    for four in 0..4 {
        for (u, (x, room)) in x.iter().zip(room.iter_mut()).enumerate() {
            let mut dots = [s.zeros(); 4];
            for i in 0..4 {
                // SAFETY: as asserted; an array of bytes needs no alignment.
                let packed = unsafe { &*codes.as_ptr().add((4 * four + i) * stride + u * BYTES).cast::<[u8; BYTES]>() };
                s.prefetch(packed.as_ptr().wrapping_add(ahead));
                s.prefetch_early(packed.as_ptr().wrapping_add(EARLY * ahead));
                dots[i] = s.dot::<BITS>(dots[i], s.unpack::<BITS, BYTES>(packed), x);
            }
            s.store_sums(s.add_fours(dots), &mut room[four]);
        }
    }
    let blocks = UNIT / block;
    for (room, sums) in room.iter().zip(sums[..x.len() * blocks].chunks_exact_mut(blocks)) {
        let (low, high) = join(s, room);
        if block == UNIT {
            s.store_sums(s.add_sums(low, high), &mut sums[0]);
        } else {
            s.store_sums(low, &mut sums[0]);
            s.store_sums(high, &mut sums[1]);
        }
    }
}

#[inline(always)]
fn join<S: Integer>(s: S, fours: &[[i32; LANES]; 4]) -> (S::Sums, S::Sums) {
    s.join_fours([s.load_sums(&fours[0]), s.load_sums(&fours[1]), s.load_sums(&fours[2]), s.load_sums(&fours[3])])
}

/// Code that is compiled for each way to multiply integers. `run` and all that it calls must be `#[inline(always)]`.
pub(in super::super) trait IntegerKernel {
    /// What it computes.
    type Output;

    /// Runs it with vectors of one level.
    fn run<S: Integer>(self, simd: S) -> Self::Output;
}
