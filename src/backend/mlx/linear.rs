//! Matrices: products with activations, and rows as embeddings.

use mlx_rs::{Array, Dtype, ops, transforms};

use super::error::{Fault, Result};
use super::raw::{self, Packed};
use super::rotation::Rotation;
use crate::arch::spec::{QuantizationFormat, QuantizationMode};
use crate::error::Error;
use crate::weights::{self, LinearData, Matrix, TensorView};

/// A loaded matrix of one or several tensors stacked by rows.
pub(crate) struct Linear {
    /// Neighbours stored the same way are one piece, so there is usually one.
    pieces: Vec<Piece>,
    /// One number an output.
    bias: Option<Array>,
    /// The format of rows whose stored format is none for activations.
    float: Dtype,
}

struct Piece {
    matrix: Stored,
    rotation: Option<Rotation>,
}

enum Stored {
    Dense {
        /// `[outputs, inputs]`.
        weight: Array,
        /// The same numbers seen as `[inputs, outputs]`.
        transposed: Array,
    },
    Quantized {
        codes: Array,
        scales: Array,
        /// Of affine groups.
        biases: Option<Array>,
        format: QuantizationFormat,
    },
}

/// The tensors of a piece, in the order in which their rows are stacked.
struct Stack<'a> {
    format: Option<QuantizationFormat>,
    rotation: Option<&'a weights::Rotation>,
    /// For each tensor of the matrix (weight, or codes, scales and biases) its parts.
    tensors: Vec<Vec<&'a TensorView>>,
}

impl Linear {
    /// Takes matrices over; `exact` turns all floats into f32.
    pub fn load(parts: &[LinearData], exact: bool) -> Result<Self> {
        let linear = Self::load_lazily(parts, exact)?;
        transforms::eval(linear.arrays())?;
        Ok(linear)
    }

    fn load_lazily(parts: &[LinearData], exact: bool) -> Result<Self> {
        let mut stacks: Vec<Stack> = Vec::new();
        for part in parts {
            let (format, tensors) = match &part.matrix {
                Matrix::Dense(weight) => (None, vec![weight]),
                Matrix::Affine { codes, scales, biases, format } => (Some(*format), vec![codes, scales, biases]),
                Matrix::Float { codes, scales, format } => (Some(*format), vec![codes, scales]),
            };
            let rotation = part.rotation.as_ref();
            match stacks.last_mut().filter(|stack| stack.rotation == rotation && stack.takes(format, &tensors)) {
                Some(stack) => stack.tensors.iter_mut().zip(tensors).for_each(|(all, tensor)| all.push(tensor)),
                None => {
                    let tensors = tensors.into_iter().map(|tensor| vec![tensor]).collect();
                    stacks.push(Stack { format, rotation, tensors });
                }
            }
        }
        let pieces = stacks.iter().map(|stack| stack.load(exact)).collect::<Result<Vec<_>>>()?;
        let bias = load_bias(parts, exact)?;
        let float = if exact { Dtype::Float32 } else { Dtype::Bfloat16 };
        Ok(Self { pieces, bias, float })
    }

    /// `x · Wᵀ + bias` in the dtype of `x`.
    pub fn apply(&self, x: &Array) -> Result<Array> {
        let y = match (&*self.pieces, &self.bias) {
            ([Piece { matrix: Stored::Dense { transposed, .. }, rotation: None }], Some(bias)) => {
                ops::addmm(bias, x, transposed, None, None)?
            }
            ([piece], None) => piece.apply(x)?,
            ([piece], Some(bias)) => piece.apply(x)?.add(bias)?,
            (pieces, bias) => {
                let parts = pieces.iter().map(|piece| piece.apply(x)).collect::<Result<Vec<_>>>()?;
                let y = ops::concatenate(&parts, -1)?;
                match bias {
                    Some(bias) => y.add(bias)?,
                    None => y,
                }
            }
        };
        cast(y, x.dtype())
    }

    /// The rows with the given indices.
    pub fn rows(&self, indices: &Array) -> Result<Array> {
        let [Piece { matrix, rotation }] = &*self.pieces else {
            return Err(Error::unsupported("an embedding table of several tensors").into());
        };
        let rows = match matrix {
            Stored::Dense { weight, .. } => weight.take_axis(indices, 0)?,
            Stored::Quantized { codes, scales, biases, format } => {
                let row = |table: &Array| table.take_axis(indices, 0);
                let (codes, scales) = (row(codes)?, row(scales)?);
                let biases = biases.as_ref().map(row).transpose()?;
                let (biases, format) = (biases.as_ref(), *format);
                // Affine rows come out as their scales are stored.
                let dtype = if biases.is_some() { scales.dtype() } else { self.float };
                Packed { codes: &codes, scales: &scales, biases, format }.dequantize(dtype)?
            }
        };
        match rotation {
            Some(rotation) => rotation.invert(&rows),
            None => Ok(rows),
        }
    }

