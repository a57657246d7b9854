//! How the keys and values of a head lie in a block of a cache.

use std::ops::Range;

use super::buffer::{cast, cast_mut};
use super::simd::LANES;
use crate::backend::{KvBits, Precision};

/// Positions of a block. Blocks begin at multiples of it, whatever the appends were.
pub(super) const BLOCK: usize = 64;

/// Dimensions of a key that share a scale, so that a large one spoils few others: a quarter of the head, but no more
/// than 32.
#[inline(always)]
pub(super) fn key_group(head_dim: usize) -> usize {
    head_dim.div_ceil(4).next_multiple_of(4).min(32)
}

/// Scales of a key.
#[inline(always)]
pub(super) fn key_groups(head_dim: usize) -> usize {
    head_dim.div_ceil(key_group(head_dim))
}

/// Dimensions of a key or value of 4 bits that share a scale and a bias.
#[inline(always)]
pub(super) fn code_group(head_dim: usize) -> usize {
    head_dim.next_multiple_of(4).min(32)
}

/// Scales of a key or value of 4 bits.
#[inline(always)]
pub(super) fn code_groups(head_dim: usize) -> usize {
    head_dim.div_ceil(code_group(head_dim))
}

/// Numbers that a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Keys with the positions side by side (`head_dim × 64`), so that scores need no sum over lanes, then values
    /// (`64 × head_dim`, padded to a multiple of 16).
    F32,
    /// 8-bit integers and scales: [`ByteHead`].
    Bytes,
    /// 4-bit codes, scales and biases: [`CodeHead`].
    Codes,
}

impl Format {
    /// What caches hold: what was asked for, or else what a precision takes.
    pub fn of(precision: Precision, asked: Option<KvBits>) -> Self {
        match (asked, precision) {
            (Some(KvBits::Four), _) => Self::Codes,
            (Some(KvBits::Eight), _) | (None, Precision::Default) => Self::Bytes,
            (Some(KvBits::Sixteen), _) | (None, Precision::Exact) => Self::F32,
        }
    }

    /// Dimensions of a query that share a scale: those of a key.
    pub fn query_group(self, head_dim: usize) -> usize {
        match self {
            Self::F32 => head_dim,
            Self::Bytes => key_group(head_dim),
            Self::Codes => code_group(head_dim),
        }
    }

    /// Room for one head in a block, counted in f32 numbers.
    pub fn head_numbers(self, head_dim: usize) -> Option<usize> {
        let padded = head_dim.checked_next_multiple_of(LANES)?;
        match self {
            Self::F32 => padded.checked_add(head_dim)?.checked_mul(BLOCK),
            // No scale is wider than a key's number in f32, so these don't overflow where the first line doesn't.
            Self::Bytes => padded.checked_mul(8 * BLOCK).map(|_| ByteHead::<&[u8]>::ranges(head_dim).1.end / 4),
            Self::Codes => padded.checked_mul(8 * BLOCK).map(|_| CodeHead::<&[u8]>::ranges(head_dim).1.end / 4),
        }
    }

    /// Where one head is in a block: the first number and how many.
    pub fn head_range(self, head_dim: usize, head: usize) -> (usize, usize) {
        let numbers = self.head_numbers(head_dim).unwrap_or(0);
        (head * numbers, numbers)
    }
}

/// Keys and values of one head in a block of f32 numbers.
pub(super) fn float_head(block: &[f32], head_dim: usize, head: usize) -> (&[f32], &[f32]) {
    let (start, numbers) = Format::F32.head_range(head_dim, head);
    block[start..][..numbers].split_at(BLOCK * head_dim)
}

/// Keys and values of one head in a block as signed bytes. A scale is a bf16 number; what is stored times its scale is
/// the number.
pub(super) struct ByteHead<B> {
    /// Of each [`key_group`] of a key, `key_groups × 64`. Not a number where a key or value isn't finite.
    pub key_scales: B,
    /// Of each value.
    pub value_scales: B,
    /// Four dimensions of a position side by side, `head_dim / 4 × 64 × 4`, each plus 128.
    pub keys: B,
    /// Two positions of a dimension side by side, `32 × head_dim × 2`, padded to a multiple of 16 dimensions.
    pub values: B,
}

