//! Attention against a scalar version of it: every way of slicing and batching sequences must give the same rows.

use mlx_rs::{Array, ops};

use super::reference::TestAttention;
use super::support::{Random, as_dtype, assert_close, backend, backend_with, on_worker, tensor, values};
use crate::arch::spec::Rope;
use crate::backend::mlx::Mlx;
use crate::backend::mlx::cache::{KvCache, quantized};
use crate::backend::{Backend, Cache, Kept, KvBits, Precision, Rows};
use crate::weights::Dtype;

/// Appends `rows` of each sequence (`(first, len)` of its positions) in one batch, and compares their outputs.
#[track_caller]
fn step(mlx: &Mlx, test: &TestAttention, sequences: &[&[Vec<f32>]], ranges: &[(usize, usize)], caches: &mut [KvCache]) {
    step_as(mlx, test, sequences, sequences, ranges, caches);
}

/// [`step`] where the outputs are those of sequences `as_kept`.
#[track_caller]
fn step_as(
    mlx: &Mlx,
    test: &TestAttention,
    sequences: &[&[Vec<f32>]],
    as_kept: &[&[Vec<f32>]],
    ranges: &[(usize, usize)],
    caches: &mut [KvCache],
) {
    let input: Vec<f32> =
        sequences.iter().zip(ranges).flat_map(|(s, (first, len))| s[*first..first + len].concat()).collect();
    let rows = Rows::new(ranges.iter().copied());
    let mut caches: Vec<&mut KvCache> = caches.iter_mut().collect();
    let loaded = test.load(mlx);
    let found = mlx.attention(&tensor(rows.len(), &input), &loaded.params(test), &rows, &mut caches).unwrap();
    mlx.queue(None, Some(&found), caches.iter().map(|cache| Kept::Cache(&**cache))).unwrap();
    let expected: Vec<f32> = as_kept
        .iter()
        .zip(ranges)
        .flat_map(|(s, (first, len))| test.expected(&s[..first + len])[*first..].concat())
        .collect();
    assert_close(&values(&found), &expected, 1e-5);
}

fn run(test: &TestAttention) {
    let mlx = backend(Precision::Exact);
    let mut random = Random::new(9);
    let (a, b, c) = (test.sequence(&mut random, 40), test.sequence(&mut random, 40), test.sequence(&mut random, 40));
    let new = || mlx.new_cache(test.layout());

    // All at once; in slices and then token by token.
    step(&mlx, test, &[&a], &[(0, 40)], &mut [new()]);
    let mut cache = [new()];
    for range in [(0, 13), (13, 1), (14, 20), (34, 1), (35, 1), (36, 4)] {
        step(&mlx, test, &[&a], &[range], &mut cache);
    }

    // A ragged batch, then three decoding side by side.
    let mut caches = [new(), new(), new()];
    step(&mlx, test, &[&a, &b, &c], &[(0, 5), (0, 1), (0, 17)], &mut caches);
    step(&mlx, test, &[&a, &b, &c], &[(5, 1), (1, 1), (17, 1)], &mut caches);
    step(&mlx, test, &[&a, &b, &c], &[(6, 1), (2, 30), (18, 1)], &mut caches);
}

fn rope(dims: usize, traditional: bool, magnitude: f32) -> Option<Rope> {
    let mut inverse_frequencies: Vec<f32> =
        (0..dims / 2).map(|i| 10_000f32.powf(-2.0 * i as f32 / dims as f32)).collect();
    // Some ropes leave dimensions of the rotated part as they are.
    inverse_frequencies[dims / 2 - 1] = 0.0;
    Some(Rope { dims, traditional, inverse_frequencies, magnitude })
}

fn plain() -> TestAttention {
    TestAttention { heads: 4, kv_heads: 2, head_dim: 16, norms: false, rope: None, window: None }
}

#[test]
fn without_position() {
    on_worker(|| run(&plain()));
}

#[test]
fn rotated() {
    on_worker(|| {
        run(&TestAttention { rope: rope(16, false, 1.0), ..plain() });
        run(&TestAttention { rope: rope(16, true, 1.0), kv_heads: 4, ..plain() });
        run(&TestAttention { rope: rope(8, false, 1.0), kv_heads: 1, ..plain() });
    });
}

#[test]
fn rotated_and_stretched() {
    on_worker(|| {
        run(&TestAttention { rope: rope(16, false, 1.3), ..plain() });
        run(&TestAttention { rope: rope(8, false, 1.3), norms: true, ..plain() });
    });
}

#[test]
fn with_norms() {
    on_worker(|| run(&TestAttention { rope: rope(16, false, 1.0), norms: true, ..plain() }));
}

