//! Norm, gate, row selection, arg-max, reading, and failures.

use std::slice::from_ref;

use super::support::{Random, TestMatrix, as_dtype, assert_close, backend, floats, on_worker, tensor, values};
use crate::arch::spec::{Activation, QuantizationFormat, Routing, Score};
use crate::backend::cpu::{Cpu, Pool};
use crate::backend::mlx::{Mlx, MlxDevice};
use crate::backend::{Backend, ExpertsData, Ids, Precision, RoutingParams, StackData};
use crate::error::Code;
use crate::weights::{Dtype, LinearData, NormData};

fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

#[test]
fn norm_divides_by_the_root_mean_square() {
    on_worker(|| {
        let mut random = Random::new(1);
        let (x, weight) = (random.floats(3 * 40), random.floats(40));
        let mlx = backend(Precision::Exact);
        for epsilon in [1e-6, 0.5] {
            let norm = mlx.load_norm(&NormData::rms(&floats(Dtype::F32, &[40], &weight), epsilon)).unwrap();
            let expected: Vec<f32> = x
                .chunks(40)
                .flat_map(|row| {
                    let mean = row.iter().map(|v| v * v).sum::<f32>() / 40.0;
                    let factor = 1.0 / (mean + epsilon).sqrt();
                    row.iter().zip(&weight).map(move |(v, w)| v * factor * w).collect::<Vec<_>>()
                })
                .collect();
            assert_close(&values(&mlx.norm(&tensor(3, &x), &norm).unwrap()), &expected, 1e-6);
        }
        let norm =
            backend(Precision::Default).load_norm(&NormData::rms(&floats(Dtype::F32, &[40], &weight), 1e-6)).unwrap();
        let narrow = mlx.norm(&as_dtype(&tensor(3, &x), Dtype::Bf16), &norm).unwrap();
        assert_eq!(narrow.0.dtype(), mlx_rs::Dtype::Bfloat16);
    });
}

#[test]
fn gate_activates_the_left_half() {
    on_worker(|| {
        let x = Random::new(2).floats(2 * 12);
        let mlx = backend(Precision::Exact);
        let expected: Vec<f32> =
            x.chunks(12).flat_map(|row| (0..6).map(|i| silu(row[i]) * row[i + 6]).collect::<Vec<_>>()).collect();
        assert_close(&values(&mlx.gate(&tensor(2, &x), Activation::Silu).unwrap()), &expected, 1e-6);
    });
}

#[test]
fn the_gated_mlp_adds_to_the_residual() {
    on_worker(|| {
        let mut random = Random::new(3);
        let mlx = backend(Precision::Exact);
        let gate_up = TestMatrix::dense(&mut random, Dtype::F32, 32, 8);
        let down = TestMatrix::dense(&mut random, Dtype::F32, 8, 16);
        let norm = mlx.load_norm(&NormData::rms(&floats(Dtype::F32, &[8], &[1.0; 8]), 1e-5)).unwrap();
        let load = |matrix: &TestMatrix| mlx.load_linear(from_ref(&matrix.data)).unwrap();
        let x = tensor(2, &random.floats(16));
        let found = mlx.gated_mlp(&x, &norm, &load(&gate_up), &load(&down), Activation::Silu).unwrap();
        let normed = values(&mlx.norm(&x, &norm).unwrap());
        let expected: Vec<f32> = normed
            .chunks(8)
            .flat_map(|row| {
                let wide = gate_up.apply(row);
                down.apply(&(0..16).map(|i| silu(wide[i]) * wide[i + 16]).collect::<Vec<_>>())
            })
            .zip(values(&x))
            .map(|(y, residual)| y + residual)
            .collect();
        assert_close(&values(&found), &expected, 1e-5);
    });
}

