//! Products with dense, quantized and stacked matrices, and rows of tables.

use std::slice::from_ref;

use super::support::{Random, TestMatrix, as_dtype, assert_close, backend, on_worker, tensor, values};
use crate::arch::spec::QuantizationFormat;
use crate::backend::{Backend, Ids, Precision};
use crate::weights::Dtype;

const Q4: QuantizationFormat = QuantizationFormat::affine(4, 64);
const Q6: QuantizationFormat = QuantizationFormat::affine(6, 32);

/// Applies the stacked matrices to three rows, and compares.
#[track_caller]
fn check(parts: &[TestMatrix], precision: Precision, activations: Dtype, tolerance: f32) {
    let mlx = backend(precision);
    let data: Vec<_> = parts.iter().map(|part| part.data.clone()).collect();
    let linear = mlx.load_linear(&data).unwrap();
    let inputs = data[0].inputs;
    let x = as_dtype(&tensor(3, &Random::new(7).floats(3 * inputs)), activations);
    let found = mlx.linear(&x, &linear).unwrap();
    let x = values(&x);
    let expected: Vec<f32> = x.chunks(inputs).flat_map(|row| parts.iter().flat_map(|part| part.apply(row))).collect();
    assert_close(&values(&found), &expected, tolerance);
    assert_eq!(found.0.dtype(), crate::backend::mlx::raw::dtype(activations));
}

#[test]
fn dense_products() {
    on_worker(|| {
        let mut random = Random::new(1);
        for (dtype, tolerance) in [(Dtype::F32, 1e-6), (Dtype::F16, 1e-3), (Dtype::Bf16, 1e-2)] {
            let plain = TestMatrix::dense(&mut random, dtype, 48, 64);
            check(&[plain], Precision::Default, dtype, tolerance);
            let biased = TestMatrix::dense(&mut random, dtype, 48, 64).with_bias(&mut random, dtype);
            check(&[biased], Precision::Default, dtype, tolerance);
        }
    });
}

#[test]
fn quantized_products_of_all_formats() {
    on_worker(|| {
        let mut random = Random::new(2);
        for bits in [2, 3, 4, 5, 6, 8] {
            for group_size in [32, 64, 128] {
                let format = QuantizationFormat::affine(bits, group_size);
                let matrix = TestMatrix::affine(&mut random, Dtype::Bf16, 40, 256, format);
                check(&[matrix], Precision::Exact, Dtype::F32, 1e-5);
            }
        }
        let biased = TestMatrix::affine(&mut random, Dtype::F16, 40, 256, Q4).with_bias(&mut random, Dtype::F16);
        check(&[biased], Precision::Exact, Dtype::F32, 1e-5);
        // MLX's CPU device sums these products in bf16.
        let half = TestMatrix::affine(&mut random, Dtype::Bf16, 40, 256, Q4);
        check(&[half], Precision::Default, Dtype::Bf16, 5e-2);
    });
}

#[test]
fn rotated_products_and_rows() {
    on_worker(|| {
        let mut random = Random::new(9);
        let random = &mut random;
        let format = QuantizationFormat::affine(2, 128);
        let parts = [512, 16].map(|block| {
            let matrix = TestMatrix::affine(random, Dtype::F16, 24, 512, format);
            matrix.rotated(block, random).with_bias(random, Dtype::F16)
        });
        let plain = TestMatrix::affine(random, Dtype::F16, 8, 512, format);
        let [first, second] = parts;
        let mlx = backend(Precision::Exact);
        let table = mlx.load_linear(from_ref(&first.data)).unwrap();
        let rows = mlx.embed(&table, Ids::Host(&[3, 20])).unwrap();
        assert_close(&values(&rows), &[first.rows[3].clone(), first.rows[20].clone()].concat(), 1e-5);
        check(&[first, plain, second], Precision::Exact, Dtype::F32, 1e-5);
    });
}

#[test]
fn stacked_parts_may_be_stored_differently() {
    on_worker(|| {
        let mut random = Random::new(3);
        let random = &mut random;
        let alike = [8, 16, 24].map(|outputs| TestMatrix::affine(random, Dtype::Bf16, outputs, 128, Q4));
        check(&alike, Precision::Exact, Dtype::F32, 1e-5);
        let mixed = [
            TestMatrix::affine(random, Dtype::Bf16, 16, 128, Q4).with_bias(random, Dtype::Bf16),
            TestMatrix::affine(random, Dtype::Bf16, 16, 128, Q4),
            TestMatrix::affine(random, Dtype::Bf16, 16, 128, Q6),
            TestMatrix::dense(random, Dtype::Bf16, 8, 128),
        ];
        check(&mixed, Precision::Exact, Dtype::F32, 1e-5);
        check(&mixed, Precision::Default, Dtype::Bf16, 2e-2);
    });
}

#[test]
fn floats_of_another_format_do_not_change_the_activations() {
    on_worker(|| {
        let mut random = Random::new(4);
        let wide = TestMatrix::dense(&mut random, Dtype::F32, 16, 64).with_bias(&mut random, Dtype::F32);
        check(&[wide], Precision::Default, Dtype::Bf16, 1e-2);
        let wide = TestMatrix::affine(&mut random, Dtype::F32, 16, 64, Q4);
        check(&[wide], Precision::Default, Dtype::Bf16, 1e-2);
    });
}

#[test]
fn embeddings_are_rows_of_the_table() {
    on_worker(|| {
        let mut random = Random::new(5);
        let tables = [
            TestMatrix::dense(&mut random, Dtype::Bf16, 50, 64),
            TestMatrix::affine(&mut random, Dtype::Bf16, 50, 64, Q4),
        ];
        let mlx = backend(Precision::Exact);
        for table in tables {
            let linear = mlx.load_linear(from_ref(&table.data)).unwrap();
            let ids = [49, 0, 7, 7];
            let expected: Vec<f32> = ids.iter().flat_map(|&id| table.rows[id as usize].clone()).collect();
            let found = mlx.embed(&linear, Ids::Host(&ids)).unwrap();
            assert_close(&values(&found), &expected, 1e-6);

            // The most likely ids of these rows are 3 and 48, without the host having seen them.
            let mut logits = vec![0.0; 100];
            (logits[3], logits[98]) = (1.0, 2.0);
            let picked = mlx.argmax(&tensor(2, &logits)).unwrap();
            let found = mlx.embed(&linear, Ids::Device(&picked)).unwrap();
            assert_close(&values(&found), &[&table.rows[3][..], &table.rows[48]].concat(), 1e-6);
        }
    });
}

#[test]
fn the_checkpoint_decides_the_format_of_activations() {
    on_worker(|| {
        let mut random = Random::new(6);
        let table = TestMatrix::affine(&mut random, Dtype::F16, 8, 64, Q4);
        for (precision, dtype) in [(Precision::Default, Dtype::F16), (Precision::Exact, Dtype::F32)] {
            let mlx = backend(precision);
            let linear = mlx.load_linear(from_ref(&table.data)).unwrap();
            let x = mlx.embed(&linear, Ids::Host(&[1])).unwrap();
            assert_eq!(x.0.dtype(), crate::backend::mlx::raw::dtype(dtype));
            assert_eq!(mlx.logits(&x, &linear).unwrap().0.dtype(), mlx_rs::Dtype::Float32);
        }
    });
}
