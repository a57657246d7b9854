//! Matrices of 4- and 8-bit floats in formats that the kernels read, without any loss.
//!
//! An mxfp4 number is a multiple of half its group's scale between -12 and 12: that is an affine code of 5 bits. An
//! mxfp8 or nvfp4 number has at most six significant bits, which bf16 holds.

use std::sync::Arc;

use half::bf16;

use crate::arch::spec::{QuantizationFormat, QuantizationMode};
use crate::error::{Error, Result};
use crate::weights::{Dtype, LinearData, Matrix, Storage, TensorView};

/// Twice the numbers of E2M1.
const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Bits of the affine codes that stand for E2M1.
const BITS: usize = 5;
/// The code of zero.
const ZERO: i8 = 12;

/// The same matrix in a format that the kernels read; itself when it is in one.
pub(super) fn transcode(data: &LinearData) -> Result<LinearData> {
    let Matrix::Float { codes, scales, format } = &data.matrix else { return Ok(data.clone()) };
    let groups = codes.bytes().len() * 8 / (format.bits * format.group_size).max(1);
    if scales.bytes().len() != groups {
        return Err(Error::internal(format!("{} scales for {groups} groups of {}", scales.bytes().len(), codes.name)));
    }
    let matrix = match format.mode {
        QuantizationMode::Mxfp4 => mxfp4(codes, scales, data),
        QuantizationMode::Mxfp8 => {
            dense(codes, data, |code, group| e4m3(code) * e8m0(scales.bytes()[group]), format.group_size, 8)
        }
        QuantizationMode::Nvfp4 => dense(
            codes,
            data,
            |code, group| f32::from(E2M1_DOUBLED[usize::from(code)]) * 0.5 * e4m3(scales.bytes()[group]),
            format.group_size,
            4,
        ),
        QuantizationMode::Affine => return Err(Error::internal("affine codes among floats")),
    };
    Ok(LinearData { matrix, ..data.clone() })
}

/// Bits of a number, scales included, that [`transcode`] makes; none of formats that it leaves alone.
pub(crate) fn transcoded_bits(format: QuantizationFormat) -> Option<u64> {
    match format.mode {
        // A scale and a bias of 16 bits for 32 codes.
        QuantizationMode::Mxfp4 => Some(BITS as u64 + 1),
        QuantizationMode::Mxfp8 | QuantizationMode::Nvfp4 => Some(16),
        QuantizationMode::Affine => None,
    }
}

fn mxfp4(codes: &TensorView, scales: &TensorView, data: &LinearData) -> Matrix {
    let mut packed = Vec::with_capacity(codes.bytes().len() / 4 * BITS);
    // 8 codes of 4 bits are 4 bytes, and 5 bytes of 5 bits.
    for bytes in codes.bytes().as_chunks::<4>().0 {
        let mut word = 0u64;
        for (i, byte) in bytes.iter().enumerate() {
            for (j, code) in [byte & 15, byte >> 4].into_iter().enumerate() {
                let shifted = (E2M1_DOUBLED[usize::from(code)] + ZERO) as u64;
                word |= shifted << ((2 * i + j) * BITS);
            }
        }
        packed.extend_from_slice(&word.to_le_bytes()[..BITS]);
    }
    let (mut factors, mut biases) = (Vec::new(), Vec::new());
    for scale in scales.bytes() {
        let factor = 0.5 * e8m0(*scale);
        factors.extend_from_slice(&bf16::from_f32(factor).to_le_bytes());
        biases.extend_from_slice(&bf16::from_f32(factor * -f32::from(ZERO)).to_le_bytes());
    }
    let group_size = 32;
    Matrix::Affine {
        codes: view(codes, Dtype::U32, data.outputs, data.inputs / 32 * BITS, packed),
        scales: view(scales, Dtype::Bf16, data.outputs, data.inputs / group_size, factors),
        biases: view(scales, Dtype::Bf16, data.outputs, data.inputs / group_size, biases),
        format: QuantizationFormat::affine(BITS, group_size),
    }
}

/// All numbers as bf16. `number` makes one of a code and the number of its group.
fn dense(
    codes: &TensorView,
    data: &LinearData,
    number: impl Fn(u8, usize) -> f32,
    group_size: usize,
    bits: usize,
) -> Matrix {
    let mut out = Vec::with_capacity(data.outputs * data.inputs * 2);
    for (index, byte) in codes.bytes().iter().enumerate() {
        let halves = [byte & 15, byte >> 4];
        let codes: &[u8] = if bits == 4 { &halves } else { std::slice::from_ref(byte) };
        for code in codes {
            let group = index * 8 / bits / group_size;
            out.extend_from_slice(&bf16::from_f32(number(*code, group)).to_le_bytes());
        }
    }
    Matrix::Dense(view(codes, Dtype::Bf16, data.outputs, data.inputs, out))
}

fn view(of: &TensorView, dtype: Dtype, rows: usize, columns: usize, bytes: Vec<u8>) -> TensorView {
    let len = bytes.len();
    let storage: Storage = Arc::new(bytes);
    TensorView::from_storage(of.name.clone(), dtype, vec![rows, columns], storage, 0..len)
}

/// A power of two; all bits set is not a number.
fn e8m0(bits: u8) -> f32 {
    match bits {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        bits => f32::from_bits(u32::from(bits) << 23),
    }
}

/// 4 bits of exponent, 3 of mantissa, no infinities.
fn e4m3(bits: u8) -> f32 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let magnitude = match (exponent, bits & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 512.0,
        (exponent, _) => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_told() {
        for (mode, bits, group_size) in
            [(QuantizationMode::Mxfp4, 4, 32), (QuantizationMode::Mxfp8, 8, 32), (QuantizationMode::Nvfp4, 4, 16)]
        {
            let (outputs, inputs, format) = (6, 128, QuantizationFormat { bits, group_size, mode });
            let tensor = |dtype: Dtype, columns: usize| {
                let bytes = vec![0u8; outputs * columns * dtype.width()];
                let range = 0..bytes.len();
                TensorView::from_storage("t".to_owned(), dtype, vec![outputs, columns], Arc::new(bytes), range)
            };
            let (codes, scales) = (tensor(Dtype::U32, inputs * bits / 32), tensor(Dtype::U8, inputs / group_size));
            let stored = LinearData {
                outputs,
                inputs,
                matrix: Matrix::Float { codes, scales, format },
                bias: None,
                rotation: None,
            };
            let bytes = transcode(&stored).unwrap().bytes() as u64;
            assert_eq!(Some(bytes * 8 / (outputs * inputs) as u64), transcoded_bits(format), "{format:?}");
        }
    }

    #[test]
    fn small_floats() {
        assert_eq!([0x00, 0x01, 0x08, 0x38, 0x7e, 0xb9].map(e4m3), [0.0, 1.0 / 512.0, 1.0 / 64.0, 1.0, 448.0, -1.125]);
        assert!(e4m3(0x7f).is_nan() && e8m0(255).is_nan());
        assert_eq!([127, 128, 1, 0].map(e8m0), [1.0, 2.0, 2f32.powi(-126), 2f32.powi(-127)]);
    }
}
