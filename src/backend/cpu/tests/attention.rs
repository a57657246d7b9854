use super::{Random, assert_close, backends, bits, numbers, tensor};
use crate::arch::spec;
use crate::backend::cpu::{Cpu, KvCache};
use crate::backend::{AttentionExtras, AttentionParams, Backend, Cache, CacheLayout, Rows};
use crate::weights::{Dtype, NormData};

/// One layer's attention and an input for some positions.
#[derive(Clone)]
pub(super) struct Case {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub window: Option<usize>,
    pub norms: Option<Vec<f32>>,
    pub rope: Option<spec::Rope>,
    /// Rows of queries, keys and values.
    pub qkv: Vec<f32>,
}

impl Case {
    pub fn new(positions: usize, heads: usize, kv_heads: usize, head_dim: usize, random: &mut Random) -> Self {
        let qkv = random.numbers(positions * (heads + 2 * kv_heads) * head_dim);
        let qkv = qkv.into_iter().map(|x| 3.0 * x).collect();
        Self { heads, kv_heads, head_dim, window: None, norms: None, rope: None, qkv }
    }

    pub fn with_norms_and_rope(mut self, dims: usize, traditional: bool, random: &mut Random) -> Self {
        let inverse_frequencies = (0..dims / 2).map(|i| 1e4f32.powf(-2.0 * i as f32 / dims as f32)).collect();
        self.rope = Some(spec::Rope { dims, traditional, inverse_frequencies, magnitude: 1.25 });
        self.norms = Some(random.numbers(self.head_dim));
        self
    }

    pub fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    pub fn cache(&self, cpu: &Cpu) -> KvCache {
        let Self { kv_heads, head_dim, window, .. } = *self;
        cpu.new_cache(CacheLayout { kv_heads, head_dim, window })
    }

    /// The next positions of some sequences in one step: each a cache and the numbers of the rows to take.
    pub fn step(&self, cpu: &Cpu, sequences: &mut [(&mut KvCache, &[usize])]) -> crate::Result<Vec<f32>> {
        let norm = self
            .norms
            .as_ref()
            .map(|norm| cpu.load_norm(&NormData::rms(&numbers(Dtype::F32, &[norm.len()], norm).0, 1e-6)).unwrap());
        let rope = self.rope.as_ref().map(|rope| cpu.load_rope(rope).unwrap());
        let params = AttentionParams {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: 0.3,
            query_norm: norm.as_ref(),
            key_norm: norm.as_ref(),
            rope: rope.as_ref(),
            window: self.window,
            extras: AttentionExtras::default(),
        };
        let rows = Rows::new(sequences.iter().map(|(cache, rows)| (cache.len(), rows.len())));
        let taken = sequences.iter().flat_map(|(_, rows)| *rows);
        let qkv: Vec<f32> = taken.flat_map(|row| &self.qkv[row * self.width()..][..self.width()]).copied().collect();
        let mut caches: Vec<&mut KvCache> = sequences.iter_mut().map(|(cache, _)| &mut **cache).collect();
        Ok(cpu.attention(&tensor(cpu, rows.len(), &qkv), &params, &rows, &mut caches)?.data().to_vec())
    }

    /// Consecutive rows, cut into slices of `slice` positions.
    pub fn slices(&self, cpu: &Cpu, cache: &mut KvCache, end: usize, slice: usize) -> Vec<f32> {
        let mut out = Vec::new();
        while cache.len() < end {
            let rows: Vec<usize> = (cache.len()..end.min(cache.len() + slice)).collect();
            out.extend(self.step(cpu, &mut [(cache, &rows)]).unwrap());
        }
        out
    }

