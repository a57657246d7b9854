//! Codes, scales and biases against MLX's, bit for bit.

use half::{bf16, f16};
use serde_json::Value;

use crate::arch::spec::{QuantizationFormat, QuantizationMode};
use crate::error::Code;
use crate::support::numbers::{FNV_BASIS, Numbers, fnv1a};
use crate::weights::{Dtype, quantize};

/// The same as `numbers` of tests/parity/quantize.py.
fn numbers(kind: &str, count: usize, dtype: Dtype) -> Vec<f32> {
    let drawn = Numbers::new(7, kind);
    let number = |i: usize| {
        let x = drawn.signed(i);
        let group = i / 32;
        match kind {
            "small" => x / 1024.0,
            "steps" => (x * 16.0).round_ties_even() / 4.0,
            "sparse" => {
                let x = if group.is_multiple_of(3) { 0.0 } else { x.abs() };
                let x = if group % 5 == 1 { 0.375 } else { x };
                if group % 7 == 2 { -x } else { x }
            }
            _ => x,
        }
    };
    let rounded = |x: f32| match dtype {
        Dtype::F16 => f16::from_f32(x).to_f32(),
        Dtype::Bf16 => bf16::from_f32(x).to_f32(),
        _ => x,
    };
    (0..count).map(number).map(rounded).collect()
}

fn digest(bytes: &[u8]) -> String {
    format!("{:016x}", fnv1a(FNV_BASIS, bytes))
}

#[test]
fn codes_are_those_of_mlx() {
    let file: Value = serde_json::from_str(include_str!("../../../tests/data/quantize.json")).unwrap();
    let count = (file["rows"].as_u64().unwrap() * file["columns"].as_u64().unwrap()) as usize;
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4 * 3 * 21);
    for case in cases {
        let text = |i: usize| case[i].as_str().unwrap_or_default();
        let dtype = match text(1) {
            "f16" => Dtype::F16,
            "bf16" => Dtype::Bf16,
            _ => Dtype::F32,
        };
        let mode = match text(2) {
            "mxfp4" => QuantizationMode::Mxfp4,
            "mxfp8" => QuantizationMode::Mxfp8,
            "nvfp4" => QuantizationMode::Nvfp4,
            _ => QuantizationMode::Affine,
        };
        let size = |i: usize| case[i].as_u64().unwrap() as usize;
        let format = QuantizationFormat { bits: size(3), group_size: size(4), mode };
        let ours = quantize(&numbers(text(0), count, dtype), dtype, format).unwrap();
        assert_eq!(digest(&ours.codes), text(5), "codes of {case}");
        assert_eq!(digest(&ours.scales), text(6), "scales of {case}");
        match mode {
            QuantizationMode::Affine => assert_eq!(digest(&ours.biases), text(7), "biases of {case}"),
            _ => assert!(ours.biases.is_empty()),
        }
    }
}

#[test]
fn numbers_without_a_code_are_refused() {
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for mode in [QuantizationMode::Affine, QuantizationMode::Mxfp4] {
            let mut numbers = [1.0; 64];
            numbers[40] = number;
            let format = QuantizationFormat { bits: 4, group_size: 32, mode };
            assert_eq!(quantize(&numbers, Dtype::F32, format).unwrap_err().code(), Code::CorruptFile);
        }
    }
    // A bias that f16 does not reach.
    let error = quantize(&[1e6; 32], Dtype::F16, QuantizationFormat::affine(4, 32)).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.message().contains("F16"), "{error}");
}
