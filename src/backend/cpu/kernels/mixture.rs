//! Sums of rows, weighed by how they agree with a query.

use super::super::simd::{Kernel, LANES, Simd, exp_one, padded};

/// See [`Backend::mix_by_query`](crate::backend::Backend::mix_by_query).
pub(in super::super) struct MixByQuery<'a> {
    /// All rows of each input.
    pub inputs: &'a [&'a [f32]],
    /// As wide as a row.
    pub query: &'a [f32],
    pub epsilon: f32,
    /// The row that `out` begins with.
    pub first: usize,
    pub out: &'a mut [f32],
}

impl Kernel for MixByQuery<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { inputs, query, epsilon, first, out } = self;
        let width = query.len().max(1);
        let mut weights = vec![0.0; inputs.len()];
        for (index, out) in out.chunks_exact_mut(width).enumerate() {
            let at = (first + index) * width;
            for (weight, input) in weights.iter_mut().zip(inputs) {
                *weight = score(s, &input[at..at + width], query, epsilon);
            }
            let highest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            weights.iter_mut().for_each(|weight| *weight = exp_one(s, *weight - highest));
            let sum: f32 = weights.iter().sum();
            out.fill(0.0);
            for (weight, input) in weights.iter().zip(inputs) {
                let factor = s.splat(weight / sum);
                for (out, x) in out.chunks_mut(LANES).zip(input[at..at + width].chunks(LANES)) {
                    let mut lanes = padded(out);
                    s.store(s.fma(s.load(&padded(x)), factor, s.load(&lanes)), &mut lanes);
                    out.copy_from_slice(&lanes[..out.len()]);
                }
            }
        }
    }
}

#[inline(always)]
fn score<S: Simd>(s: S, x: &[f32], query: &[f32], epsilon: f32) -> f32 {
    let (mut product, mut squares) = (s.splat(0.0), s.splat(0.0));
    for (x, query) in x.chunks(LANES).zip(query.chunks(LANES)) {
        let x = s.load(&padded(x));
        product = s.fma(x, s.load(&padded(query)), product);
        squares = s.fma(x, x, squares);
    }
    s.sum(product) / (s.sum(squares) / query.len() as f32 + epsilon).sqrt()
}
