//! Layer norm, and norms whose heads have weights of their own.

use super::super::simd::{Kernel, LANES, Simd, padded};

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, or without the mean, piece by piece.
pub(in super::super) struct NormPieces<'a> {
    pub x: &'a [f32],
    /// Width of a piece.
    pub size: usize,
    /// As wide as one piece or several, which then take their part in turn.
    pub weight: &'a [f32],
    /// The same of one piece or several, or empty.
    pub bias: &'a [f32],
    /// Whether the mean is taken away.
    pub centered: bool,
    pub epsilon: f32,
    /// As many as `x`.
    pub out: &'a mut [f32],
}

impl Kernel for NormPieces<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (size, count) = (self.size, self.size as f32);
        let weights = self.weight.chunks_exact(size).cycle();
        let mut biases = self.bias.chunks_exact(size).cycle();
        for ((x, out), weight) in self.x.chunks_exact(size).zip(self.out.chunks_exact_mut(size)).zip(weights) {
            let mut mean = 0.0;
            if self.centered {
                let mut sum = s.splat(0.0);
                for chunk in x.chunks(LANES) {
                    sum = s.add(sum, s.load(&padded(chunk)));
                }
                mean = s.sum(sum) / count;
            }
            for (out, x) in out.iter_mut().zip(x) {
                *out = x - mean;
            }
            let mut sum = s.splat(0.0);
            for chunk in out.chunks(LANES) {
                let x = s.load(&padded(chunk));
                sum = s.fma(x, x, sum);
            }
            let factor = 1.0 / (s.sum(sum) / count + self.epsilon).sqrt();
            for (out, weight) in out.iter_mut().zip(weight) {
                *out = *out * factor * weight;
            }
            for (out, bias) in out.iter_mut().zip(biases.next().unwrap_or_default()) {
                *out += bias;
            }
        }
    }
}
