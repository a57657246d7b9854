//! Numbers as integers of 8 and 4 bits with scales, for caches and the queries that read them.

use super::super::buffer::{cast, cast_mut};
use super::super::head::{BLOCK, ByteHead, CodeHead, code_group, code_groups, key_group};
use super::super::simd::{Bytes, Kernel, LANES, padded};

/// The largest integer. Its negative is the smallest.
const LARGEST: f32 = 127.0;

/// The largest code of 4 bits.
const LARGEST_CODE: f32 = 15.0;

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

/// The bf16 number that is the scale of integers up to `steps` that stand for numbers up to `largest`, rounded up, and
/// its inverse. Not a number stays so.
#[inline(always)]
fn stored_scale(largest: f32, steps: f32) -> (u16, f32) {
    if largest.is_nan() {
        return (0x7fc0, 0.0);
    }
    if largest < TINY {
        return (0, 0.0);
    }
    let bits = ((largest / steps).to_bits() + 0xffff) >> 16;
    (bits as u16, 1.0 / f32::from_bits(bits << 16))
}

/// How a group of numbers becomes codes of 4 bits.
#[derive(Clone, Copy, Default)]
struct Affine {
    /// bf16 numbers.
    scale: u16,
    bias: u16,
    inverse: f32,
}

impl Affine {
    /// The key of a position where something isn't finite.
    const NOTHING: Self = Self { scale: 0x7fc0, bias: 0, inverse: 0.0 };

    /// From the smallest to the largest of the numbers; none where one isn't finite, or their difference.
    #[inline(always)]
    fn of<S: Bytes>(s: S, x: &[f32]) -> Option<Self> {
        let zero = s.splat(0.0);
        let (mut lowest, mut highest, mut nothing) = (s.splat(f32::MIN), s.splat(f32::MIN), zero);
        for chunk in x.chunks(LANES) {
            let v = if let Some(chunk) = chunk.first_chunk() {
                s.load(chunk)
            } else {
                let mut lanes = [chunk[0]; LANES];
                lanes[..chunk.len()].copy_from_slice(chunk);
                s.load(&lanes)
            };
            lowest = s.max(s.sub(zero, v), lowest);
            highest = s.max(v, highest);
            nothing = s.fma(v, zero, nothing);
        }
        let bias = rounded_down(-s.highest(lowest));
        let width = s.highest(highest) - widened(bias) + s.sum(nothing);
        if !width.is_finite() {
            return None;
        }
        let (scale, inverse) = stored_scale(width, LARGEST_CODE);
        Some(Self { scale, bias, inverse })
    }

    /// Gives each number's code to `put`.
    #[inline(always)]
    fn codes<S: Bytes>(self, s: S, x: &[f32], mut put: impl FnMut(usize, u8)) {
        let (bias, inverse) = (s.splat(widened(self.bias)), s.splat(self.inverse));
        for (i, chunk) in x.chunks(LANES).enumerate() {
            let v = if let Some(chunk) = chunk.first_chunk() { s.load(chunk) } else { s.load(&padded(chunk)) };
            let mut halves = [0; LANES];
            s.store_halves(s.mul(s.sub(v, bias), inverse), &mut halves);
            for (j, half) in halves[..chunk.len()].iter().enumerate() {
                put(i * LANES + j, (*half).clamp(0, 15) as u8);
            }
        }
    }
}

/// The largest bf16 number that is not above `x`.
#[inline(always)]
fn rounded_down(x: f32) -> u16 {
    ((x.to_bits() + if x < 0.0 { 0xffff } else { 0 }) >> 16) as u16
}

/// A bf16 number.
#[inline(always)]
fn widened(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Writes a code into the low or the high bits of a byte.
#[inline(always)]
fn put_code(byte: &mut u8, high: bool, code: u8) {
    *byte = if high { *byte & 0x0f | code << 4 } else { *byte & 0xf0 | code };
}

/// Quantizes keys and values and writes them into a block.
pub(in super::super) struct Append<'a, H> {
    /// One after the other.
    pub keys: &'a [f32],
    /// From the first value on.
    pub values: &'a [f32],
    /// Numbers from one value to the next.
    pub stride: usize,
    pub head_dim: usize,
    /// Place of the first in the block.
    pub first: usize,
    pub head: H,
}

