//! Attention by plain loops.

use super::support::{Random, floats};
use crate::arch::spec;
use crate::backend::mlx::{Mlx, Norm, Rope};
use crate::backend::{AttentionExtras, AttentionParams, Backend, CacheLayout};
use crate::weights::{Dtype, NormData};

/// Attention's shape.
#[derive(Clone)]
pub struct TestAttention {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub norms: bool,
    pub rope: Option<spec::Rope>,
    pub window: Option<usize>,
}

/// What [`AttentionParams`] borrows.
pub struct LoadedAttention {
    norms: Option<(Norm, Norm)>,
    rope: Option<Rope>,
}

const EPSILON: f32 = 1e-5;
const SCALE: f32 = 0.3;

impl TestAttention {
    pub fn layout(&self) -> CacheLayout {
        CacheLayout { kv_heads: self.kv_heads, head_dim: self.head_dim, window: self.window, index: false }
    }

    /// Rows of queries, keys and values.
    pub fn sequence(&self, random: &mut Random, len: usize) -> Vec<Vec<f32>> {
        (0..len).map(|_| random.floats((self.heads + 2 * self.kv_heads) * self.head_dim)).collect()
    }

    pub fn load(&self, mlx: &Mlx) -> LoadedAttention {
        let norm = |weight: Vec<f32>| {
            mlx.load_norm(&NormData::rms(&floats(Dtype::F32, &[self.head_dim], &weight), EPSILON)).unwrap()
        };
        LoadedAttention {
            norms: self.norms.then(|| (norm(self.norm_weight(0)), norm(self.norm_weight(1)))),
            rope: self.rope.as_ref().map(|rope| mlx.load_rope(rope).unwrap()),
        }
    }

    fn norm_weight(&self, which: usize) -> Vec<f32> {
        (0..self.head_dim).map(|i| 0.5 + ((i + which) % 5) as f32 / 4.0).collect()
    }

    /// What each position of a sequence attends to.
    pub fn expected(&self, sequence: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let head = |row: &[f32], h: usize| row[h * self.head_dim..(h + 1) * self.head_dim].to_vec();
        let key = |p: usize, h: usize| self.prepared(head(&sequence[p], self.heads + h), p, 1);
        let row = |p: usize| {
            let first = self.window.map_or(0, |window| (p + 1).saturating_sub(window));
            let of_head = |h: usize| {
                let kv = h / (self.heads / self.kv_heads);
                let query = self.prepared(head(&sequence[p], h), p, 0);
                let dot = |k: Vec<f32>| query.iter().zip(k).map(|(a, b)| a * b).sum::<f32>();
                let scores: Vec<f32> = (first..=p).map(|j| (dot(key(j, kv)) * SCALE).exp()).collect();
                let total: f32 = scores.iter().sum();
                let mut out = vec![0.0; self.head_dim];
                for (j, score) in (first..=p).zip(scores) {
                    let value = head(&sequence[j], self.heads + self.kv_heads + kv);
                    out.iter_mut().zip(value).for_each(|(o, v)| *o += score / total * v);
                }
                out
            };
            (0..self.heads).flat_map(of_head).collect()
        };
        (0..sequence.len()).map(row).collect()
    }

    /// A head after norm and rope.
    fn prepared(&self, mut x: Vec<f32>, position: usize, which: usize) -> Vec<f32> {
        if self.norms {
            let mean = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
            let weight = self.norm_weight(which);
            x.iter_mut().zip(weight).for_each(|(v, w)| *v *= w / (mean + EPSILON).sqrt());
        }
        if let Some(rope) = &self.rope {
            for (i, frequency) in rope.inverse_frequencies.iter().enumerate() {
                let (a, b) = if rope.traditional { (2 * i, 2 * i + 1) } else { (i, i + rope.dims / 2) };
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                let (left, right) = (x[a] * rope.magnitude, x[b] * rope.magnitude);
                (x[a], x[b]) = (left * cos - right * sin, left * sin + right * cos);
            }
        }
        x
    }
}

impl LoadedAttention {
    pub fn params(&self, test: &TestAttention) -> AttentionParams<'_, Mlx> {
        AttentionParams {
            heads: test.heads,
            kv_heads: test.kv_heads,
            head_dim: test.head_dim,
            scale: SCALE,
            query_norm: self.norms.as_ref().map(|(query, _)| query),
            key_norm: self.norms.as_ref().map(|(_, key)| key),
            rope: self.rope.as_ref(),
            window: test.window,
            extras: AttentionExtras::default(),
        }
    }
}
