//! Checkpoint tensors: opened, checked, and handed out as views of a memory map or of bytes in memory.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use crate::arch::spec::{NormKind, QuantizationFormat};
use crate::error::{Error, Result};

mod dequantize;
mod experts;
mod files;
pub(crate) mod gguf;
mod header;
mod linear;
#[allow(unsafe_code)]
mod map;
mod names;
mod quantize;
mod rotation;
mod shards;
mod tensors;
mod ternary;
#[cfg(test)]
mod tests;
mod unique;

pub(crate) use dequantize::dequantize;
pub(crate) use experts::{Fused, NVFP4_MAX, apart, factors};
pub(crate) use files::{Access, ModelFiles};
pub(crate) use linear::{linear, norm, numbers, vector};
#[cfg(test)]
pub(crate) use names::needed_bytes;
pub(crate) use names::{check_names, is_missing_head, loaded_bytes};
pub(crate) use quantize::{Quantized, quantize};
pub(crate) use rotation::Rotation;
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
    /// Scales of quantized tensors, as exponents or 8-bit floats.
    U8,
}

impl Dtype {
    /// Bytes of one number.
    pub fn width(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 => 1,
        }
    }

    /// The nearest number that a format of floats has.
    pub(crate) fn round(self, number: f32) -> f32 {
        match self {
            Self::F16 => half::f16::from_f32(number).to_f32(),
            Self::Bf16 => half::bf16::from_f32(number).to_f32(),
            Self::F32 | Self::U32 | Self::U8 => number,
        }
    }

    /// Appends a number, little-endian, as a format of floats has it.
    pub(crate) fn push(self, number: f32, bytes: &mut Vec<u8>) {
        match self {
            Self::F16 => bytes.extend_from_slice(&half::f16::from_f32(number).to_le_bytes()),
            Self::Bf16 => bytes.extend_from_slice(&half::bf16::from_f32(number).to_le_bytes()),
            Self::F32 | Self::U32 | Self::U8 => bytes.extend_from_slice(&number.to_le_bytes()),
        }
    }

    /// Whether numbers of this format are weights as they are, without codes.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }
}

impl FromStr for Dtype {
    type Err = Error;

    /// A format of floats, by its usual name in small letters.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            _ => {
                Err(Error::invalid(format!("{name:?} is not a format of weights")).with_hint("choose f32, f16 or bf16"))
            }
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::U32 => "U32",
            Self::U8 => "U8",
        })
    }
}

/// Where a tensor's bytes live: a memory map or a buffer, kept alive by all views.
pub(crate) type Storage = Arc<dyn Bytes>;

/// Bytes of a checkpoint.
pub(crate) trait Bytes: AsRef<[u8]> + Send + Sync {
    /// Gives the memory of a range back to the system, which reads it again when somebody looks at it. Bytes that are
    /// nowhere else stay.
    fn release(&self, range: Range<usize>) {
        let _ = range;
    }
}

impl Bytes for Vec<u8> {}
impl Bytes for &'static [u8] {}
impl<const N: usize> Bytes for [u8; N] {}

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

    /// Says that nobody looks at the bytes soon again. Those of a file take no memory until then.
    pub fn release(&self) {
        self.storage.release(self.range.clone());
    }
}

impl TensorView {
    /// Some rows, of a tensor whose leading dimensions together are `of` rows; the result is `[rows, rest]`.
    pub(crate) fn rows(&self, rows: Range<usize>, of: usize) -> Self {
        let width = self.shape.iter().product::<usize>() / of.max(1);
        let bytes = width * self.dtype.width();
        let start = self.range.start + rows.start * bytes;
        debug_assert!(rows.start <= rows.end && rows.end <= of, "rows {rows:?} of {of}");
        let shape = vec![rows.len(), width];
        Self { shape, range: start..start + rows.len() * bytes, ..self.clone() }
    }

    /// The words that bytes make, four in a row each.
    pub(crate) fn words(&self) -> Option<Self> {
        let mut shape = self.shape.clone();
        let last = shape.last_mut().filter(|last| self.dtype == Dtype::U8 && last.is_multiple_of(4))?;
        *last /= 4;
        Some(Self { dtype: Dtype::U32, shape, ..self.clone() })
    }

    /// A matrix with its columns for rows.
    pub(crate) fn turned(&self) -> Self {
        let (rows, columns) = match *self.shape {
            [rows, columns] => (rows, columns),
            _ => (1, self.shape.iter().product()),
        };
        let (width, bytes) = (self.dtype.width(), self.bytes());
        let number = |row: usize, column: usize| &bytes[(row * columns + column) * width..][..width];
        let turned: Vec<u8> =
            (0..columns).flat_map(|column| (0..rows).flat_map(move |row| number(row, column))).copied().collect();
        let range = 0..turned.len();
        Self::from_storage(self.name.clone(), self.dtype, vec![columns, rows], Arc::new(turned), range)
    }

    /// All numbers, in f32.
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        let bytes = self.bytes();
        match self.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::Bf16 => bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::U32 => bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b) as f32).collect(),
            Dtype::U8 => bytes.iter().map(|&b| f32::from(b)).collect(),
        }
    }
}

