use super::{Random, assert_close, backends, backends_with, bits, numbers, tensor};
use crate::arch::spec;
use crate::backend::cpu::{Cpu, KvCache};
use crate::backend::{AttentionExtras, AttentionParams, Backend, Cache, CacheLayout, KvBits, Precision, Rows};
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
        cpu.new_cache(CacheLayout { kv_heads, head_dim, window, index: false })
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

/// How far off numbers may be for each kind of cache. Values here are up to 3, and scores so large that their errors count.
const CACHES: [(KvBits, f64); 3] = [(KvBits::Sixteen, 2e-5), (KvBits::Eight, 0.25), (KvBits::Four, 3.5)];

fn backends_of(bits: KvBits) -> Vec<Cpu> {
    backends_with(Precision::Exact, Some(bits))
}

/// The root of the mean square error.
fn mean_error(got: &[f32], want: &[f64]) -> f64 {
    let squares: f64 = got.iter().zip(want).map(|(got, want)| (f64::from(*got) - want).powi(2)).sum();
    (squares / want.len() as f64).sqrt()
}

#[test]
fn attention_is_right_and_the_same_however_it_is_cut() {
    let mut random = Random(1);
    for (index, case) in cases(&mut random).iter().enumerate() {
        let positions = case.qkv.len() / case.width();
        let want = case.reference();
        for (kind, tolerance) in CACHES {
            let what = format!("case {index}, {kind:?}");
            let mut first = None;
            for cpu in backends_of(kind) {
                let whole = case.slices(&cpu, &mut case.cache(&cpu), positions, positions);
                assert_close(&whole, &want, tolerance, &format!("{what} at {:?}", cpu.level));
                assert!(mean_error(&whole, &want) < tolerance / 10.0, "{what}: {}", mean_error(&whole, &want));
                assert_eq!(first.get_or_insert_with(|| bits(&whole)), &bits(&whole), "{what} at {:?}", cpu.level);
            }
            let best = backends_of(kind).pop().unwrap();
            for slice in [1, 7, 64, 100] {
                let cut = case.slices(&best, &mut case.cache(&best), positions, slice);
                assert_eq!(first.as_ref().unwrap(), &bits(&cut), "{what} in slices of {slice}");
            }
        }
    }
}

#[test]
fn numbers_that_codes_can_hold_are_kept() {
    let (heads, kv_heads, head_dim, positions) = (4, 2, 40, 200);
    let mut random = Random(12);
    let mut case = Case::new(positions, heads, kv_heads, head_dim, &mut random);
    for row in case.qkv.chunks_mut((heads + 2 * kv_heads) * head_dim) {
        for head in row[heads * head_dim..].chunks_mut(head_dim) {
            for group in head.chunks_mut(32) {
                let (lowest, step) = (0.25 * (random.bits() % 16) as f32 - 3.0, 0.125 * (1 + random.bits() % 3) as f32);
                group.fill_with(|| lowest + step * (random.bits() % 16) as f32);
                (group[1], group[5]) = (lowest, lowest + 15.0 * step);
            }
        }
    }
    let want = case.reference();
    for cpu in backends_of(KvBits::Four) {
        let got = case.slices(&cpu, &mut case.cache(&cpu), positions, 50);
        assert!(mean_error(&got, &want) < 0.02, "{}", mean_error(&got, &want));
    }
}

#[test]
fn steps_of_long_sequences_are_shared_between_threads() {
    // More than four spans and few heads: threads take spans.
    let case = Case::new(2300, 8, 2, 32, &mut Random(2));
    for (kind, _) in CACHES {
        let mut first = None;
        for cpu in backends_of(kind).iter().rev().take(4) {
            let mut cache = case.cache(cpu);
            case.slices(cpu, &mut cache, 2297, 2297);
            let last = case.slices(cpu, &mut cache, 2300, 1);
            assert_eq!(first.get_or_insert_with(|| bits(&last)), &bits(&last));
        }
        let cpu = backends_of(kind).pop().unwrap();
        let whole = case.slices(&cpu, &mut case.cache(&cpu), 2300, 2300);
        assert_eq!(first.unwrap(), bits(&whole[2297 * 256..]));
    }
}

#[test]
fn sequences_of_a_batch_do_not_see_each_other() {
    let case = Case::new(300, 4, 2, 16, &mut Random(3)).with_norms_and_rope(16, false, &mut Random(4));
    for cpu in CACHES.into_iter().flat_map(|(kind, _)| backends_of(kind)) {
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
fn weights_of_a_long_tail_add_up() {
    // One position outweighs each of the others, and all of them together outweigh it.
    let (head_dim, positions) = (8, 2000);
    for (kind, tolerance) in CACHES {
        let cpu = backends_of(kind).pop().unwrap();
        let mut case = Case::new(positions, 1, 1, head_dim, &mut Random(6));
        for (position, row) in case.qkv.chunks_mut(3 * head_dim).enumerate() {
            row.fill(0.0);
            row[0] = 2.0;
            row[head_dim] = if position == 64 { 10.0 } else { 0.0 };
            row[2 * head_dim..].fill(if position == 64 { -1.0 } else { 1.0 });
        }
        let out = case.slices(&cpu, &mut case.cache(&cpu), positions, positions);
        let peak = 6f64.exp();
        let want = (positions as f64 - 1.0 - peak) / (positions as f64 - 1.0 + peak);
        assert_close(&out[(positions - 1) * head_dim..], &[want; 8], tolerance / 10.0, &format!("{kind:?}"));
    }
}

#[test]
fn large_dimensions_spoil_no_others() {
    // As in models whose keys have a bias: a dimension is large at every position and says little.
    let (head_dim, positions) = (64, 100);
    let mut case = Case::new(positions, 1, 1, head_dim, &mut Random(7));
    for (position, row) in case.qkv.chunks_mut(3 * head_dim).enumerate() {
        row[32..64].fill(0.0);
        row[40] = 0.01;
        row[head_dim + 40] = 500.0 + (position % 3) as f32;
    }
    for (kind, largest) in [(KvBits::Eight, 0.02), (KvBits::Four, 0.2)] {
        let cpu = backends_of(kind).pop().unwrap();
        let out = case.slices(&cpu, &mut case.cache(&cpu), positions, positions);
        let error = mean_error(&out, &case.reference());
        assert!(error < largest, "{kind:?}: {error}");
    }
}

#[test]
fn what_is_not_a_number_stays_so_and_spreads_to_later_positions_only() {
    for place in [0, 20, 40] {
        for number in [f32::NAN, f32::INFINITY] {
            for cpu in CACHES.into_iter().flat_map(|(kind, _)| backends_of(kind)) {
                let mut case = Case::new(200, 1, 1, 20, &mut Random(8));
                case.qkv[150 * 60 + place] = number;
                let mut cache = case.cache(&cpu);
                // One by one: within a slice f32 numbers multiply what isn't seen with zero.
                let out = case.slices(&cpu, &mut cache, 200, 1);
                assert!(out[..150 * 20].iter().all(|x| x.is_finite()));
                assert!(out[150 * 20..151 * 20].iter().any(|x| !x.is_finite()), "{place} {number}");
                if place > 0 {
                    assert!(out[199 * 20..].iter().any(|x| !x.is_finite()));
                }
                cache.truncate(140);
                let again = case.slices(&cpu, &mut cache, 150, 10);
                assert_eq!(bits(&again), bits(&out[140 * 20..150 * 20]));
            }
        }
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
