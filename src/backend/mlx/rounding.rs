//! Rounding to floats of few bits, in groups that share a scale.

use mlx_rs::{Array, ops};

use super::activation::wide;
use super::error::Result;
use super::linear::cast;
use super::raw;

/// The largest numbers of 8 and 4 bits.
const MOST: [f32; 2] = [448.0, 6.0];

/// The nearest numbers of 8 bits (e4m3), with powers of two as scales.
pub(super) fn eight_bits(x: &Array, group: usize) -> Result<Array> {
    in_groups(x, group, 1e-4, |groups, largest| {
        let scale = power_of_two_from(&largest.divide(Array::from_f32(MOST[0]))?)?;
        Ok(e4m3(&groups.divide(&scale)?)?.multiply(&scale)?)
    })
}

/// The nearest numbers of 4 bits (e2m1), with powers of two or numbers of 8 bits as scales.
pub(super) fn four_bits(x: &Array, group: usize, fine: bool) -> Result<Array> {
    // No scale is below the least number of its format.
    let least = MOST[1] * if fine { 2f32.powi(-9) } else { f32::MIN_POSITIVE };
    in_groups(x, group, least, |groups, largest| {
        let scale = largest.divide(Array::from_f32(MOST[1]))?;
        let scale = if fine { e4m3(&scale)? } else { power_of_two_from(&scale)? };
        Ok(nearest(&groups.divide(&scale)?, MOST[1], 0, 1)?.multiply(&scale)?)
    })
}

fn in_groups(
    x: &Array,
    group: usize,
    least: f32,
    round: impl FnOnce(&Array, &Array) -> Result<Array>,
) -> Result<Array> {
    let groups = wide(x)?.reshape(&[x.dim(0), -1, raw::dim(group)?])?;
    let largest = ops::maximum(groups.abs()?.max_axis(-1, true)?, Array::from_f32(least))?;
    cast(round(&groups, &largest)?.reshape(x.shape())?, x.dtype())
}

/// The least power of two that is no smaller than a positive number.
fn power_of_two_from(x: &Array) -> Result<Array> {
    Ok(ops::power(Array::from_f32(2.0), ops::ceil(ops::log2(x)?)?)?)
}

fn e4m3(x: &Array) -> Result<Array> {
    nearest(x, MOST[0], -6, 3)
}

/// The nearest number of so many bits of mantissa; of two the one that ends with a zero.
fn nearest(x: &Array, most: f32, least_exponent: i32, mantissa: i32) -> Result<Array> {
    let number = Array::from_f32;
    let x = ops::maximum(ops::minimum(x, number(most))?, number(-most))?;
    let least = number(2f32.powi(least_exponent));
    let exponent = ops::floor(ops::log2(ops::maximum(x.abs()?, &least)?)?)?;
    let step = ops::power(number(2.0), exponent.subtract(number(mantissa as f32))?)?;
    Ok(ops::round(x.divide(&step)?, 0)?.multiply(&step)?)
}
