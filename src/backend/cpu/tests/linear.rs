use serde_json::Value;

use super::{Known, Random, assert_close, backends, bits, numbers, tensor, view};
use crate::arch::spec::QuantizationFormat;
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Ids};
use crate::error::Code;
use crate::weights::{Dtype, LinearData, Matrix};

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// Some matrices side by side: against f64, alone and in batches, at all levels.
fn check(parts: &[Known], random: &mut Random, what: &str) {
    let inputs = parts[0].data.inputs;
    let data: Vec<LinearData> = parts.iter().map(|part| part.data.clone()).collect();
    let x = random.numbers(61 * inputs);
    let mut want = Vec::new();
    for x in x.chunks(inputs) {
        for part in parts {
            for (weights, bias) in part.numbers.chunks(inputs).zip(&part.bias) {
                want.push(weights.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum::<f64>() + bias);
            }
        }
    }
    let outputs = want.len() / 61;
    let mut first = None;
    for cpu in backends() {
        let linear = cpu.load_linear(&data).unwrap();
        let all = cpu.linear(&tensor(&cpu, 61, &x), &linear).unwrap();
        assert_close(all.data(), &want, 2e-6 * (inputs as f64).sqrt(), what);
        assert_eq!(first.get_or_insert_with(|| bits(all.data())), &bits(all.data()), "{what} at {:?}", cpu.level);
        for rows in [1, 2, 5, 7, 16] {
            let some = cpu.linear(&tensor(&cpu, rows, &x[3 * inputs..][..rows * inputs]), &linear).unwrap();
            assert_eq!(bits(some.data()), bits(&all.data()[3 * outputs..][..rows * outputs]), "{what}, {rows} rows");
        }
    }
}

#[test]
fn dense_products() {
    let mut random = Random(1);
    for (outputs, inputs) in [(1, 1), (5, 20), (172, 64), (64, 172), (33, 1024)] {
        for dtype in DTYPES {
            let matrix = Known::dense(outputs, inputs, dtype, &mut random).with_bias(dtype, &mut random);
            check(&[matrix], &mut random, &format!("{dtype:?} {outputs}×{inputs}"));
        }
    }
}

#[test]
fn rotated_products_and_rows() {
    let mut random = Random(3);
    let format = QuantizationFormat::affine(2, 128);
    let matrix = |outputs, random: &mut Random| Known::affine(outputs, 512, format, Dtype::F32, random);
    for block in [2, 8, 16, 32, 512] {
        let rotated = matrix(21, &mut random).rotated(block, &mut random);
        // Some of one rotation, others of none and of another one.
        let mut alike = matrix(5, &mut random);
        let rotation = rotated.data.rotation.clone().unwrap();
        alike.numbers = alike.numbers.chunks(512).flat_map(|row| rotation.unfold(row)).collect();
        alike.data.rotation = Some(rotation);
        for cpu in backends() {
            let table = cpu.load_linear(std::slice::from_ref(&rotated.data)).unwrap();
            let rows = cpu.embed(&table, Ids::Host(&[3, 20])).unwrap();
            let want = [3, 20].map(|row| &rotated.numbers[row * 512..][..512]).concat();
            assert_close(rows.data(), &want, 1e-5, "rows");
        }
        let other = matrix(7, &mut random).rotated(16, &mut random);
        let plain = matrix(9, &mut random);
        check(&[rotated, alike, plain, other], &mut random, &format!("blocks of {block}"));
    }
}

#[test]
fn quantized_products() {
    let mut random = Random(2);
    for bits in [2, 3, 4, 5, 6, 8] {
        for (i, group_size) in [32, 64, 128].into_iter().enumerate() {
            let format = QuantizationFormat::affine(bits, group_size);
            let matrix = Known::affine(21, 384, format, DTYPES[(bits + i) % 3], &mut random);
            check(&[matrix], &mut random, &format!("{format:?}"));
        }
    }
}

#[test]
fn products_on_several_threads() {
    let mut random = Random(3);
    let format = QuantizationFormat::affine(4, 64);
    check(&[Known::affine(600, 1024, format, Dtype::Bf16, &mut random)], &mut random, "4 bits");
}

#[test]
fn parts_are_put_side_by_side() {
    let mut random = Random(4);
    let format = QuantizationFormat::affine(4, 32);
    let parts = [
        Known::affine(6, 64, format, Dtype::F16, &mut random).with_bias(Dtype::F16, &mut random),
        Known::dense(9, 64, Dtype::Bf16, &mut random),
        Known::affine(1, 64, QuantizationFormat { bits: 6, ..format }, Dtype::F32, &mut random),
    ];
    check(&parts, &mut random, "three parts");
}

