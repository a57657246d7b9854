//! Blocks against gguf-py's numbers, and what is made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::conversion::relative;
use super::super::tensor::dequantize;
use super::super::*;
use crate::weights::{Dtype, Matrix};

/// A format's random blocks, and what gguf-py makes of them (`tests/parity/gguf_blocks.py`).
#[derive(serde::Deserialize)]
struct Vector {
    r#type: u32,
    blocks: String,
    numbers: String,
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().as_chunks::<2>().0;
    digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn vectors() -> BTreeMap<String, Vector> {
    serde_json::from_str(include_str!("../../../../tests/data/gguf_blocks.json")).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// A tensor of the blocks, one a row.
fn tensor(name: &str, vector: &Vector) -> Blocks {
    let block = BlockType::new(vector.r#type).unwrap();
    let bytes = bytes(&vector.blocks);
    let shape = vec![bytes.len() / block.bytes(), block.numbers()];
    let range = 0..bytes.len();
    Blocks::new(name.into(), shape, block, Arc::new(bytes), range)
}

/// The numbers of a matrix, by its definition.
fn numbers(matrix: &Matrix) -> Vec<f32> {
    match matrix {
        Matrix::Affine { codes, scales, biases, format } => {
            let (scales, biases) = (scales.to_f32(), biases.to_f32());
            let codes = codes.bytes();
            let bit = |index: usize| u32::from(codes[index / 8] >> (index % 8) & 1);
            (0..codes.len() * 8 / format.bits)
                .map(|index| {
                    let code: u32 = (0..format.bits).map(|i| bit(index * format.bits + i) << i).sum();
                    code as f32 * scales[index / 32] + biases[index / 32]
                })
                .collect()
        }
        Matrix::Float { codes, scales, .. } => {
            let table = [0.0f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
            let number = |index: usize| {
                let code = codes.bytes()[index / 2] >> (index % 2 * 4) & 15;
                let size = table[usize::from(code & 7)] * 2f32.powi(i32::from(scales.bytes()[index / 32]) - 127);
                if code < 8 { size } else { -size }
            };
            (0..codes.bytes().len() * 2).map(number).collect()
        }
        Matrix::Dense(view) => view.to_f32(),
    }
}

#[test]
fn every_format_is_what_gguf_py_makes_of_it() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 16);
    for (name, vector) in vectors {
        let block = BlockType::new(vector.r#type).unwrap();
        assert_eq!(block.to_string(), name);
        let ours = dequantize(block, &bytes(&vector.blocks)).unwrap();
        let theirs = floats(&bytes(&vector.numbers));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            // Zero has two signs.
            let same = ours.to_bits() == theirs.to_bits() || (*ours == 0.0 && *theirs == 0.0);
            assert!(same, "{name}: number {at}: {ours} and {theirs}");
        }
    }
}

#[test]
fn exact_formats_lose_nothing_and_others_little() {
    for (name, vector) in vectors() {
        let tensor = tensor(&name, &vector);
        let Some(target) = tensor.target() else {
            assert!(["F32", "F16", "BF16"].contains(&name.as_str()), "{name}");
            continue;
        };
        let rows = tensor.row_count();
        let matrix = tensor.matrix(0..rows).unwrap();
        let theirs = floats(&bytes(&vector.numbers));
        let ours = numbers(&matrix);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let exact = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4"].contains(&name.as_str());
        assert_eq!(target.exact, exact, "{name}");
        if exact {
            assert_eq!(ours, theirs, "{name}");
        }
        let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let error = squares(&mut ours.iter().zip(&theirs).map(|(a, b)| a - b));
        let measured = relative([error, squares(&mut theirs.iter().copied())]);
        let (low, high) = match &*name {
            "Q4_K" | "Q5_K" | "IQ4_XS" => (1e-6, 1e-3),
            "Q6_K" => (1e-4, 0.01),
            "Q3_K" => (1e-3, 0.04),
            "Q2_K" => (1e-3, 0.08),
            _ => (0.0, 0.0),
        };
        assert!((low..=high).contains(&measured), "{name}: {measured}");
        let reported = relative(tensor.loss(Dtype::F16).unwrap());
        assert!((low..=high).contains(&reported), "{name}: {reported} reported");
        // What is reserved in the memory budget is what it takes.
        let bytes = match &matrix {
            Matrix::Affine { codes, scales, biases, .. } => {
                assert_eq!((scales.dtype, biases.dtype), (Dtype::F16, Dtype::F16));
                codes.bytes().len() + scales.bytes().len() + biases.bytes().len()
            }
            Matrix::Float { codes, scales, .. } => codes.bytes().len() + scales.bytes().len(),
            Matrix::Dense(view) => view.bytes().len(),
        };
        assert_eq!(bytes as u64, tensor.loaded_bytes(), "{name}");

        // Some rows are those of the whole.
        let some = numbers(&tensor.matrix(1..rows).unwrap());
        assert_eq!(some, ours[ours.len() / rows..], "{name}");
    }
}

#[test]
fn a_large_tensor_is_converted_in_pieces() {
    let (rows, columns) = (2600, 1024);
    let block = BlockType::Q8_0;
    let length = rows * columns / block.numbers() * block.bytes();
    // The scale 2⁻⁴ for all, and codes of every value.
    let byte = |at: usize| match at % 34 {
        0 => 0,
        1 => 0x2c,
        _ => (at * 31 / 7) as u8,
    };
    let bytes: Vec<u8> = (0..length).map(byte).collect();
    let tensor = Blocks::new("large".into(), vec![rows, columns], block, Arc::new(bytes), 0..length);
    assert_eq!(numbers(&tensor.matrix(0..rows).unwrap()), tensor.numbers(0..rows).unwrap());
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (name, vector) in vectors() {
        let block = BlockType::new(vector.r#type).unwrap();
        let mut bytes = bytes(&vector.blocks);
        let scale = match &*name {
            "Q2_K" => 80,
            "Q3_K" => 108,
            "Q6_K" => 208,
            "F32" | "F16" | "BF16" | "MXFP4" => continue,
            _ => 0,
        };
        bytes[scale..scale + 2].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
        let range = 0..bytes.len();
        let tensor = Blocks::new(name.clone(), vec![1, block.numbers()], block, Arc::new(bytes), range);
        let error = tensor.matrix(0..1).err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(matches!(error.code(), Code::CorruptFile | Code::Unsupported), "{error}");
        assert!(error.message().starts_with(&name), "{error}");
    }
}