impl Kernel for Append<'_, ByteHead<&mut [u8]>> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let Self { values, stride, head_dim, head, .. } = self;
        let (width, size) = (2 * head_dim.next_multiple_of(LANES), key_group(head_dim));
        for (index, key) in self.keys.chunks_exact(head_dim).enumerate() {
            let (position, value) = (self.first + index, &values[index * stride..][..head_dim]);
            let most = largest(s, value);
            let (bits, inverse) = stored_scale(if most.is_nan() { 0.0 } else { most }, LARGEST);
            head.value_scales[2 * position..][..2].copy_from_slice(&bits.to_le_bytes());
            let row = &mut head.values[position / 2 * width..][..width];
            integers(s, value, inverse, |i, integer| row[2 * i + position % 2] = integer.cast_unsigned());

            for (group, key) in key.chunks(size).enumerate() {
                // A value that isn't finite makes the result of all that see it not a number, as its key would.
                let most = largest(s, key) + if most.is_nan() { most } else { 0.0 };
                let (bits, inverse) = stored_scale(most, LARGEST);
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

impl Kernel for Append<'_, CodeHead<&mut [u8]>> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let Self { values, stride, head_dim, head, .. } = self;
        let (size, groups) = (code_group(head_dim), code_groups(head_dim));
        let CodeHead { scales, keys: all_keys, values: all_values } = head;
        let mut note = |kind: usize, group: usize, position: usize, affine: Affine| {
            for (kind, bits) in [(kind, affine.scale), (kind + 1, affine.bias)] {
                let at = 2 * ((kind * groups + group) * BLOCK + position);
                scales[at..][..2].copy_from_slice(&bits.to_le_bytes());
            }
        };
        let width = 2 * head_dim.next_multiple_of(LANES);
        for (index, key) in self.keys.chunks_exact(head_dim).enumerate() {
            let (position, value) = (self.first + index, &values[index * stride..][..head_dim]);
            let row = &mut all_values[position / 4 * width..][..width];
            let mut spoilt = false;
            for (group, value) in value.chunks(size).enumerate() {
                let affine = Affine::of(s, value);
                spoilt |= affine.is_none();
                let affine = affine.unwrap_or_default();
                note(2, group, position, affine);
                affine.codes(s, value, |i, code| {
                    put_code(&mut row[2 * (group * size + i) + position % 2], position % 4 >= 2, code);
                });
            }
            for (group, key) in key.chunks(size).enumerate() {
                // A value that isn't finite makes the result of all that see it not a number, as its key would.
                let affine = Affine::of(s, key).filter(|_| !spoilt).unwrap_or(Affine::NOTHING);
                note(0, group, position, affine);
                // 32 positions lie in 64 bytes, of which each holds one of the first and one of the last 16.
                let column = &mut all_keys[group * size / 4 * 2 * 64 + position / 32 * 64 + position % 16 * 4..];
                affine.codes(s, key, |i, code| {
                    put_code(&mut column[i / 4 * 2 * 64 + i % 4], position % 32 >= 16, code);
                });
            }
        }
    }
}

/// A query as integers.
pub(in super::super) struct ByteQuery<'a> {
    /// Four at a time, padded with zeros.
    pub integers: &'a [[u8; 4]],
    /// Of each group.
    pub scales: &'a [f32],
    /// Of each group the sum of its integers.
    pub sums: &'a [i32],
}

impl<'a> ByteQuery<'a> {
    /// Room for one with groups of `size`, counted in f32 numbers.
    pub fn numbers(head_dim: usize, size: usize) -> usize {
        head_dim.div_ceil(4) + 2 * head_dim.div_ceil(size)
    }

    /// The parts of a query's numbers.
    #[inline(always)]
    pub fn new(numbers: &'a [f32], head_dim: usize, size: usize) -> Self {
        let (integers, rest) = numbers.split_at(head_dim.div_ceil(4));
        let (scales, sums) = rest.split_at(head_dim.div_ceil(size));
        Self { integers: cast::<u8>(integers).as_chunks().0, scales, sums: cast(sums) }
    }
}

/// Quantizes queries.
pub(in super::super) struct QuantizeQueries<'a> {
    /// One after the other.
    pub x: &'a [f32],
    pub head_dim: usize,
    /// Numbers that share a scale.
    pub size: usize,
    /// [`ByteQuery::numbers`] for each.
    pub out: &'a mut [f32],
}

impl Kernel for QuantizeQueries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let (head_dim, size) = (self.head_dim, self.size);
        let queries = self.out.chunks_exact_mut(ByteQuery::numbers(head_dim, size));
        for (x, query) in self.x.chunks_exact(head_dim).zip(queries) {
            let (bytes, rest) = query.split_at_mut(head_dim.div_ceil(4));
            let (scales, sums) = rest.split_at_mut(head_dim.div_ceil(size));
            let (bytes, sums) = (cast_mut::<u8>(bytes), cast_mut::<i32>(sums));
            let groups = bytes.chunks_mut(size).zip(scales).zip(sums);
            for (x, ((bytes, scale), sum)) in x.chunks(size).zip(groups) {
                let most = largest(s, x);
                let factor = if most < TINY { 0.0 } else { LARGEST / most };
                *scale = if most < TINY { 0.0 } else { most / LARGEST };
                bytes.fill(0);
                *sum = 0;
                integers(s, x, factor, |i, integer| {
                    bytes[i] = integer.cast_unsigned();
                    *sum += i32::from(integer);
                });
            }
        }
    }
}
