//! Rounding to floats of few bits, in groups that share a scale.

use super::Cpu;
use super::elementwise::rows;
use super::tensor::Tensor;
use crate::arch::spec::Activation;
use crate::error::{Error, Result};

/// The largest numbers of 8 and 4 bits.
const MOST: [f32; 2] = [448.0, 6.0];

/// Rounds groups of a row, where the activation is a rounding to few bits.
pub(super) fn rounded(cpu: &Cpu, x: &Tensor, activation: Activation) -> Result<Option<Tensor>> {
    let (group, round): (usize, fn(&mut [f32])) = match activation {
        Activation::Float8 { group } => (group, eight_bits),
        Activation::Float4 { group, fine: true } => (group, four_bits_finely),
        Activation::Float4 { group, fine: false } => (group, four_bits),
        _ => return Ok(None),
    };
    if group == 0 || !x.width().is_multiple_of(group) {
        return Err(Error::internal(format!("{activation:?} of rows of {} numbers", x.width())));
    }
    let (width, data) = (x.width(), x.data());
    let result = rows(cpu, x.rows(), width, |first, out| {
        out.copy_from_slice(&data[first * width..][..out.len()]);
        out.chunks_exact_mut(group).for_each(round);
    });
    result.map(Some)
}

fn eight_bits(group: &mut [f32]) {
    let scale = power_of_two_from(largest(group, 1e-4) / MOST[0]);
    group.iter_mut().for_each(|x| *x = e4m3(*x / scale) * scale);
}

fn four_bits(group: &mut [f32]) {
    let scale = power_of_two_from(largest(group, 6.0 * f32::MIN_POSITIVE) / MOST[1]);
    group.iter_mut().for_each(|x| *x = e2m1(*x / scale) * scale);
}

fn four_bits_finely(group: &mut [f32]) {
    // No scale is below the least number of 8 bits.
    let scale = e4m3(largest(group, MOST[1] * 2f32.powi(-9)) / MOST[1]);
    group.iter_mut().for_each(|x| *x = e2m1(*x / scale) * scale);
}

/// The largest magnitude, or `least`.
fn largest(group: &[f32], least: f32) -> f32 {
    group.iter().fold(least, |largest, x| largest.max(x.abs()))
}

/// The least power of two that is no smaller than a positive number.
fn power_of_two_from(x: f32) -> f32 {
    let bits = x.to_bits();
    let mantissa = bits & 0x007f_ffff;
    f32::from_bits(if mantissa == 0 { bits } else { bits - mantissa + 0x0080_0000 })
}

/// The nearest number with a sign, 4 bits of exponent and 3 of mantissa; of two the one that ends with a zero.
fn e4m3(x: f32) -> f32 {
    nearest(x, MOST[0], -6, 3)
}

/// The nearest of ±0, 0.5, 1, 1.5, 2, 3, 4 and 6; of two the one that ends with a zero.
fn e2m1(x: f32) -> f32 {
    nearest(x, MOST[1], 0, 1)
}

fn nearest(x: f32, most: f32, least_exponent: i32, mantissa: i32) -> f32 {
    let magnitude = x.abs().min(most);
    let exponent = ((magnitude.to_bits() >> 23) as i32 - 127).max(least_exponent);
    let step = f32::from_bits(((exponent - mantissa + 127) as u32) << 23);
    ((magnitude / step).round_ties_even() * step).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_the_nearest_that_there_are() {
        let four = [0.2, 0.25, 0.26, 0.75, 1.25, 1.3, -1.75, 2.5, 3.4, 3.5, 5.0, 5.1, -9.0];
        let expected = [0.0, 0.0, 0.5, 1.0, 1.0, 1.5, -2.0, 2.0, 3.0, 4.0, 4.0, 6.0, -6.0];
        assert_eq!(four.map(e2m1), expected);
        let eight = [1.0, 1.0625, 1.07, 17.0, 19.0, 500.0, 0.001, -0.003, 2f32.powi(-10), 0.0];
        let expected = [1.0, 1.0, 1.125, 16.0, 20.0, 448.0, 0.001_953_125, -0.003_906_25, 0.0, 0.0];
        assert_eq!(eight.map(e4m3), expected);
        assert_eq!([1.0, 1.1, 0.5, 0.3, 3.0].map(power_of_two_from), [1.0, 2.0, 0.5, 0.5, 4.0]);
    }
}
