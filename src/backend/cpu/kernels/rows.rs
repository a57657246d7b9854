//! Loops over rows of activations.

use super::super::simd::{Kernel, LANES, Lanes, Simd, exp, padded};

/// `x / sqrt(mean(x²) + epsilon) * weight`, row by row.
pub(in super::super) struct NormRows<'a> {
    pub x: &'a [f32],
    /// As wide as a row.
    pub weight: &'a [f32],
    pub epsilon: f32,
    /// As many as `x`.
    pub out: &'a mut [f32],
}

impl Kernel for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        for (x, out) in self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let (chunks, rest) = x.as_chunks();
            let mut sum = s.splat(0.0);
            for chunk in chunks {
                let x = s.load(chunk);
                sum = s.fma(x, x, sum);
            }
            if !rest.is_empty() {
                let x = s.load(&padded(rest));
                sum = s.fma(x, x, sum);
            }
            let factor = 1.0 / (s.sum(sum) / width as f32 + self.epsilon).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(self.weight) {
                *out = x * factor * weight;
            }
        }
    }
}

/// `silu(gate) * up` for rows that hold gate and up side by side.
pub(in super::super) struct SiluRows<'a> {
    /// Rows of `2 * width`.
    pub gate_up: &'a [f32],
    pub width: usize,
    /// Rows of `width`.
    pub out: &'a mut [f32],
}

impl Kernel for SiluRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (row, out) in self.gate_up.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width)) {
            let (gate, up) = row.split_at(self.width);
            let ((gates, gate_rest), (ups, up_rest)) = (gate.as_chunks(), up.as_chunks());
            let (outs, out_rest) = out.as_chunks_mut();
            for ((gate, up), out) in gates.iter().zip(ups).zip(outs) {
                silu(s, gate, up, out);
            }
            if !out_rest.is_empty() {
                let mut lanes = [0.0; LANES];
                silu(s, &padded(gate_rest), &padded(up_rest), &mut lanes);
                out_rest.copy_from_slice(&lanes[..out_rest.len()]);
            }
        }
    }
}

#[inline(always)]
fn silu<S: Simd>(s: S, gate: &Lanes, up: &Lanes, out: &mut Lanes) {
    let gate = s.load(gate);
    let denominator = s.add(s.splat(1.0), exp(s, s.sub(s.splat(0.0), gate)));
    s.store(s.mul(s.div(gate, denominator), s.load(up)), out);
}

/// The index of the largest number, the lowest of equals. Numbers that are not a number count as the smallest.
pub(in super::super) struct ArgMax<'a> {
    pub row: &'a [f32],
}

impl Kernel for ArgMax<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let lowest = s.splat(f32::NEG_INFINITY);
        let (chunks, rest) = self.row.as_chunks();
        let mut best = lowest;
        for chunk in chunks {
            // `max` gives its second operand when the first is not a number.
            best = s.max(s.load(chunk), best);
        }
        let mut lanes = [0.0; LANES];
        s.store(best, &mut lanes);
        let mut highest = f32::NEG_INFINITY;
        for number in lanes.iter().chain(rest) {
            if *number > highest {
                highest = *number;
            }
        }
        self.row.iter().position(|number| *number == highest).unwrap_or(0)
    }
}