fn embed(cpu: &Cpu, parts: &[LinearData], ids: &[u32]) -> Vec<f32> {
    cpu.embed(&cpu.load_linear(parts).unwrap(), Ids::Host(ids)).unwrap().data().to_vec()
}

#[test]
fn embeddings_are_the_stored_rows() {
    let mut random = Random(5);
    for bits in [2, 3, 4, 5, 6, 8, 16] {
        let format = QuantizationFormat::affine(bits, 32);
        let table = match bits {
            16 => Known::dense(512, 20, Dtype::F16, &mut random),
            _ => Known::affine(512, 96, format, Dtype::F16, &mut random),
        };
        let inputs = table.data.inputs;
        let ids = [0, 511, 7, 7, 100];
        let want: Vec<f64> =
            ids.iter().flat_map(|id| &table.numbers[*id as usize * inputs..][..inputs]).copied().collect();
        for cpu in backends() {
            assert_close(&embed(&cpu, std::slice::from_ref(&table.data), &ids), &want, 1e-7, "embedding");
        }
    }
}

#[test]
fn tied_tables_serve_both_ends_and_ids_are_checked() {
    let cpu = &backends()[0];
    let table = Known::dense(16, 32, Dtype::Bf16, &mut Random(6));
    let table = cpu.load_linear(&[table.data]).unwrap();
    let tokens = cpu.argmax(&tensor(cpu, 2, &[0.0, 1.0, 2.0, 2.0, 9.0, 1.0, 1.0, 0.0])).unwrap();
    let x = cpu.embed(&table, Ids::Device(&tokens)).unwrap();
    assert_eq!(x.data(), cpu.embed(&table, Ids::Host(&[2, 0])).unwrap().data());
    let mut logits = vec![5.0];
    cpu.read_logits(&cpu.logits(&x, &table).unwrap(), 1, &mut logits).unwrap();
    assert_eq!(logits.len(), 17);
    let error = cpu.embed(&table, Ids::Host(&[3, 16])).err().unwrap();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("16"), "{error}");
}

#[test]
fn mlx_dequantizes_to_the_same_numbers() {
    let file: Value = serde_json::from_str(include_str!("../../../../tests/data/quantization.json")).unwrap();
    let inputs = file["inputs"].as_u64().unwrap() as usize;
    let floats = |value: &Value| value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 18);
    for case in cases {
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let format = QuantizationFormat::affine(size("bits"), size("group_size"));
        let dtype = match case["dtype"].as_str().unwrap() {
            "f32" => Dtype::F32,
            "f16" => Dtype::F16,
            _ => Dtype::Bf16,
        };
        let codes = case["codes"].as_array().unwrap().iter();
        let codes = codes.flat_map(|code| (code.as_u64().unwrap() as u32).to_le_bytes()).collect();
        let stored = |name: &str| {
            let values: Vec<f32> = floats(&case[name]).iter().map(|x| *x as f32).collect();
            numbers(dtype, &[2, inputs / format.group_size], &values).0
        };
        let codes = view(Dtype::U32, &[2, inputs * format.bits / 32], codes);
        let (scales, biases) = (stored("scales"), stored("biases"));
        let matrix = Matrix::Affine { codes, scales, biases, format };
        let data = LinearData { outputs: 2, inputs, matrix, bias: None, rotation: None };
        for cpu in backends() {
            let got = embed(&cpu, std::slice::from_ref(&data), &[0, 1]);
            assert_close(&got, &floats(&case["numbers"]), 6e-7, &format!("{format:?}"));
        }
    }
}

#[test]
fn sizes_are_checked() {
    let cpu = &backends()[0];
    let mut random = Random(7);
    let good = Known::dense(4, 32, Dtype::F32, &mut random).data;
    let mut other = Known::dense(4, 64, Dtype::F32, &mut random).data;
    assert!(cpu.load_linear(&[good.clone(), other.clone()]).is_err());
    other.inputs = 32;
    assert!(cpu.load_linear(&[other]).is_err());
    assert!(cpu.load_linear(&[]).is_err());
    let format = QuantizationFormat::affine(7, 32);
    let mut odd = Known::affine(4, 32, QuantizationFormat { bits: 8, ..format }, Dtype::F32, &mut random).data;
    if let Matrix::Affine { format, .. } = &mut odd.matrix {
        format.bits = 7;
    }
    assert_eq!(cpu.load_linear(&[odd]).err().unwrap().code(), Code::Unsupported);
    let linear = cpu.load_linear(&[good]).unwrap();
    assert!(cpu.linear(&tensor(cpu, 1, &[0.0; 31]), &linear).is_err());
}