/// What a backend makes of rows `0..3` and `3..6` of a table: a bounded gate, and a mixture.
fn bounded_and_mixed<B: Backend>(backend: &B, table: &TestMatrix, query: &[f32]) -> Vec<f32> {
    let table = backend.load_linear(from_ref(&table.data)).unwrap();
    let [first, second] = [[0, 1, 2], [3, 4, 5]].map(|ids| backend.embed(&table, Ids::Host(&ids)).unwrap());
    let query = backend.load_vector(query.to_vec()).unwrap();
    let gated = [Some(0.7), None].map(|cap| backend.gate(&first, Activation::Situ { beta: 0.4, cap }).unwrap());
    let one = backend.mix_by_query(from_ref(&first), &query, 0.1).unwrap();
    let mixed = backend.mix_by_query(&[first, second], &query, 0.1).unwrap();
    let mut out = Vec::new();
    for tensor in gated.iter().chain([&one, &mixed]) {
        (0..3).for_each(|row| backend.read_logits(tensor, row, &mut out).unwrap());
    }
    out
}

#[test]
fn bounded_gates_and_mixtures_are_those_of_the_cpu_backend() {
    on_worker(|| {
        let mut random = Random::new(7);
        let table = TestMatrix::dense(&mut random, Dtype::F32, 6, 48);
        let query = random.floats(48);
        let cpu = Cpu::new(Pool::new(2).unwrap(), Precision::Exact, None).unwrap();
        let expected = bounded_and_mixed(&cpu, &table, &query);
        assert_eq!(expected.len(), 3 * (2 * 24 + 2 * 48));
        assert_close(&bounded_and_mixed(&backend(Precision::Exact), &table, &query), &expected, 1e-6);
    });
}

/// Norms of three rows with factors before them, and experts of which each is normed so.
fn normed_behind_factors<B: Backend>(
    backend: &B,
    matrices: &[TestMatrix; 3],
    numbers: &[f32],
    widened: bool,
) -> Vec<f32> {
    let [table, gate_up, down] = matrices;
    let input = floats(Dtype::F32, &[16], &numbers[..16]);
    let weight = floats(Dtype::F32, &[16], &numbers[16..32]);
    let norm = NormData { input: Some(input), ..NormData::rms(&weight, 0.05) };
    let norm = backend.load_norm(&norm).unwrap();
    let stack = |matrix: &TestMatrix| StackData { parts: vec![matrix.data.clone()], factors: None };
    let data = ExpertsData {
        count: 4,
        gate_up: vec![stack(gate_up)],
        down: stack(down),
        activation: Activation::Silu,
        gated: true,
    };
    let experts = backend.load_experts(&data).unwrap();
    let table = backend.load_linear(from_ref(&table.data)).unwrap();
    let x = backend.embed(&table, Ids::Host(&[2, 0, 1])).unwrap();
    let x = if widened { backend.widen(&x).unwrap() } else { x };
    let normed = backend.norm(&x, &norm).unwrap();
    let rule = sigmoids();
    let routing = RoutingParams { rule: &rule, correction: None, expert_scale: None, norm: Some(&norm) };
    let given = backend.experts(&x, &backend.columns(&x, 0..4).unwrap(), &experts, &routing).unwrap();
    let mut out = Vec::new();
    for tensor in [normed, given] {
        (0..3).for_each(|row| backend.read_logits(&tensor, row, &mut out).unwrap());
    }
    out
}

#[test]
fn norms_behind_factors_are_the_same_on_both_backends() {
    on_worker(|| {
        let mut random = Random::new(12);
        let mut matrix = |outputs, inputs| TestMatrix::dense(&mut random, Dtype::F32, outputs, inputs);
        let matrices = [matrix(3, 16), matrix(4 * 48, 16), matrix(4 * 16, 24)];
        let numbers = random.floats(32);
        let cpu = Cpu::new(Pool::new(2).unwrap(), Precision::Exact, None).unwrap();
        let mlx = backend(Precision::Exact);
        for widened in [false, true] {
            let expected = normed_behind_factors(&cpu, &matrices, &numbers, widened);
            let got = normed_behind_factors(&mlx, &matrices, &numbers, widened);
            assert_eq!(expected.len(), 6 * 16);
            assert_close(&got, &expected, 1e-5);
        }
        // By hand: factors, then the norm with its weight.
        let row = &matrices[0].rows[2];
        let scaled: Vec<f32> = row.iter().zip(&numbers).map(|(x, factor)| x * factor).collect();
        let root = (scaled.iter().map(|x| x * x).sum::<f32>() / 16.0 + 0.05).sqrt();
        let by_hand: Vec<f32> = scaled.iter().zip(&numbers[16..]).map(|(x, weight)| x / root * weight).collect();
        assert_close(&normed_behind_factors(&mlx, &matrices, &numbers, false)[..16], &by_hand, 1e-5);
    });
}