impl<B> ByteHead<B> {
    /// Bytes of scales, and of all that follows, in order.
    fn ranges(head_dim: usize) -> ([usize; 2], Range<usize>) {
        let key_scales = 2 * BLOCK * key_groups(head_dim);
        let value_scales = key_scales + 2 * BLOCK;
        let keys = value_scales + BLOCK * head_dim.next_multiple_of(4);
        ([key_scales, value_scales], keys..keys + BLOCK * head_dim.next_multiple_of(LANES))
    }
}

impl<'a> ByteHead<&'a [u8]> {
    /// The parts of the head's numbers.
    pub fn new(numbers: &'a [f32], head_dim: usize) -> Self {
        let ([key_scales, value_scales], values) = Self::ranges(head_dim);
        let bytes = &cast(numbers)[..values.end];
        Self {
            key_scales: &bytes[..key_scales],
            value_scales: &bytes[key_scales..value_scales],
            keys: &bytes[value_scales..values.start],
            values: &bytes[values.start..],
        }
    }
}

impl<'a> ByteHead<&'a mut [u8]> {
    /// The parts of the head's numbers.
    pub fn new_mut(numbers: &'a mut [f32], head_dim: usize) -> Self {
        let ([key_scales, value_scales], values) = Self::ranges(head_dim);
        let (first, rest) = cast_mut(numbers)[..values.end].split_at_mut(key_scales);
        let (second, rest) = rest.split_at_mut(value_scales - key_scales);
        let (keys, values) = rest.split_at_mut(values.start - value_scales);
        Self { key_scales: first, value_scales: second, keys, values }
    }
}

/// Keys and values of one head in a block as 4-bit codes: a number is its code times the scale of its
/// [`code_group`], plus the bias.
pub(super) struct CodeHead<B> {
    /// Scales of keys, their biases, scales of values, their biases, `code_groups × 64` bf16 numbers each. A key's
    /// scale is not a number where the key or value isn't finite.
    pub scales: B,
    /// Four dimensions of a position side by side, `head_dim / 4 × 2 × 64`; of each 32 positions the first half in the
    /// low bits, the second in the high bits.
    pub keys: B,
    /// Two positions of a dimension side by side, `16 × head_dim × 2`, padded to a multiple of 16 dimensions; of each
    /// four positions the first two in the low bits, the others in the high bits.
    pub values: B,
}

impl<B> CodeHead<B> {
    /// Where the scales end, and where the values are.
    fn ranges(head_dim: usize) -> (usize, Range<usize>) {
        let scales = 4 * 2 * BLOCK * code_groups(head_dim);
        let keys = scales + BLOCK / 2 * head_dim.next_multiple_of(4);
        (scales, keys..keys + BLOCK / 2 * head_dim.next_multiple_of(LANES))
    }
}

impl<'a> CodeHead<&'a [u8]> {
    /// The parts of the head's numbers.
    pub fn new(numbers: &'a [f32], head_dim: usize) -> Self {
        let (scales, values) = Self::ranges(head_dim);
        let bytes = &cast(numbers)[..values.end];
        Self { scales: &bytes[..scales], keys: &bytes[scales..values.start], values: &bytes[values.start..] }
    }
}

impl<'a> CodeHead<&'a mut [u8]> {
    /// The parts of the head's numbers.
    pub fn new_mut(numbers: &'a mut [f32], head_dim: usize) -> Self {
        let (end, values) = Self::ranges(head_dim);
        let (scales, rest) = cast_mut(numbers)[..values.end].split_at_mut(end);
        let (keys, values) = rest.split_at_mut(values.start - end);
        Self { scales, keys, values }
    }
}
