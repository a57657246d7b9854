//! The Walsh-Hadamard transform.

use super::super::simd::{Bytes, Kernel, LANES, Simd};

/// Rotates rows in place by blocks; see [`Rotation`](crate::weights::Rotation).
pub(in super::super) struct RotateBlocks<'a> {
    /// Whole rows.
    pub rows: &'a mut [f32],
    /// One a column; their number is the width of a row.
    pub signs: &'a [f32],
    /// A power of two that divides the width.
    pub block: usize,
    /// The way back.
    pub inverse: bool,
}

impl Kernel for RotateBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let Self { rows, signs, block, inverse } = self;
        let scale = 1.0 / (block as f32).sqrt();
        for row in rows.chunks_exact_mut(signs.len()) {
            if !inverse {
                row.iter_mut().zip(signs).for_each(|(x, sign)| *x *= sign);
            }
            row.chunks_exact_mut(block).for_each(|block| transform(s, block));
            match inverse {
                true => row.iter_mut().zip(signs).for_each(|(x, sign)| *x *= scale * sign),
                false => row.iter_mut().for_each(|x| *x *= scale),
            }
        }
    }
}

/// Sums and differences of numbers `half` apart, for each power of two below the block's length.
#[inline(always)]
fn transform<S: Simd>(s: S, block: &mut [f32]) {
    let mut half = 1;
    while half < block.len().min(LANES) {
        for pair in block.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    while half < block.len() {
        for pair in block.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.as_chunks_mut().0.iter_mut().zip(right.as_chunks_mut().0) {
                let (a, b) = (s.load(left), s.load(right));
                s.store(s.add(a, b), left);
                s.store(s.sub(a, b), right);
            }
        }
        half *= 2;
    }
}