    /// All positions in f64, the plain way.
    fn reference(&self) -> Vec<f64> {
        let (dim, width) = (self.head_dim, self.width());
        let prepared: Vec<Vec<f64>> =
            self.qkv.chunks(width).enumerate().map(|(p, row)| self.prepared(p, row)).collect();
        let mut out = Vec::new();
        for position in 0..prepared.len() {
            let first = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
            for head in 0..self.heads {
                let kv = head / (self.heads / self.kv_heads);
                let query = &prepared[position][head * dim..][..dim];
                let weights: Vec<f64> = (first..=position)
                    .map(|p| {
                        let key = &prepared[p][(self.heads + kv) * dim..][..dim];
                        (query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() * 0.3).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                for i in 0..dim {
                    let value = |p: usize| prepared[p][(self.heads + self.kv_heads + kv) * dim + i];
                    out.push((first..=position).zip(&weights).map(|(p, w)| w * value(p)).sum::<f64>() / sum);
                }
            }
        }
        out
    }

    /// A row after norms and rope.
    fn prepared(&self, position: usize, row: &[f32]) -> Vec<f64> {
        let mut row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        for head in row.chunks_mut(self.head_dim).take(self.heads + self.kv_heads) {
            if let Some(weight) = &self.norms {
                let mean = head.iter().map(|x| x * x).sum::<f64>() / head.len() as f64;
                for (x, weight) in head.iter_mut().zip(weight) {
                    *x = *x / (mean + 1e-6).sqrt() * f64::from(*weight);
                }
            }
            for i in 0..self.rope.as_ref().map_or(0, |rope| rope.dims / 2) {
                let rope = self.rope.as_ref().unwrap();
                let (a, b) = if rope.traditional { (2 * i, 2 * i + 1) } else { (i, i + rope.dims / 2) };
                let (sin, cos) = (position as f64 * f64::from(rope.inverse_frequencies[i])).sin_cos();
                let (x, y) = (head[a] * f64::from(rope.magnitude), head[b] * f64::from(rope.magnitude));
                (head[a], head[b]) = (x * cos - y * sin, x * sin + y * cos);
            }
        }
        row
    }
}

fn cases(random: &mut Random) -> Vec<Case> {
    let long = Case::new(1200, 2, 1, 8, random);
    let mut windowed = Case::new(700, 4, 2, 16, random).with_norms_and_rope(8, true, random);
    windowed.window = Some(70);
    let mut narrow = Case::new(150, 3, 3, 20, random);
    narrow.window = Some(1);
    vec![
        Case::new(1, 1, 1, 8, random),
        Case::new(65, 4, 2, 64, random).with_norms_and_rope(64, false, random),
        Case::new(130, 14, 2, 24, random).with_norms_and_rope(12, false, random),
        Case::new(40, 40, 1, 80, random),
        long,
        windowed,
        narrow,
    ]
}

#[test]
fn attention_is_right_and_the_same_however_it_is_cut() {
    let mut random = Random(1);
    for (index, case) in cases(&mut random).iter().enumerate() {
        let positions = case.qkv.len() / case.width();
        let want = case.reference();
        let mut first = None;
        for cpu in backends() {
            let whole = case.slices(&cpu, &mut case.cache(&cpu), positions, positions);
            assert_close(&whole, &want, 2e-5, &format!("case {index} at {:?}", cpu.level));
            assert_eq!(first.get_or_insert_with(|| bits(&whole)), &bits(&whole), "case {index} at {:?}", cpu.level);
        }
        let best = backends().pop().unwrap();
        for slice in [1, 7, 64, 100] {
            let cut = case.slices(&best, &mut case.cache(&best), positions, slice);
            assert_eq!(first.as_ref().unwrap(), &bits(&cut), "case {index} in slices of {slice}");
        }
    }
}

#[test]
fn steps_of_long_sequences_are_shared_between_threads() {
    // More than four spans and few heads: threads take spans.
    let case = Case::new(2300, 8, 2, 32, &mut Random(2));
    let mut first = None;
    for cpu in backends().iter().rev().take(4) {
        let mut cache = case.cache(cpu);
        case.slices(cpu, &mut cache, 2297, 2297);
        let last = case.slices(cpu, &mut cache, 2300, 1);
        assert_eq!(first.get_or_insert_with(|| bits(&last)), &bits(&last));
    }
    let cpu = backends().pop().unwrap();
    let whole = case.slices(&cpu, &mut case.cache(&cpu), 2300, 2300);
    assert_eq!(first.unwrap(), bits(&whole[2297 * 256..]));
}

#[test]
fn sequences_of_a_batch_do_not_see_each_other() {
    let case = Case::new(300, 4, 2, 16, &mut Random(3)).with_norms_and_rope(16, false, &mut Random(4));
    for cpu in backends() {
        let rows: Vec<usize> = (0..300).collect();
        let mut alone = Vec::new();
        for (start, end) in [(0, 90), (100, 101), (150, 300)] {
            let mut cache = case.cache(&cpu);
            alone.extend(case.step(&cpu, &mut [(&mut cache, &rows[start..end])]).unwrap());
        }
        let [mut a, mut b, mut c] = [case.cache(&cpu), case.cache(&cpu), case.cache(&cpu)];
        let mut sequences = [(&mut a, &rows[0..90]), (&mut b, &rows[100..101]), (&mut c, &rows[150..300])];
        let batched = case.step(&cpu, &mut sequences).unwrap();
        assert_eq!(bits(&batched), bits(&alone));
        assert_eq!([a.len(), b.len(), c.len()], [90, 1, 150]);
    }
}

#[test]
fn shapes_are_checked() {
    let cpu = &backends()[0];
    let case = Case::new(4, 4, 2, 8, &mut Random(5));
    let wrong = |change: &dyn Fn(&mut Case)| {
        let mut changed = case.clone();
        changed.window = Some(9);
        let mut cache = changed.cache(cpu);
        change(&mut changed);
        assert!(changed.step(cpu, &mut [(&mut cache, &[0])]).is_err());
        assert_eq!(cache.len(), 0);
    };
    wrong(&|case| case.window = None);
    wrong(&|case| case.window = Some(10));
    wrong(&|case| case.window = Some(0));
    wrong(&|case| case.heads = 3);
    wrong(&|case| case.kv_heads = 0);
    wrong(&|case| (case.heads, case.kv_heads) = (6, 1));
    wrong(&|case| case.norms = Some(vec![1.0; 9]));
    wrong(&|case| {
        let inverse_frequencies = vec![1.0; 5];
        case.rope = Some(spec::Rope { dims: 10, traditional: false, inverse_frequencies, magnitude: 1.0 });
    });
}
