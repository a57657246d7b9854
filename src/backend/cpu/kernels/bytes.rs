//! Numbers as 8-bit integers with scales, for caches and the queries that read them.

use super::super::buffer::{cast, cast_mut};
use super::super::head::{BLOCK, ByteHead, key_group, key_groups};
use super::super::simd::{Bytes, Kernel, LANES, padded};

/// The largest integer. Its negative is the smallest.
const LARGEST: f32 = 127.0;

/// Largest numbers below it are taken for zero, so that no scale has an infinite inverse.
const TINY: f32 = 1e-30;

/// The largest number by size; not a number where any isn't finite.
#[inline(always)]
fn largest<S: Bytes>(s: S, x: &[f32]) -> f32 {
    let (mut highest, mut nothing) = (s.splat(0.0), s.splat(0.0));
    let (chunks, rest) = x.as_chunks::<LANES>();
    for i in 0..chunks.len() + usize::from(!rest.is_empty()) {
        let v = if i < chunks.len() { s.load(&chunks[i]) } else { s.load(&padded(rest)) };
        highest = s.max(s.max(v, s.sub(s.splat(0.0), v)), highest);
        nothing = s.fma(v, s.splat(0.0), nothing);
    }
    s.highest(highest) + s.sum(nothing)
}

/// Gives each number times `factor`, rounded, to `put`.
#[inline(always)]
fn integers<S: Bytes>(s: S, x: &[f32], factor: f32, mut put: impl FnMut(usize, i8)) {
    for (i, chunk) in x.chunks(LANES).enumerate() {
        let v = if let Some(chunk) = chunk.first_chunk() { s.load(chunk) } else { s.load(&padded(chunk)) };
        let mut halves = [0; LANES];
        s.store_halves(s.mul(v, s.splat(factor)), &mut halves);
        for (j, half) in halves[..chunk.len()].iter().enumerate() {
            put(i * LANES + j, *half as i8);
        }
    }
}

/// The bf16 number that is the scale of numbers up to `largest`, rounded up, and its inverse. Not a number stays so.
#[inline(always)]
fn stored_scale(largest: f32) -> (u16, f32) {
    if largest.is_nan() {
        return (0x7fc0, 0.0);
    }
    if largest < TINY {
        return (0, 0.0);
    }
    let bits = ((largest / LARGEST).to_bits() + 0xffff) >> 16;
    (bits as u16, 1.0 / f32::from_bits(bits << 16))
}

/// Quantizes keys and values and writes them into a block.
pub(in super::super) struct Append<'a> {
    /// One after the other.
    pub keys: &'a [f32],
    /// From the first value on.
    pub values: &'a [f32],
    /// Numbers from one value to the next.
    pub stride: usize,
    pub head_dim: usize,
    /// Place of the first in the block.
    pub first: usize,
    pub head: ByteHead<&'a mut [u8]>,
}

impl Kernel for Append<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let Self { values, stride, head_dim, head, .. } = self;
        let (width, size) = (2 * head_dim.next_multiple_of(LANES), key_group(head_dim));
        for (index, key) in self.keys.chunks_exact(head_dim).enumerate() {
            let (position, value) = (self.first + index, &values[index * stride..][..head_dim]);
            let most = largest(s, value);
            let (bits, inverse) = stored_scale(if most.is_nan() { 0.0 } else { most });
            head.value_scales[2 * position..][..2].copy_from_slice(&bits.to_le_bytes());
            let row = &mut head.values[position / 2 * width..][..width];
            integers(s, value, inverse, |i, integer| row[2 * i + position % 2] = integer.cast_unsigned());

            for (group, key) in key.chunks(size).enumerate() {
                // A value that isn't finite makes the result of all that see it not a number, as its key would.
                let most = largest(s, key) + if most.is_nan() { most } else { 0.0 };
                let (bits, inverse) = stored_scale(most);
                let at = 2 * (group * BLOCK + position);
                head.key_scales[at..][..2].copy_from_slice(&bits.to_le_bytes());
                let column = &mut head.keys[(group * size / 4 * BLOCK + position) * 4..];
                integers(s, key, inverse, |i, integer| {
                    column[i / 4 * 4 * BLOCK + i % 4] = integer.cast_unsigned() ^ 0x80;
                });
            }
        }
    }
}

/// A query as integers.
pub(in super::super) struct ByteQuery<'a> {
    /// Four at a time, padded with zeros.
    pub integers: &'a [[u8; 4]],
    /// Of each [`key_group`].
    pub scales: &'a [f32],
    /// Of each group the sum of products with [`Bytes::OFFSET`].
    pub excess: &'a [i32],
}

impl<'a> ByteQuery<'a> {
    /// Room for one, counted in f32 numbers.
    pub fn numbers(head_dim: usize) -> usize {
        head_dim.div_ceil(4) + 2 * key_groups(head_dim)
    }

    /// The parts of a query's numbers.
    #[inline(always)]
    pub fn new(numbers: &'a [f32], head_dim: usize) -> Self {
        let (integers, rest) = numbers.split_at(head_dim.div_ceil(4));
        let (scales, excess) = rest.split_at(key_groups(head_dim));
        Self { integers: cast::<u8>(integers).as_chunks().0, scales, excess: cast(excess) }
    }
}

/// Quantizes queries.
pub(in super::super) struct QuantizeQueries<'a> {
    /// One after the other.
    pub x: &'a [f32],
    pub head_dim: usize,
    /// [`ByteQuery::numbers`] for each.
    pub out: &'a mut [f32],
}

impl Kernel for QuantizeQueries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let (size, groups) = (key_group(self.head_dim), key_groups(self.head_dim));
        let queries = self.out.chunks_exact_mut(ByteQuery::numbers(self.head_dim));
        for (x, query) in self.x.chunks_exact(self.head_dim).zip(queries) {
            let (bytes, rest) = query.split_at_mut(self.head_dim.div_ceil(4));
            let (scales, excess) = rest.split_at_mut(groups);
            let (bytes, excess) = (cast_mut::<u8>(bytes), cast_mut::<i32>(excess));
            let groups = bytes.chunks_mut(size).zip(scales).zip(excess);
            for (x, ((bytes, scale), excess)) in x.chunks(size).zip(groups) {
                let most = largest(s, x);
                let factor = if most < TINY { 0.0 } else { LARGEST / most };
                *scale = if most < TINY { 0.0 } else { most / LARGEST };
                bytes.fill(0);
                let mut sum = 0;
                integers(s, x, factor, |i, integer| {
                    bytes[i] = integer.cast_unsigned();
                    sum += i32::from(integer);
                });
                *excess = S::OFFSET * sum;
            }
        }
    }
}