/// The numbers of a norm, shapes and dtypes checked. See [`Norm`](crate::arch::spec::Norm).
#[derive(Clone)]
pub(crate) struct NormData {
    /// What is computed.
    pub kind: NormKind,
    /// `[size]` for each head that has its own, in order; none when the weight is 1.
    pub weights: Vec<TensorView>,
    /// `[size]`; the weight is multiplied by it.
    pub times: Option<TensorView>,
    /// As many numbers as the weight has.
    pub bias: Option<TensorView>,
    /// `[size]`; numbers are multiplied by it before they are normed.
    pub input: Option<TensorView>,
    /// Width that is normalised.
    pub size: usize,
    /// Heads with weights of their own.
    pub heads: usize,
    /// Added under the root.
    pub epsilon: f32,
    /// Added to the weight.
    pub offset: f32,
    /// Factor of the weight.
    pub factor: f32,
    /// Whether the result has the number format of the weight instead of that of what is normed. Activations of the CPU
    /// backend are f32 whatever weights are.
    #[cfg_attr(not(feature = "mlx"), allow(dead_code))]
    pub narrow: bool,
}

#[cfg(test)]
impl NormData {
    /// A root-mean-square norm with a weight, `[size]`.
    pub fn rms(weight: &TensorView, epsilon: f32) -> Self {
        let size = weight.shape.iter().product();
        let weights = vec![weight.clone()];
        Self {
            kind: NormKind::Rms,
            weights,
            times: None,
            bias: None,
            input: None,
            size,
            heads: 1,
            epsilon,
            offset: 0.0,
            factor: 1.0,
            narrow: false,
        }
    }
}

/// A matrix `[outputs, inputs]` as stored, shapes and dtypes checked. Stacked experts are one matrix with the rows of
/// all of them.
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
    /// What the input goes through before the product.
    pub rotation: Option<Rotation>,
}

impl LinearData {
    /// Bytes of the stored numbers, without the bias.
    pub fn bytes(&self) -> usize {
        match &self.matrix {
            Matrix::Dense(weight) => weight.bytes().len(),
            Matrix::Affine { codes, scales, biases, .. } => {
                codes.bytes().len() + scales.bytes().len() + biases.bytes().len()
            }
            Matrix::Float { codes, scales, .. } => codes.bytes().len() + scales.bytes().len(),
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
    /// 4- or 8-bit floats that share a scale in groups, packed as the codes above.
    Float {
        /// u32, `[outputs, inputs * bits / 32]`.
        codes: TensorView,
        /// u8, `[outputs, inputs / group_size]`.
        scales: TensorView,
        /// Bits, group size and what codes and scales mean.
        format: QuantizationFormat,
    },
}

impl LinearData {
    /// Some of the rows.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        let of = self.outputs;
        let cut = |view: &TensorView| view.rows(rows.clone(), of);
        let matrix = match &self.matrix {
            Matrix::Dense(weight) => Matrix::Dense(cut(weight)),
            Matrix::Affine { codes, scales, biases, format } => {
                Matrix::Affine { codes: cut(codes), scales: cut(scales), biases: cut(biases), format: *format }
            }
            Matrix::Float { codes, scales, format } => {
                Matrix::Float { codes: cut(codes), scales: cut(scales), format: *format }
            }
        };
        let bias = self.bias.as_ref().map(|bias| {
            let bias = bias.rows(rows.clone(), of);
            TensorView { shape: vec![rows.len()], ..bias }
        });
        Self { outputs: rows.len(), matrix, bias, ..self.clone() }
    }
}

impl LinearData {
    /// The same with each number brought within ± `limit`; for matrices that are not quantized.
    pub(crate) fn clipped(&self, limit: f32) -> Result<Self> {
        let Matrix::Dense(weight) = &self.matrix else {
            return Err(Error::unsupported("numbers of a quantized matrix with a limit"));
        };
        let numbers = weight.to_f32().into_iter().flat_map(|x| x.clamp(-limit, limit).to_le_bytes());
        let bytes: Vec<u8> = numbers.collect();
        let range = 0..bytes.len();
        let (name, shape) = (weight.name.clone(), weight.shape.clone());
        let clipped = TensorView::from_storage(name, Dtype::F32, shape, Arc::new(bytes), range);
        Ok(Self { matrix: Matrix::Dense(clipped), ..self.clone() })
    }
}

impl LinearData {
    /// A matrix of numbers in f32, row by row.
    pub(crate) fn of_numbers(
        name: &str,
        outputs: usize,
        inputs: usize,
        numbers: impl Iterator<Item = f32>,
        bias: Option<Vec<f32>>,
    ) -> Self {
        let view = |shape: Vec<usize>, bytes: Vec<u8>| {
            let range = 0..bytes.len();
            TensorView::from_storage(name.to_owned(), Dtype::F32, shape, Arc::new(bytes), range)
        };
        let matrix = Matrix::Dense(view(vec![outputs, inputs], numbers.flat_map(f32::to_le_bytes).collect()));
        let bias = bias.map(|bias| view(vec![outputs], bias.into_iter().flat_map(f32::to_le_bytes).collect()));
        Self { outputs, inputs, matrix, bias, rotation: None }
    }

    /// The same with rows of unit length; as it is when it is quantized.
    pub(crate) fn with_unit_rows(&self) -> Self {
        let Matrix::Dense(weight) = &self.matrix else { return self.clone() };
        let mut bytes = Vec::with_capacity(weight.bytes().len());
        for row in weight.to_f32().chunks(self.inputs.max(1)) {
            let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
            row.iter().for_each(|x| weight.dtype.push(x / (length + 1e-7), &mut bytes));
        }
        let range = 0..bytes.len();
        let (name, shape) = (weight.name.clone(), weight.shape.clone());
        let normed = TensorView::from_storage(name, weight.dtype, shape, Arc::new(bytes), range);
        Self { matrix: Matrix::Dense(normed), ..self.clone() }
    }
}

/// A name from a file, fit for a message: quoted, escaped and cut short.
fn shown(name: &str) -> String {
    const LIMIT: usize = 120;
    match name.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &name[..end], name.len()),
        None => format!("{name:?}"),
    }
}
