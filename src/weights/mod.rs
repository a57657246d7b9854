//! Checkpoint tensors: opened, checked, and handed out as views of a memory map or of bytes in memory.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::arch::spec::QuantizationFormat;

mod files;
mod header;
mod linear;
#[allow(unsafe_code)]
mod map;
mod names;
mod shards;
mod tensors;
#[cfg(test)]
mod tests;
mod unique;

pub(crate) use files::{Access, ModelFiles};
pub(crate) use linear::{linear, norm};
pub(crate) use names::{check_names, needed_bytes};
pub(crate) use tensors::Tensors;

/// Number formats of stored tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// Packed codes of quantized tensors.
    U32,
}

impl Dtype {
    /// Bytes of one number.
    pub fn width(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Whether numbers of this format are weights as they are, without codes.
    pub fn is_float(self) -> bool {
        self != Self::U32
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::U32 => "U32",
        })
    }
}

/// Where a tensor's bytes live: a memory map or a buffer, kept alive by all views.
pub(crate) type Storage = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A checked tensor: `shape` and `dtype` agree with the number of bytes.
#[derive(Clone)]
pub(crate) struct TensorView {
    /// The name in the checkpoint.
    pub name: String,
    /// Number format.
    pub dtype: Dtype,
    /// Row-major.
    pub shape: Vec<usize>,
    storage: Storage,
    range: Range<usize>,
}

impl TensorView {
    /// A view of `range` of `storage`. Callers have checked that the range lies inside and holds `shape` numbers.
    pub(crate) fn from_storage(
        name: String,
        dtype: Dtype,
        shape: Vec<usize>,
        storage: Storage,
        range: Range<usize>,
    ) -> Self {
        debug_assert_eq!(range.len(), shape.iter().product::<usize>() * dtype.width(), "{name}");
        debug_assert!(range.end <= (*storage).as_ref().len(), "{name}");
        Self { name, dtype, shape, storage, range }
    }

    /// The little-endian bytes; no alignment is promised.
    pub fn bytes(&self) -> &[u8] {
        &(*self.storage).as_ref()[self.range.clone()]
    }
}

/// A matrix `[outputs, inputs]` as stored, shapes and dtypes checked.
#[derive(Clone)]
pub(crate) struct LinearData {
    /// Rows.
    pub outputs: usize,
    /// Columns.
    pub inputs: usize,
    /// The numbers.
    pub matrix: Matrix,
    /// `[outputs]`, f32, f16 or bf16.
    pub bias: Option<TensorView>,
}

impl LinearData {
    /// Bytes of the stored numbers, without the bias.
    pub fn bytes(&self) -> usize {
        match &self.matrix {
            Matrix::Dense(weight) => weight.bytes().len(),
            Matrix::Affine { codes, scales, biases, .. } => {
                codes.bytes().len() + scales.bytes().len() + biases.bytes().len()
            }
        }
    }
}

/// The numbers of a matrix.
#[derive(Clone)]
pub(crate) enum Matrix {
    /// f32, f16 or bf16, `[outputs, inputs]`.
    Dense(TensorView),
    /// MLX's affine quantization: `code * scale + bias`. Codes are packed into the bits of little-endian u32 words,
    /// lowest bits first, without gaps: `inputs * bits / 32` words a row.
    Affine {
        /// u32, `[outputs, inputs * bits / 32]`.
        codes: TensorView,
        /// f32, f16 or bf16, `[outputs, inputs / group_size]`.
        scales: TensorView,
        /// Same shape and dtype as `scales`.
        biases: TensorView,
        /// Bits and group size.
        format: QuantizationFormat,
    },
}

/// A name from a file, fit for a message: quoted, escaped and cut short.
fn shown(name: &str) -> String {
    const LIMIT: usize = 120;
    match name.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &name[..end], name.len()),
        None => format!("{name:?}"),
    }
}
