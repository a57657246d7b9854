//! Checkpoint tensors: opened, checked, and handed out as views of a memory map or of bytes in memory.

use std::ops::Range;
use std::sync::Arc;

use crate::arch::spec::QuantizationFormat;

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
    /// The bytes `range` of `storage`; the caller has checked that they are as many as `shape` and `dtype` say.
    pub(crate) fn from_storage(
        name: String,
        dtype: Dtype,
        shape: Vec<usize>,
        storage: Storage,
        range: Range<usize>,
    ) -> Self {
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
