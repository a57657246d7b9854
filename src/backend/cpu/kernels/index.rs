//! Scores of an indexer's queries.

use super::super::head::BLOCK;
use super::super::simd::{Kernel, LANES, Lanes, Simd};
use super::panel::{Panel, Strided};

/// Scores the queries of one position with the keys of a block.
pub(in super::super) struct IndexScores<'a> {
    /// `heads × head_dim`.
    pub queries: &'a [f32],
    pub head_dim: usize,
    /// Factors of heads. With them `max(score, 0)` of all heads is summed up into the first 64 numbers of `scores`.
    pub weights: Option<&'a [f32]>,
    /// `head_dim × 64`.
    pub keys: &'a [f32],
    /// `heads × 64`.
    pub scores: &'a mut [f32],
}

impl Kernel for IndexScores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (head_dim, heads) = (self.head_dim, self.queries.len() / self.head_dim);
        let rows = Strided { data: self.queries, group: 1, outer: head_dim, inner: 0, len: head_dim };
        let (matrix, stride) = (self.keys, BLOCK / LANES);
        Panel { matrix, out: &mut *self.scores, stride, columns: 0..stride, keep: None }.multiply(s, rows, heads);
        let Some(weights) = self.weights else { return };
        let scores: &mut [Lanes] = self.scores.as_chunks_mut().0;
        let zero = s.splat(0.0);
        for column in 0..stride {
            let mut sum = zero;
            for (head, weight) in weights.iter().enumerate() {
                let score = s.max(s.load(&scores[head * stride + column]), zero);
                sum = s.fma(s.splat(*weight), score, sum);
            }
            s.store(sum, &mut scores[column]);
        }
    }
}
