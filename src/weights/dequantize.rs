//! Codes to numbers, as MLX's `dequantize` does it on its CPU device, bit for bit.

use super::{Dtype, Matrix, TensorView};
use crate::arch::spec::{QuantizationFormat, QuantizationMode};

/// Codes that together fill whole bytes at every width.
const PACK: usize = 8;
/// The numbers of E2M1 that are not below zero.
const E2M1: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// The numbers of a matrix. Affine ones are computed in `dtype`, to which scales and biases are rounded first; the other
/// formats have a few bits that every format of floats holds, as far as it reaches.
pub(crate) fn dequantize(matrix: &Matrix, dtype: Dtype) -> Vec<f32> {
    match matrix {
        Matrix::Dense(weight) => weight.to_f32(),
        Matrix::Affine { codes, scales, biases, format } => {
            let rounded = |view: &TensorView| view.to_f32().into_iter().map(|number| dtype.round(number));
            let groups = rounded(scales).zip(rounded(biases));
            let number = |code: u8, (scale, bias): (f32, f32)| dtype.round(dtype.round(f32::from(code) * scale) + bias);
            decode(codes.bytes(), *format, groups, number)
        }
        Matrix::Float { codes, scales, format } => {
            let scale: fn(u8) -> f32 = if format.mode == QuantizationMode::Nvfp4 { e4m3 } else { power_of_two };
            let decode_one: fn(u8) -> f32 = if format.mode == QuantizationMode::Mxfp8 { e4m3 } else { e2m1 };
            let scales = scales.bytes().iter().map(|byte| scale(*byte));
            decode(codes.bytes(), *format, scales, |code, scale| decode_one(code) * scale)
        }
    }
}

/// Unpacks codes, lowest bits first, and makes numbers of them with what each group has.
fn decode<T: Copy>(
    bytes: &[u8],
    format: QuantizationFormat,
    groups: impl Iterator<Item = T>,
    number: impl Fn(u8, T) -> f32,
) -> Vec<f32> {
    let QuantizationFormat { bits, group_size, .. } = format;
    let mask = (1u64 << bits) - 1;
    let mut numbers = Vec::with_capacity(bytes.len() * 8 / bits.max(1));
    for (group, bytes) in groups.zip(bytes.chunks_exact(group_size / PACK * bits)) {
        for packed in bytes.chunks_exact(bits) {
            let mut word = [0; 8];
            word[..bits].copy_from_slice(packed);
            let word = u64::from_le_bytes(word);
            numbers.extend((0..PACK).map(|i| number((word >> (i * bits) & mask) as u8, group)));
        }
    }
    numbers
}

fn e2m1(code: u8) -> f32 {
    let size = E2M1[usize::from(code & 7)];
    if code & 8 == 0 { size } else { -size }
}

/// FP8: a sign, four bits of exponent, three of fraction; all ones are no number.
fn e4m3(byte: u8) -> f32 {
    let (exponent, fraction) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => fraction * 2f32.powi(-9),
        _ => (8.0 + fraction) * 2f32.powi(exponent - 10),
    };
    if byte & 0x80 == 0 { size } else { -size }
}

/// E8M0: the exponent of a power of two.
fn power_of_two(byte: u8) -> f32 {
    2f32.powi(i32::from(byte) - 127)
}
