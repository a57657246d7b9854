//! Where the numbers of a tensor come from.

use std::ops::Range;

use crate::arch::spec::QuantizationMode;
use crate::error::Result;
use crate::weights::gguf::Blocks;
use crate::weights::{Dtype, LinearData, Matrix, TensorView, dequantize};

/// Consecutive rows of a stored tensor.
#[derive(Clone)]
pub(super) enum Part {
    /// Numbers as they are.
    View(TensorView),
    /// Numbers of a matrix that is stored with its columns for rows.
    Turned(TensorView),
    /// Numbers of a matrix whose rows are the halves of heads of so many rows, which are pairs in the end.
    Pairs(TensorView, usize),
    /// Blocks of a GGUF file.
    Blocks(Blocks),
    /// MLX's codes.
    Codes(Box<LinearData>),
}

impl Part {
    /// What the numbers are, for comparisons.
    pub fn format(&self) -> String {
        match self {
            Self::View(view) | Self::Turned(view) | Self::Pairs(view, _) => view.dtype.to_string(),
            Self::Blocks(blocks) => blocks.block.to_string(),
            Self::Codes(_) => "codes".into(),
        }
    }

    /// The format of floats that the numbers have, or that MLX gives them.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::View(view) | Self::Turned(view) | Self::Pairs(view, _) => view.dtype,
            Self::Blocks(_) => Dtype::F32,
            Self::Codes(data) => match &data.matrix {
                Matrix::Dense(view) => view.dtype,
                Matrix::Affine { scales, .. } => scales.dtype,
                Matrix::Float { .. } => Dtype::Bf16,
            },
        }
    }

    /// Whether the numbers are floats of few bits, which MLX turns into bf16 whatever else a model has.
    pub fn is_small_float(&self) -> bool {
        matches!(self, Self::Codes(data) if matches!(&data.matrix,
            Matrix::Float { format, .. } if format.mode != QuantizationMode::Affine))
    }

    /// Bytes in the source.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::View(view) | Self::Turned(view) | Self::Pairs(view, _) => view.bytes().len() as u64,
            Self::Blocks(blocks) => (blocks.row_count() * blocks.row_width()) as u64,
            Self::Codes(data) => data.bytes() as u64,
        }
    }

    /// Rows of so many numbers.
    pub fn row_count(&self, columns: usize) -> usize {
        match self {
            Self::View(view) | Self::Turned(view) | Self::Pairs(view, _) => {
                view.shape.iter().product::<usize>() / columns.max(1)
            }
            Self::Blocks(blocks) => blocks.row_count(),
            Self::Codes(data) => data.outputs,
        }
    }

    /// Some rows of so many numbers, as bytes, if the source has them in this format.
    pub fn stored(&self, rows: Range<usize>, columns: usize, dtype: Dtype) -> Option<Vec<u8>> {
        let Self::View(view) = self else { return None };
        (view.dtype == dtype).then(|| view.rows(rows, self.row_count(columns)).bytes().to_vec())
    }

    /// The numbers of some rows of so many numbers. Codes become what they are in `dtype`.
    pub fn numbers(&self, rows: Range<usize>, columns: usize, dtype: Dtype) -> Result<Vec<f32>> {
        Ok(match self {
            Self::View(view) => view.rows(rows, self.row_count(columns)).to_f32(),
            Self::Turned(view) => {
                let (count, numbers) = (self.row_count(columns), view.to_f32());
                rows.flat_map(|row| numbers.iter().skip(row).step_by(count.max(1))).copied().collect()
            }
            Self::Pairs(view, head) => {
                let count = self.row_count(columns);
                // The row of the stored matrix that becomes this one.
                let stored = |row: usize| row - row % head + (row % head) / 2 + (row % 2) * (head / 2);
                rows.map(stored).flat_map(|row| view.rows(row..row + 1, count).to_f32()).collect()
            }
            Self::Blocks(blocks) => blocks.numbers(rows)?,
            Self::Codes(data) => dequantize(&data.rows(rows).matrix, dtype),
        })
    }

    /// Says that nobody looks at some rows soon again.
    pub fn release(&self, rows: Range<usize>, columns: usize) {
        match self {
            Self::View(view) => view.rows(rows, self.row_count(columns)).release(),
            Self::Turned(view) | Self::Pairs(view, _) => view.release(),
            Self::Blocks(blocks) => blocks.release(rows),
            Self::Codes(data) => {
                let data = data.rows(rows);
                match &data.matrix {
                    Matrix::Dense(view) => view.release(),
                    Matrix::Affine { codes, scales, biases, .. } => {
                        [codes, scales, biases].into_iter().for_each(TensorView::release);
                    }
                    Matrix::Float { codes, scales, .. } => [codes, scales].into_iter().for_each(TensorView::release),
                }
            }
        }
    }
}