    /// Bytes of a number as rows of this matrix come out.
    pub fn float_width(&self) -> usize {
        let width = |piece: &Piece| match &piece.matrix {
            Stored::Dense { weight, .. } => weight.item_size(),
            Stored::Quantized { scales, biases: Some(_), .. } => scales.item_size(),
            Stored::Quantized { .. } => width_of(self.float),
        };
        self.pieces.iter().map(width).max().unwrap_or(0)
    }

    fn arrays(&self) -> Vec<&Array> {
        let mut arrays: Vec<&Array> = self.bias.iter().collect();
        for piece in &self.pieces {
            match &piece.matrix {
                Stored::Dense { weight, transposed } => arrays.extend([weight, transposed]),
                Stored::Quantized { codes, scales, biases, .. } => {
                    arrays.extend([codes, scales].into_iter().chain(biases))
                }
            }
            arrays.extend(piece.rotation.iter().map(|rotation| &rotation.signs));
        }
        arrays
    }
}

impl Piece {
    fn apply(&self, x: &Array) -> Result<Array> {
        let rotated = self.rotation.as_ref().map(|rotation| rotation.apply(x)).transpose()?;
        let x = rotated.as_ref().unwrap_or(x);
        match &self.matrix {
            Stored::Dense { transposed, .. } => Ok(x.matmul(transposed)?),
            Stored::Quantized { codes, scales, biases, format } => {
                Packed { codes, scales, biases: biases.as_ref(), format: *format }.matmul(x)
            }
        }
    }
}

impl Stack<'_> {
    fn takes(&self, format: Option<QuantizationFormat>, tensors: &[&TensorView]) -> bool {
        let same = |(all, tensor): (&Vec<&TensorView>, &&TensorView)| all.iter().all(|t| t.dtype == tensor.dtype);
        self.format == format && self.tensors.iter().zip(tensors).all(same)
    }

    fn load(&self, exact: bool) -> Result<Piece> {
        let mut arrays = self.tensors.iter().map(|parts| stack(parts));
        let mut next = || arrays.next().unwrap_or_else(|| Err(Fault::internal("a matrix without tensors")));
        let float = |array: Array| if exact { cast(array, Dtype::Float32) } else { Ok(array) };
        let matrix = match self.format {
            None => {
                let weight = float(next()?)?;
                let transposed = weight.transpose()?;
                Stored::Dense { weight, transposed }
            }
            Some(format) if format.mode == QuantizationMode::Affine => {
                let (codes, scales, biases) = (next()?, float(next()?)?, Some(float(next()?)?));
                Stored::Quantized { codes, scales, biases, format }
            }
            Some(format) => Stored::Quantized { codes: next()?, scales: next()?, biases: None, format },
        };
        Ok(Piece { matrix, rotation: self.rotation.map(Rotation::load).transpose()? })
    }
}

/// Bytes of a float.
fn width_of(dtype: Dtype) -> usize {
    if dtype == Dtype::Float32 { 4 } else { 2 }
}

/// One array of all the tensors' rows.
fn stack(parts: &[&TensorView]) -> Result<Array> {
    let mut arrays = parts.iter().map(|part| raw::from_view(part)).collect::<Result<Vec<_>>>()?;
    match arrays.pop() {
        Some(only) if arrays.is_empty() => Ok(only),
        Some(last) => {
            arrays.push(last);
            Ok(ops::concatenate(&arrays, 0)?)
        }
        None => Err(Fault::internal("a matrix without parts")),
    }
}

/// The parts' biases side by side, zeros where a part has none; nothing when none has.
fn load_bias(parts: &[LinearData], exact: bool) -> Result<Option<Array>> {
    let Some(first) = parts.iter().find_map(|part| part.bias.as_ref()) else {
        return Ok(None);
    };
    let dtype = if exact { Dtype::Float32 } else { raw::dtype(first.dtype) };
    let bias = |part: &LinearData| match &part.bias {
        Some(bias) => cast(raw::from_view(bias)?, dtype),
        None => Ok(ops::zeros_dtype(&[raw::dim(part.outputs)?], dtype)?),
    };
    let biases = parts.iter().map(bias).collect::<Result<Vec<_>>>()?;
    Ok(Some(ops::concatenate(&biases, 0)?))
}

/// The array in another number format; itself when it has that already.
pub(super) fn cast(array: Array, dtype: Dtype) -> Result<Array> {
    if array.dtype() == dtype { Ok(array) } else { Ok(array.as_dtype(dtype)?) }
}
