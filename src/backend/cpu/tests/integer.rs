//! Integer products: the same bits everywhere, and as close to the exact ones as i8 activations allow.

use super::{Known, Random, assert_close, backends_of, bits, tensor};
use crate::arch::spec::QuantizationFormat;
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Precision};
use crate::weights::{Dtype, LinearData};

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

fn backends() -> Vec<Cpu> {
    backends_of(Precision::Default)
}

/// What rounding activations to i8 changes at most: half a step for each number, a step being a 127th of the largest
/// number of its block. And f32 rounding, which is small beside it.
fn error_bound(weights: &[f64], x: &[f32], block: usize) -> f64 {
    let blocks = weights.chunks(block).zip(x.chunks(block));
    let rounding = blocks.map(|(weights, x)| {
        let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        weights.iter().map(|w| w.abs()).sum::<f64>() * f64::from(largest) / 254.0
    });
    let size: f64 = weights.iter().zip(x).map(|(w, x)| (w * f64::from(*x)).abs()).sum();
    rounding.sum::<f64>() * 1.0001 + size * 1e-5 + 1e-6
}

fn check(parts: &[Known], block: usize, random: &mut Random, what: &str) {
    const ROWS: usize = 29;
    let inputs = parts[0].data.inputs;
    let data: Vec<LinearData> = parts.iter().map(|part| part.data.clone()).collect();
    let x = random.numbers(ROWS * inputs);
    let mut first = None;
    for cpu in backends() {
        let linear = cpu.load_linear(&data).unwrap();
        let all = cpu.linear(&tensor(&cpu, ROWS, &x), &linear).unwrap();
        let outputs = all.width();
        if first.is_none() {
            let mut got = all.data().iter();
            for x in x.chunks(inputs) {
                for part in parts {
                    for (weights, bias) in part.numbers.chunks(inputs).zip(&part.bias) {
                        let want = weights.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum::<f64>() + bias;
                        let (got, bound) = (f64::from(*got.next().unwrap()), error_bound(weights, x, block));
                        assert!((got - want).abs() <= bound, "{what}: {got} instead of {want} ± {bound}");
                    }
                }
            }
        }
        assert_eq!(first.get_or_insert_with(|| bits(all.data())), &bits(all.data()), "{what} at {:?}", cpu.level);
        for rows in [1, 2, 3, 7, 12, 16] {
            let some = cpu.linear(&tensor(&cpu, rows, &x[3 * inputs..][..rows * inputs]), &linear).unwrap();
            let want = &all.data()[3 * outputs..][..rows * outputs];
            assert_eq!(bits(some.data()), bits(want), "{what} at {:?}, {rows} rows", cpu.level);
        }
    }
}

#[test]
fn all_widths_and_groups() {
    let mut random = Random(21);
    for bits in [2, 3, 4, 5, 6, 8] {
        for (i, group_size) in [32, 64, 96, 128].into_iter().enumerate() {
            let format = QuantizationFormat::affine(bits, group_size);
            let block = if group_size % 64 == 0 { 64 } else { 32 };
            for (outputs, groups) in [(21, 3), (16, 1), (40, 18)] {
                let dtype = DTYPES[(bits + i) % 3];
                let matrix = Known::affine(outputs, groups * group_size, format, dtype, &mut random);
                check(&[matrix.with_bias(dtype, &mut random)], block, &mut random, &format!("{format:?} {outputs}"));
            }
        }
    }
}

#[test]
fn several_threads() {
    let mut random = Random(22);
    for bits in [4, 8] {
        let format = QuantizationFormat::affine(bits, 64);
        check(&[Known::affine(600, 1024, format, Dtype::Bf16, &mut random)], 64, &mut random, "many chunks");
    }
}

#[test]
fn parts_with_other_groups_and_plain_ones() {
    let mut random = Random(23);
    let format = QuantizationFormat::affine(4, 32);
    let parts = [
        Known::affine(6, 64, format, Dtype::F16, &mut random).with_bias(Dtype::F16, &mut random),
        Known::dense(9, 64, Dtype::Bf16, &mut random),
        Known::affine(17, 64, QuantizationFormat::affine(6, 64), Dtype::F32, &mut random),
    ];
    check(&parts, 64, &mut random, "three parts");
}

/// The largest sums there are: all codes at their highest and all numbers at one end.
#[test]
fn extreme_sums_are_exact() {
    for width in [2, 3, 4, 5, 6, 8] {
        let format = QuantizationFormat::affine(width, 64);
        let mut known = Known::affine(16, 128, format, Dtype::F32, &mut Random(24));
        let top = f64::from((1u32 << width) - 1);
        known.set_codes((1 << width) - 1);
        for x in [1.0f32, -1.0] {
            for cpu in backends() {
                let linear = cpu.load_linear(std::slice::from_ref(&known.data)).unwrap();
                for rows in [1, 4] {
                    let got = cpu.linear(&tensor(&cpu, rows, &vec![x; rows * 128]), &linear).unwrap();
                    let want: Vec<f64> =
                        known.numbers.chunks(128).map(|w| w.iter().sum::<f64>() * f64::from(x)).collect();
                    assert_close(&got.data()[..16], &want, 1e-5 * top, &format!("{width} bits at {:?}", cpu.level));
                }
            }
        }
    }
}

#[test]
fn zeros_tiny_numbers_and_what_is_not_finite() {
    let format = QuantizationFormat::affine(4, 64);
    let known = Known::affine(16, 128, format, Dtype::F32, &mut Random(25));
    for cpu in backends() {
        let linear = cpu.load_linear(std::slice::from_ref(&known.data)).unwrap();
        let product = |x: &[f32]| cpu.linear(&tensor(&cpu, x.len() / 128, x), &linear).unwrap().data().to_vec();
        assert_eq!(product(&[0.0; 128]), [0.0; 16]);
        assert_eq!(product(&[1e-38; 128]), [0.0; 16]);
        assert!(product(&[1e34; 128]).iter().all(|y| y.is_finite()));
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for rows in [1, 4] {
                let mut x = vec![1.0; rows * 128];
                x[70] = odd;
                let y = product(&x);
                assert!(y[..16].iter().all(|y| y.is_nan()), "{odd} at {:?}", cpu.level);
                assert!(y[16..].iter().all(|y| y.is_finite()), "{odd} at {:?}", cpu.level);
            }
        }
    }
}