/// What experts give whose products are multiplied by factors, gate and up by others.
fn scaled_experts<B: Backend>(
    backend: &B,
    table: &TestMatrix,
    matrices: &[LinearData; 3],
    factors: &[Option<Vec<f32>>; 3],
) -> Vec<f32> {
    let stack = |i: usize| StackData { parts: vec![matrices[i].clone()], factors: factors[i].clone() };
    let (gate_up, down) = (vec![stack(0), stack(1)], stack(2));
    let data = ExpertsData { count: 3, gate_up, down, activation: Activation::Silu, gated: true };
    let experts = backend.load_experts(&data).unwrap();
    let table = backend.load_linear(from_ref(&table.data)).unwrap();
    let rule = sigmoids();
    let routing = RoutingParams { rule: &rule, correction: None, expert_scale: None, norm: None };
    let mut out = Vec::new();
    // Few visits, and so many that they are sorted.
    for rows in [2, 40] {
        let ids: Vec<u32> = (0..rows).map(|row| row % 8).collect();
        let x = backend.embed(&table, Ids::Host(&ids)).unwrap();
        let given = backend.experts(&x, &backend.columns(&x, 0..3).unwrap(), &experts, &routing).unwrap();
        (0..rows as usize).for_each(|row| backend.read_logits(&given, row, &mut out).unwrap());
    }
    out
}

#[test]
fn experts_are_multiplied_by_their_factors() {
    on_worker(|| {
        let mut random = Random::new(31);
        let table = TestMatrix::dense(&mut random, Dtype::F32, 8, 32);
        let format = QuantizationFormat::affine(4, 32);
        let mut matrix = || TestMatrix::affine(&mut random, Dtype::F32, 3 * 32, 32, format).data;
        let matrices = [matrix(), matrix(), matrix()];
        let cpu = Cpu::new(Pool::new(2).unwrap(), Precision::Exact, None).unwrap();
        let mlx = backend(Precision::Exact);
        let factors = [Some(vec![0.5, 0.1, 0.3]), None, Some(vec![0.2, 1.5, 0.7])];
        let expected = scaled_experts(&cpu, &table, &matrices, &factors);
        assert_eq!(expected.len(), 42 * 32);
        assert_close(&scaled_experts(&mlx, &table, &matrices, &factors), &expected, 1e-5);
        // Those of the last product are factors of all.
        for backend_gives in [scaled_experts(&cpu, &table, &matrices, &[None, None, Some(vec![2.0; 3])]), {
            scaled_experts(&mlx, &table, &matrices, &[None, None, Some(vec![2.0; 3])])
        }] {
            let plain: Vec<f32> =
                scaled_experts(&cpu, &table, &matrices, &[None, None, None]).iter().map(|x| x * 2.0).collect();
            assert_close(&backend_gives, &plain, 1e-5);
        }
    });
}

fn sigmoids() -> Routing {
    Routing {
        top_k: 2,
        softcap: None,
        temperature: 1.0,
        score: Score::Sigmoid,
        correction: None,
        groups: None,
        normalize: Some(0.0),
        scale: 1.5,
        expert_scale: None,
        weighs_input: false,
    }
}

#[test]
fn a_narrow_norm_gives_the_format_of_its_weight() {
    on_worker(|| {
        let mlx = backend(Precision::Default);
        let weight = NormData::rms(&floats(Dtype::Bf16, &[4], &[1.0; 4]), 1e-5);
        let x = as_dtype(&tensor(1, &[1.0, 2.0, 3.0, 4.0]), Dtype::Bf16);
        let wide = mlx.widen(&x).unwrap();
        assert_eq!(wide.0.dtype(), mlx_rs::Dtype::Float32);
        for (narrow, dtype) in [(false, mlx_rs::Dtype::Float32), (true, mlx_rs::Dtype::Bfloat16)] {
            let norm = mlx.load_norm(&NormData { narrow, ..weight.clone() }).unwrap();
            assert_eq!(mlx.norm(&wide, &norm).unwrap().0.dtype(), dtype);
        }
    });
}

