//! Every operation against a plain f64 computation, and bit by bit against itself: other levels, threads, batches.

use std::sync::Arc;

use half::{bf16, f16};

use super::simd::Level;
use super::{Cpu, Pool, Tensor};
use crate::arch::spec::QuantizationFormat;
use crate::backend::{KvBits, Precision};
use crate::weights::{Dtype, LinearData, Matrix, Rotation, TensorView};

mod activation;
mod attention;
mod caches;
mod integer;
mod linear;
mod rows;
mod streams;

/// Repeatable numbers.
pub(super) struct Random(u64);

impl Random {
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// From -1 to 1.
    pub fn number(&mut self) -> f32 {
        self.bits() as f32 / (1u64 << 31) as f32 - 1.0
    }

    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }
}

/// An exact backend for each level, with one thread and with several.
pub(super) fn backends() -> Vec<Cpu> {
    backends_of(Precision::Exact)
}

/// A backend for each level, with one thread and with several.
pub(super) fn backends_of(precision: Precision) -> Vec<Cpu> {
    backends_with(precision, None)
}

/// [`backends_of`] with caches of so many bits.
pub(super) fn backends_with(precision: Precision, kv: Option<KvBits>) -> Vec<Cpu> {
    let levels = Level::available().into_iter();
    let with = |level, threads| Cpu::with_level(Pool::new(threads).unwrap(), level, precision, kv);
    levels.flat_map(|level| [1, 3].map(|threads| with(level, threads))).collect()
}

/// A view of bytes at an odd address.
pub(super) fn view(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> TensorView {
    let range = 1..bytes.len() + 1;
    let storage: Vec<u8> = std::iter::once(0).chain(bytes).collect();
    TensorView::from_storage("test".to_owned(), dtype, shape.to_vec(), Arc::new(storage), range)
}

/// A view of numbers, and the numbers as they were rounded.
pub(super) fn numbers(dtype: Dtype, shape: &[usize], numbers: &[f32]) -> (TensorView, Vec<f64>) {
    let (bytes, rounded): (Vec<Vec<u8>>, Vec<f64>) = numbers
        .iter()
        .map(|x| match dtype {
            Dtype::F16 => (f16::from_f32(*x).to_le_bytes().to_vec(), f16::from_f32(*x).to_f64()),
            Dtype::Bf16 => (bf16::from_f32(*x).to_le_bytes().to_vec(), bf16::from_f32(*x).to_f64()),
            _ => (x.to_le_bytes().to_vec(), f64::from(*x)),
        })
        .unzip();
    (view(dtype, shape, bytes.concat()), rounded)
}

/// Codes of 32 bit words, lowest bits first.
pub(super) fn pack(codes: &[u32], bits: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; codes.len() * bits / 8];
    for (i, code) in codes.iter().enumerate() {
        for bit in 0..bits {
            let at = i * bits + bit;
            bytes[at / 8] |= ((code >> bit & 1) as u8) << (at % 8);
        }
    }
    bytes
}

/// A matrix and its numbers, `outputs × inputs`.
pub(super) struct Known {
    pub data: LinearData,
    pub numbers: Vec<f64>,
    pub bias: Vec<f64>,
}

impl Known {
    pub fn dense(outputs: usize, inputs: usize, dtype: Dtype, random: &mut Random) -> Self {
        let (weight, known) = numbers(dtype, &[outputs, inputs], &random.numbers(outputs * inputs));
        let data = LinearData { outputs, inputs, matrix: Matrix::Dense(weight), bias: None, rotation: None };
        Self { data, numbers: known, bias: vec![0.0; outputs] }
    }

    pub fn affine(
        outputs: usize,
        inputs: usize,
        format: QuantizationFormat,
        dtype: Dtype,
        random: &mut Random,
    ) -> Self {
        let QuantizationFormat { bits, group_size, .. } = format;
        let codes: Vec<u32> = (0..outputs * inputs).map(|_| random.bits() & ((1 << bits) - 1)).collect();
        let shape = [outputs, inputs / group_size];
        let count = outputs * inputs / group_size;
        let steps = 1 << bits;
        let raw: Vec<f32> = random.numbers(count).iter().map(|x| x / steps as f32).collect();
        let (scales, known_scales) = numbers(dtype, &shape, &raw);
        let (biases, known_biases) = numbers(dtype, &shape, &random.numbers(count));
        let known =
            |(i, code): (usize, &u32)| f64::from(*code) * known_scales[i / group_size] + known_biases[i / group_size];
        let known = codes.iter().enumerate().map(known).collect();
        let codes = view(Dtype::U32, &[outputs, inputs * bits / 32], pack(&codes, bits));
        let matrix = Matrix::Affine { codes, scales, biases, format };
        Self {
            data: LinearData { outputs, inputs, matrix, bias: None, rotation: None },
            numbers: known,
            bias: vec![0.0; outputs],
        }
    }

    /// The same with a rotation folded in.
    pub fn rotated(mut self, block: usize, random: &mut Random) -> Self {
        let inputs = self.data.inputs;
        let rotation = Rotation::of_bits(block, inputs, || random.bits());
        self.numbers = self.numbers.chunks(inputs).flat_map(|row| rotation.unfold(row)).collect();
        self.data.rotation = Some(rotation);
        self
    }

    /// Gives all codes of an affine matrix one value.
    pub fn set_codes(&mut self, code: u32) {
        let Matrix::Affine { codes, scales, biases, format } = &mut self.data.matrix else { return };
        let (outputs, inputs) = (self.data.outputs, self.data.inputs);
        *codes = view(Dtype::U32, &codes.shape.clone(), pack(&vec![code; outputs * inputs], format.bits));
        let number = |view: &TensorView, at: usize| {
            f64::from(f32::from_le_bytes(view.bytes()[4 * at..][..4].try_into().unwrap()))
        };
        let known =
            |i: usize| f64::from(code) * number(scales, i / format.group_size) + number(biases, i / format.group_size);
        self.numbers = (0..outputs * inputs).map(known).collect();
    }

    pub fn with_bias(mut self, dtype: Dtype, random: &mut Random) -> Self {
        let (bias, known) = numbers(dtype, &[self.data.outputs], &random.numbers(self.data.outputs));
        (self.data.bias, self.bias) = (Some(bias), known);
        self
    }
}

/// Activations of a backend.
pub(super) fn tensor(cpu: &Cpu, rows: usize, numbers: &[f32]) -> Tensor {
    let mut buffer = cpu.arena.allocate(numbers.len()).unwrap();
    buffer.copy_from_slice(numbers);
    Tensor::new(buffer, rows, numbers.len() / rows)
}

pub(super) fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// Fails unless numbers are close, relative to `size`.
pub(super) fn assert_close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= tolerance * want.abs().max(1.0), "{what}: number {i} is {got} instead of {want}");
    }
}