#[test]
fn with_windows() {
    on_worker(|| {
        for window in [1, 2, 7, 16, 39, 40, 64] {
            run(&TestAttention { rope: rope(16, false, 1.0), window: Some(window), ..plain() });
        }
    });
}

/// A sequence whose keys and values are those that codes of `bits` stand for.
fn as_kept(test: &TestAttention, sequence: &[Vec<f32>], bits: KvBits) -> Vec<Vec<f32>> {
    let format = quantized(Some(bits), test.head_dim).unwrap();
    let (group, bits) = (format.group_size as i32, format.bits as i32);
    let kept = |row: &Vec<f32>| {
        let (queries, rest) = row.split_at(test.heads * test.head_dim);
        let array = Array::from_slice(rest, &[2 * test.kv_heads as i32, test.head_dim as i32]);
        let (codes, scales, biases) = ops::quantize(&array, group, bits).unwrap();
        let rest = ops::dequantize(&codes, &scales, &biases, group, bits).unwrap().contiguous().unwrap();
        [queries, rest.try_as_slice::<f32>().unwrap()].concat()
    };
    sequence.iter().map(kept).collect()
}

#[test]
fn codes_are_read_in_place() {
    on_worker(|| {
        for (bits, window, head_dim) in [
            (KvBits::Four, None, 64),
            (KvBits::Eight, None, 32),
            (KvBits::Four, Some(7), 32),
            (KvBits::Eight, Some(16), 64),
        ] {
            let mlx = backend_with(Precision::Exact, Some(bits));
            let test = TestAttention { head_dim, window, ..plain() };
            let mut random = Random::new(9);
            let sequences = [test.sequence(&mut random, 40), test.sequence(&mut random, 40)];
            let kept = [0, 1].map(|i| as_kept(&test, &sequences[i], bits));
            let ([a, b], [kept_a, kept_b]) = (&sequences, &kept);
            let mut cache = [mlx.new_cache(test.layout())];
            for range in [(0, 13), (13, 1), (14, 20), (34, 1), (35, 5)] {
                step_as(&mlx, &test, &[a], &[kept_a], &[range], &mut cache);
            }
            let mut caches = [mlx.new_cache(test.layout()), mlx.new_cache(test.layout())];
            step_as(&mlx, &test, &[a, b], &[kept_a, kept_b], &[(0, 5), (0, 17)], &mut caches);
            let mut fork = [caches[1].fork()];
            step_as(&mlx, &test, &[a, b], &[kept_a, kept_b], &[(5, 1), (17, 1)], &mut caches);
            // The fork takes other rows; what it shared stays as it was.
            step_as(&mlx, &test, &[b], &[kept_b], &[(17, 3)], &mut fork);
            caches[1].truncate(17);
            step_as(&mlx, &test, &[b], &[kept_b], &[(17, 4)], &mut caches[1..]);
            assert!(caches[1].bytes() < 2 * 2 * 256 * head_dim * 2, "{} bytes", caches[1].bytes());
        }
    });
}

#[test]
fn low_precision_keeps_its_format() {
    on_worker(|| {
        let mlx = backend(Precision::Default);
        let test = TestAttention { rope: rope(16, false, 1.2), norms: true, ..plain() };
        let sequence = test.sequence(&mut Random::new(3), 6);
        let qkv = as_dtype(&tensor(6, &sequence.concat()), Dtype::Bf16);
        let (loaded, mut cache) = (test.load(&mlx), mlx.new_cache(test.layout()));
        let rows = Rows::new([(0, 6)]);
        let found = mlx.attention(&qkv, &loaded.params(&test), &rows, &mut [&mut cache]).unwrap();
        assert_eq!(found.0.dtype(), mlx_rs::Dtype::Bfloat16);
        assert!(cache.arrays().all(|array| array.dtype() == mlx_rs::Dtype::Bfloat16));
        assert_close(&values(&found), &test.expected(&sequence).concat(), 3e-2);
    });
}

#[test]
fn positions_must_follow_the_cache() {
    on_worker(|| {
        let mlx = backend(Precision::Exact);
        let test = plain();
        let (loaded, mut cache) = (test.load(&mlx), mlx.new_cache(test.layout()));
        let qkv = tensor(1, &test.sequence(&mut Random::new(3), 1).concat());
        let params = loaded.params(&test);
        assert!(mlx.attention(&qkv, &params, &Rows::new([(1, 1)]), &mut [&mut cache]).is_err());
        assert!(mlx.attention(&qkv, &params, &Rows::new([(0, 1)]), &mut []).is_err());
    });
}
