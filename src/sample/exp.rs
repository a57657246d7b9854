//! Exponentials and their sums, written so that the compiler vectorizes them and every machine gets the same bits.

/// Lanes worked on side by side.
const LANES: usize = 16;
/// Values summed in `f32` before their sum goes into an `f64`.
const BLOCK: usize = 1024;

/// e^x for x ≤ 0, with a relative error below 3e-7; 0 below about −87, where `f32` has no normal number left.
///
/// Only additions, multiplications and bit operations: no branch and no library call, whose results differ between
/// systems.
pub(super) fn exp(x: f32) -> f32 {
    // Adding this pushes the fraction bits out, which rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits, so that x - n ln 2 keeps its precision.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;

    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    // The Taylor series: |r| ≤ ln 2 / 2, so the first term left out is below 6e-9.
    let mut sum = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + factor;
    }
    // The low bits of `shifted` are n; in the exponent's place they are 2^n.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x > -87.0 { sum * power } else { 0.0 }
}

/// Σ e^(x − max), in an order that depends on the number of values alone.
pub(super) fn exp_sum(values: &[f32], max: f32) -> f64 {
    let mut total = 0.0;
    for block in values.chunks(BLOCK) {
        let mut lanes = [0f32; LANES];
        let rows = block.chunks_exact(LANES);
        let rest = rows.remainder();
        for row in rows {
            for lane in 0..LANES {
                lanes[lane] += exp(row[lane] - max);
            }
        }
        for (lane, x) in rest.iter().enumerate() {
            lanes[lane] += exp(x - max);
        }
        total += lanes.iter().map(|x| f64::from(*x)).sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_close_to_the_real_exponential() {
        let mut worst = 0f64;
        for i in 0..870_000 {
            let x = -(i as f32) / 10_000.0;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 3e-7, "{worst}");
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn ends_in_zero() {
        for x in [-87.1, -1e30, f32::NEG_INFINITY] {
            assert_eq!(exp(x), 0.0, "{x}");
        }
    }

    #[test]
    fn sums_many_values_without_losing_the_small_ones() {
        let values: Vec<f32> = (0..200_003).map(|i| ((i * 37) % 1000) as f32 / 50.0).collect();
        let max = 999.0 / 50.0;
        let exact: f64 = values.iter().map(|x| f64::from(x - max).exp()).sum();
        let sum = exp_sum(&values, max);
        assert!((sum / exact - 1.0).abs() < 1e-6, "{sum} {exact}");
        assert_eq!(exp_sum(&[f32::NEG_INFINITY, 0.0], 0.0), 1.0);
    }
}
