//! Ternary matrices (BitNet): four rows share a byte of each column.

use std::sync::Arc;

use super::{Dtype, LinearData, Matrix, TensorView, Tensors};
use crate::arch::spec::{Linear, QuantizationFormat};
use crate::error::Result;

/// Bits of a number, and numbers in a byte.
const BITS: usize = 2;
const IN_A_BYTE: usize = 4;

/// Turns a ternary matrix into affine codes of 2 bits, which mean the same: `code * scale - scale`. Of the stored bytes,
/// `[outputs / 4, inputs]`, row `r` has the rows `r`, `r + outputs / 4` and so on of the matrix, lowest bits first.
pub(super) fn ternary(tensors: &Tensors, spec: &Linear, bias: Option<TensorView>) -> Result<LinearData> {
    let (outputs, inputs) = (spec.outputs, spec.inputs);
    let name = spec.weight();
    let stored = tensors.need(&name)?;
    if stored.dtype != Dtype::U8 || stored.shape != [outputs / IN_A_BYTE, inputs] {
        let message = format!("is {:?} of {}, not {:?} of U8", stored.shape, stored.dtype, [outputs / 4, inputs]);
        return Err(tensors.corrupt(&name, message));
    }
    let scale = super::linear::floats(tensors, &spec.ternary_scale(), &[1])?;
    let Some(group_size) = [128, 64, 32].into_iter().find(|group| inputs.is_multiple_of(*group)) else {
        return Err(tensors.corrupt(&name, format_args!("has {inputs} columns, which groups of 32 don't divide")));
    };
    let packed = (outputs / IN_A_BYTE).max(1);
    let rows: Vec<&[u8]> = stored.bytes().chunks_exact(inputs.max(1)).collect();
    let mut codes = Vec::with_capacity(outputs * inputs / IN_A_BYTE);
    for row in 0..outputs {
        let shift = row / packed * BITS;
        let of_byte =
            |numbers: &[u8]| numbers.iter().rev().fold(0u8, |byte, number| byte << BITS | number >> shift & 0b11);
        codes.extend(rows[row % packed].chunks_exact(IN_A_BYTE).map(of_byte));
    }
    let (scale, dtype) = (scale.bytes().to_vec(), scale.dtype);
    let mut below = scale.clone();
    if let Some(sign) = below.last_mut() {
        *sign ^= 0x80;
    }
    let view = |dtype, width: usize, bytes: Vec<u8>| {
        let range = 0..bytes.len();
        TensorView::from_storage(name.clone(), dtype, vec![outputs, width], Arc::new(bytes), range)
    };
    let groups = inputs / group_size;
    let matrix = Matrix::Affine {
        codes: view(Dtype::U32, inputs / 16, codes),
        scales: view(dtype, groups, scale.repeat(outputs * groups)),
        biases: view(dtype, groups, below.repeat(outputs * groups)),
        format: QuantizationFormat::affine(BITS, group_size),
    };
    Ok(LinearData { outputs, inputs, matrix, bias, rotation: None })
}
