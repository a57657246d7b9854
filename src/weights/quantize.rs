//! Numbers to codes, as MLX's `quantize` does it on its CPU device, bit for bit.

use super::Dtype;
use crate::arch::spec::{QuantizationFormat, QuantizationMode};
use crate::error::{Code, Error, Result};

/// The largest number of E2M1.
const E2M1_MAX: f32 = 6.0;
/// The largest number of E4M3.
const E4M3_MAX: f32 = 448.0;
/// Numbers whose codes fill whole bytes at every width.
const PACK: usize = 8;

/// Bytes of quantized rows as a checkpoint stores them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Quantized {
    /// Little-endian u32 words, codes in their bits without gaps.
    pub codes: Vec<u8>,
    /// One for each group: of the numbers' format (affine), or one byte.
    pub scales: Vec<u8>,
    /// Like the scales; only affine.
    pub biases: Vec<u8>,
}

/// Quantizes consecutive rows. `dtype` is the number format that `numbers` come from, which is also that of affine
/// scales and biases; MLX computes the codes with the scales before they are rounded to it.
///
/// # Errors
/// `CorruptFile` when a number is not finite; `Unsupported` when its scale is not finite in `dtype`.
pub(crate) fn quantize(numbers: &[f32], dtype: Dtype, format: QuantizationFormat) -> Result<Quantized> {
    let QuantizationFormat { bits, group_size, mode } = format;
    if !dtype.is_float() || !format.is_known() || !numbers.len().is_multiple_of(group_size) {
        let message = format!("{} numbers of {dtype} as {bits} bits in groups of {group_size}", numbers.len());
        return Err(Error::internal(message));
    }
    if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(Error::new(Code::CorruptFile, format!("holds {number}, which no code stands for"))
            .with_hint("the weights are damaged, or were trained to numbers that are none"));
    }
    let groups = numbers.len() / group_size;
    let width = if mode == QuantizationMode::Affine { dtype.width() } else { 1 };
    let mut out = Quantized {
        codes: Vec::with_capacity(numbers.len() / 8 * bits),
        scales: Vec::with_capacity(groups * width),
        biases: Vec::new(),
    };
    let mut codes = [0; 128];
    for group in numbers.chunks_exact(group_size) {
        let codes = &mut codes[..group_size];
        match mode {
            QuantizationMode::Affine => {
                let (scale, bias) = affine(group, bits, codes);
                push(&mut out.scales, scale, dtype)?;
                push(&mut out.biases, bias, dtype)?;
            }
            QuantizationMode::Mxfp4 => out.scales.push(mxfp(group, dtype, E2M1_MAX, e2m1, codes)),
            QuantizationMode::Mxfp8 => out.scales.push(mxfp(group, dtype, E4M3_MAX, e4m3, codes)),
            QuantizationMode::Nvfp4 => out.scales.push(nvfp4(group, codes)),
        }
        for codes in codes.as_chunks::<PACK>().0 {
            let word = codes.iter().rev().fold(0u64, |word, &code| word << bits | u64::from(code));
            out.codes.extend_from_slice(&word.to_le_bytes()[..bits]);
        }
    }
    Ok(out)
}

/// Codes of a group, and its scale and bias. The end of the range that is farther from zero, and zero itself, if it is
/// within, are met exactly.
fn affine(group: &[f32], bits: usize, codes: &mut [u8]) -> (f32, f32) {
    /// Added to a small number and taken away again, this rounds to the nearest integer, ties to even.
    const ROUND: f32 = 12_582_912.0;
    let last = ((1 << bits) - 1) as f32;
    let (low, high) = group.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &number| {
        (if number < low { number } else { low }, if number > high { number } else { high })
    });
    let from_low = low.abs() > high.abs();
    let step = ((high - low) / last).max(1e-7);
    let (edge, step) = if from_low { (low, step) } else { (high, -step) };
    let steps = (edge / step).round_ties_even();
    let (scale, bias) = if steps == 0.0 { (step, 0.0) } else { (edge / steps, edge) };
    for (code, number) in codes.iter_mut().zip(group) {
        let exact = ((number - bias) / scale).max(0.0).min(last);
        *code = (exact + ROUND).to_bits() as u8;
    }
    (scale, bias)
}

/// Codes of a group that shares a power of two, and the power's byte: the least that brings all numbers into range.
fn mxfp(group: &[f32], dtype: Dtype, largest: f32, encode: fn(f32) -> u8, codes: &mut [u8]) -> u8 {
    // MLX divides in the numbers' own format.
    let wanted = dtype.round(peak(group) / largest);
    let exponent = if wanted == 0.0 {
        0
    } else {
        let bits = wanted.to_bits();
        ((bits >> 23) as i32 - 127 + i32::from(bits & 0x7f_ffff != 0)).clamp(-126, 127)
    };
    let scale = power_of_two(exponent);
    for (code, number) in codes.iter_mut().zip(group) {
        *code = encode(number / scale);
    }
    (exponent + 127) as u8
}

/// Codes of a group that shares an E4M3 factor, and the factor.
fn nvfp4(group: &[f32], codes: &mut [u8]) -> u8 {
    let byte = e4m3(peak(group) / E2M1_MAX);
    let exponent = i32::from(byte >> 3);
    let scale = match exponent {
        0 => f32::from(byte) * power_of_two(-9),
        _ => f32::from(8 + (byte & 7)) * power_of_two(exponent - 10),
    };
    for (code, number) in codes.iter_mut().zip(group) {
        *code = if byte == 0 { 0 } else { e2m1(number / scale) };
    }
    byte
}

fn peak(group: &[f32]) -> f32 {
    group.iter().fold(0.0, |peak, number| f32::max(peak, number.abs()))
}

/// The nearest number of E2M1, the smaller one of two. Zero has no sign, as MLX has it on its CPU device.
fn e2m1(number: f32) -> u8 {
    let code = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0].iter().filter(|&&bound| number.abs() > bound).count() as u8;
    if number < 0.0 && code > 0 { code | 8 } else { code }
}

/// The nearest number of E4M3, the even one of two; the largest for all beyond.
fn e4m3(number: f32) -> u8 {
    let size = number.abs().min(E4M3_MAX);
    let exponent = ((size.to_bits() >> 23) as i32 - 127).max(-6);
    let eighths = (size * power_of_two(3 - exponent)).round_ties_even() as u8;
    // Eight eighths are the next exponent's zero.
    let code = (exponent + 6) as u8 * 8 + eighths;
    code | if number.is_sign_negative() { 0x80 } else { 0 }
}

/// Two to a power from -126 to 127.
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

fn push(bytes: &mut Vec<u8>, number: f32, dtype: Dtype) -> Result<()> {
    if !dtype.round(number).is_finite() {
        return Err(Error::unsupported(format!("needs the scale {number}, which {dtype} does not reach"))
            .with_hint("convert with numbers of a wider format, bf16 or f32"));
    }
    dtype.push(number, bytes);
    Ok(())
}
