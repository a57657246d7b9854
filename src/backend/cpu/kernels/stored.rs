//! Rows of a matrix as the checkpoint stores them, and how 16 of their numbers become f32.

use std::ops::Range;

use super::super::simd::{LANES, Simd};
use crate::weights::Dtype;

/// Formats of single numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    /// The format of a dtype, unless it is made of integers.
    pub fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::Bf16 => Some(Self::Bf16),
            Dtype::U32 | Dtype::U8 => None,
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Formats of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Format {
    /// Plain numbers.
    Dense(Float),
    /// Packed codes with a scale and a bias for each group.
    Affine {
        /// 2, 3, 4, 5, 6 or 8.
        bits: usize,
        /// A multiple of 16.
        group: usize,
        /// Format of scales and biases.
        scales: Float,
    },
}

/// Some rows of a stored matrix. The slices are as long as the other fields say.
#[derive(Clone, Copy)]
pub(in super::super) struct Stored<'a> {
    pub format: Format,
    /// Numbers in a row.
    pub inputs: usize,
    pub rows: usize,
    /// Plain numbers or packed codes.
    pub codes: &'a [u8],
    /// Empty for plain numbers.
    pub scales: &'a [u8],
    /// As many as scales.
    pub biases: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Scales in a row; 0 for plain numbers.
    pub fn groups(&self) -> usize {
        match self.format {
            Format::Dense(_) => 0,
            Format::Affine { group, .. } => self.inputs / group,
        }
    }

    /// Bytes of numbers or codes in a row.
    pub fn row_bytes(&self) -> usize {
        match self.format {
            Format::Dense(float) => self.inputs * float.bytes(),
            Format::Affine { bits, .. } => self.inputs / 8 * bits,
        }
    }

    /// Bytes of scales in a row.
    pub fn scale_bytes(&self) -> usize {
        match self.format {
            Format::Dense(_) => 0,
            Format::Affine { group, scales, .. } => self.inputs / group * scales.bytes(),
        }
    }

    /// Some of the rows.
    pub fn slice(&self, rows: Range<usize>) -> Stored<'a> {
        let (codes, scales) = (self.row_bytes(), self.scale_bytes());
        Stored {
            rows: rows.len(),
            codes: &self.codes[rows.start * codes..rows.end * codes],
            scales: &self.scales[rows.start * scales..rows.end * scales],
            biases: &self.biases[rows.start * scales..rows.end * scales],
            ..*self
        }
    }
}

/// How 16 consecutive numbers of a row are stored.
pub(super) trait Codec {
    /// Their bytes.
    type Chunk;
    /// Whether there are scales and biases.
    const GROUPED: bool;

    /// The whole chunks of some rows.
    fn chunks(bytes: &[u8]) -> &[Self::Chunk];
    /// Fewer than 16 numbers, the rest zeros.
    fn padded(bytes: &[u8]) -> Self::Chunk;
    /// Prepares a group.
    fn group<S: Simd>(s: S, scale: f32, bias: f32) -> S::Affine;
    /// The numbers.
    fn load<S: Simd>(s: S, chunk: &Self::Chunk, group: S::Affine) -> S::V;

    /// The numbers in an order of the level's choice.
    #[inline(always)]
    fn load_arranged<S: Simd>(s: S, chunk: &Self::Chunk, group: S::Affine) -> S::V {
        Self::load(s, chunk, group)
    }

    /// Puts inputs into this order.
    #[inline(always)]
    fn arrange<S: Simd>(_: S, x: S::V) -> S::V {
        x
    }

    /// Undoes it.
    #[inline(always)]
    fn restore<S: Simd>(_: S, x: S::V) -> S::V {
        x
    }
}

/// Codes of `BITS` bits; `BYTES` is `2 * BITS`.
pub(super) struct Affine<const BITS: usize, const BYTES: usize>;

impl<const BITS: usize, const BYTES: usize> Codec for Affine<BITS, BYTES> {
    type Chunk = [u8; BYTES];
    const GROUPED: bool = true;

    #[inline(always)]
    fn chunks(bytes: &[u8]) -> &[Self::Chunk] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn padded(bytes: &[u8]) -> Self::Chunk {
        padded(bytes)
    }

    #[inline(always)]
    fn group<S: Simd>(s: S, scale: f32, bias: f32) -> S::Affine {
        s.affine::<BITS>(scale, bias)
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, chunk: &Self::Chunk, group: S::Affine) -> S::V {
        s.dequantize::<BITS, BYTES>(chunk, group)
    }

    #[inline(always)]
    fn load_arranged<S: Simd>(s: S, chunk: &Self::Chunk, group: S::Affine) -> S::V {
        s.dequantize_arranged::<BITS, BYTES>(chunk, group)
    }

    #[inline(always)]
    fn arrange<S: Simd>(s: S, x: S::V) -> S::V {
        s.arrange::<BITS>(x)
    }

    #[inline(always)]
    fn restore<S: Simd>(s: S, x: S::V) -> S::V {
        s.restore::<BITS>(x)
    }
}

macro_rules! dense {
    ($name:ident, $bytes:literal, $load:ident) => {
        pub(super) struct $name;

        impl Codec for $name {
            type Chunk = [u8; LANES * $bytes];
            const GROUPED: bool = false;

            #[inline(always)]
            fn chunks(bytes: &[u8]) -> &[Self::Chunk] {
                bytes.as_chunks().0
            }

            #[inline(always)]
            fn padded(bytes: &[u8]) -> Self::Chunk {
                padded(bytes)
            }

            #[inline(always)]
            fn group<S: Simd>(s: S, scale: f32, bias: f32) -> S::Affine {
                s.affine::<8>(scale, bias)
            }

            #[inline(always)]
            fn load<S: Simd>(s: S, chunk: &Self::Chunk, _: S::Affine) -> S::V {
                s.$load(chunk)
            }
        }
    };
}

dense!(F32, 4, load_f32);
dense!(F16, 2, load_f16);
dense!(Bf16, 2, load_bf16);

#[inline(always)]
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut chunk = [0; N];
    for (to, byte) in chunk.iter_mut().zip(bytes) {
        *to = *byte;
    }
    chunk
}

/// Evaluates an expression with `$codec` naming the codec of a format.
macro_rules! with_codec {
    ($format:expr, $codec:ident => $body:expr) => {{
        use $crate::backend::cpu::kernels::stored::{Affine, Bf16, F16, F32, Float, Format};
        macro_rules! with {
            ($type:ty) => {{
                type $codec = $type;
                $body
            }};
        }
        match $format {
            Format::Dense(Float::F32) => with!(F32),
            Format::Dense(Float::F16) => with!(F16),
            Format::Dense(Float::Bf16) => with!(Bf16),
            Format::Affine { bits: 2, .. } => with!(Affine<2, 4>),
            Format::Affine { bits: 3, .. } => with!(Affine<3, 6>),
            Format::Affine { bits: 4, .. } => with!(Affine<4, 8>),
            Format::Affine { bits: 5, .. } => with!(Affine<5, 10>),
            Format::Affine { bits: 6, .. } => with!(Affine<6, 12>),
            // Other widths don't get past loading.
            Format::Affine { .. } => with!(Affine<8, 16>),
        }
    }};
}
pub(super) use with_codec;
