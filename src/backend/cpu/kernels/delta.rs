//! One position of one head of a gated delta net.

use super::super::simd::{Kernel, LANES, Simd, padded};

/// Added to the squared length of queries and keys.
const EPSILON: f32 = 1e-6;

/// Brings a head's memory one position further and reads it.
pub(in super::super) struct DeltaHead<'a> {
    /// `value_dim × key_dim`.
    pub memory: &'a mut [f32],
    /// As they come out of the convolution.
    pub query: &'a [f32],
    pub key: &'a [f32],
    pub value: &'a [f32],
    /// How much of the difference is written.
    pub rate: f32,
    /// How much of the memory stays.
    pub keep: DeltaKeep<'a>,
    /// As wide as the value.
    pub out: &'a mut [f32],
}

/// How much of a memory stays.
#[derive(Clone, Copy)]
pub(in super::super) enum DeltaKeep<'a> {
    /// As much of all of it.
    All(f32),
    /// So much of each column.
    Columns(&'a [f32]),
}

impl Kernel for DeltaHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.key.len();
        let of_length = |squared: f32| 1.0 / (squared + EPSILON).sqrt();
        let key_factor = of_length(dot(s, self.key, self.key));
        let query_factor = of_length(dot(s, self.query, self.query)) / (width as f32).sqrt();
        for ((memory, value), out) in self.memory.chunks_exact_mut(width).zip(self.value).zip(self.out) {
            let known = match self.keep {
                DeltaKeep::All(keep) => dot(s, memory, self.key) * keep * key_factor,
                DeltaKeep::Columns(keeps) => {
                    for (memory, keep) in memory.iter_mut().zip(keeps) {
                        *memory *= keep;
                    }
                    dot(s, memory, self.key) * key_factor
                }
            };
            let write = s.splat((value - known) * self.rate * key_factor);
            let keep = s.splat(match self.keep {
                DeltaKeep::All(keep) => keep,
                DeltaKeep::Columns(_) => 1.0,
            });
            let mut sum = s.splat(0.0);
            let chunks = memory.chunks_mut(LANES).zip(self.key.chunks(LANES)).zip(self.query.chunks(LANES));
            for ((memory, key), query) in chunks {
                let mut lanes = padded(memory);
                let next = s.fma(s.load(&padded(key)), write, s.mul(s.load(&lanes), keep));
                sum = s.fma(next, s.load(&padded(query)), sum);
                s.store(next, &mut lanes);
                memory.copy_from_slice(&lanes[..memory.len()]);
            }
            *out = s.sum(sum) * query_factor;
        }
    }
}

#[inline(always)]
fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        sum = s.fma(s.load(&padded(a)), s.load(&padded(b)), sum);
    }
    s.sum(sum)
}