#[test]
fn rows_are_selected_in_any_order() {
    on_worker(|| {
        let mlx = backend(Precision::Exact);
        let x = tensor(4, &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]);
        let select = |rows: &[usize]| values(&mlx.select_rows(&x, rows).unwrap());
        assert_eq!(select(&[1, 2]), [1.0, 1.5, 2.0, 2.5]);
        assert_eq!(select(&[3, 0, 3]), [3.0, 3.5, 0.0, 0.5, 3.0, 3.5]);
        assert!(mlx.select_rows(&x, &[4]).is_err());
        assert!(mlx.select_rows(&x, &[]).is_err());
    });
}

#[test]
fn argmax_takes_the_lowest_of_equals() {
    on_worker(|| {
        let mlx = backend(Precision::Exact);
        let mut logits = vec![-1.0; 3 * 1000];
        (logits[17], logits[900]) = (4.0, 4.0);
        (logits[1999], logits[1998]) = (f32::MAX, 3.0);
        let tokens = mlx.argmax(&tensor(3, &logits)).unwrap();
        mlx.queue(Some(&tokens), None, std::iter::empty()).unwrap();
        assert_eq!(mlx.read_tokens(&tokens).unwrap(), [17, 999, 0]);
    });
}

#[test]
fn logits_are_read_row_by_row() {
    on_worker(|| {
        let mlx = backend(Precision::Exact);
        let logits = tensor(3, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        mlx.queue(None, Some(&logits), std::iter::empty()).unwrap();
        let mut out = vec![9.0];
        mlx.read_logits(&logits, 2, &mut out).unwrap();
        mlx.read_logits(&logits, 0, &mut out).unwrap();
        assert_eq!(out, [9.0, 4.0, 5.0, 0.0, 1.0]);
        assert!(mlx.read_logits(&logits, 3, &mut out).is_err());
        mlx.wait().unwrap();
    });
}

#[test]
fn failures_are_values_and_name_the_cause() {
    on_worker(|| {
        let mlx = backend(Precision::Exact);
        let matrix = TestMatrix::dense(&mut Random::new(4), Dtype::F32, 4, 8);
        let linear = mlx.load_linear(from_ref(&matrix.data)).unwrap();
        for _ in 0..2 {
            // From mlx-rs, and from mlx-c behind its back.
            let error = mlx.linear(&tensor(1, &[0.0; 9]), &linear).err().unwrap();
            assert!(error.message().starts_with("MLX: [matmul]"), "{error}");
            assert!(!error.message().contains(".cpp"), "{error}");
            let error = crate::backend::mlx::raw::slice(&tensor(1, &[0.0; 9]).0, &[0], &[1]).unwrap_err().0;
            assert!(error.message().starts_with("MLX: [slice]"), "{error}");
            assert_eq!(values(&mlx.linear(&tensor(1, &[0.0; 8]), &linear).unwrap()), [0.0; 4]);
        }
    });
}

#[test]
fn a_missing_gpu_is_an_error() {
    on_worker(|| {
        if !MlxDevice::gpu_available() {
            let error = Mlx::new(MlxDevice::Gpu, Precision::Default, None, || {}).err().unwrap();
            assert_eq!(error.code(), Code::Unsupported);
        }
    });
}

#[test]
fn loading_and_dropping_leaves_no_memory_behind() {
    on_worker(|| {
        let mlx = backend(Precision::Exact);
        let matrix = TestMatrix::dense(&mut Random::new(5), Dtype::Bf16, 256, 256);
        let load = || mlx.load_linear(&[matrix.data.clone(), matrix.data.clone()]).unwrap();
        drop(load());
        mlx.trim();
        let before = mlx.memory();
        let linear = load();
        assert_eq!(mlx.memory().active - before.active, 2 * 256 * 256 * 4);
        drop(linear);
        assert_eq!(mlx.memory().active, before.active);
        mlx.trim();
        assert_eq!(mlx.memory().cached, before.cached);
        assert!(mlx.memory().peak >= 2 * 256 * 256 * 4);
    });
}
