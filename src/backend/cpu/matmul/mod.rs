//! Products of activations with matrices, split over the threads.

use super::Cpu;
use super::disjoint::Disjoint;
use super::elementwise::rotate_blocks;
use super::linear::{Linear, Part};
use super::tensor::Tensor;
use crate::backend::Precision;
use crate::error::Result;

mod float;
mod integer;

/// Weights below which a product isn't worth waking threads for.
const SERIAL_WEIGHTS: usize = 32 << 10;
/// Weights of one row's chunk of work, so that claiming it costs little.
const CHUNK_WEIGHTS: usize = 32 << 10;
/// Chunks a thread gets at most, for the largest matrices.
const CHUNKS_A_THREAD: usize = 64;

/// Some parts of a matrix, and where their outputs go.
struct Product<'a> {
    parts: Vec<&'a Part>,
    inputs: usize,
    out: Disjoint<'a>,
    /// Numbers in a row of `out`.
    stride: usize,
}

impl Product<'_> {
    fn outputs(&self) -> usize {
        self.parts.iter().map(|part| part.outputs).sum()
    }

    fn weights(&self) -> usize {
        self.inputs * self.outputs()
    }
}

/// Chunks of work, each some outputs of one part.
struct Chunks<'a> {
    parts: &'a [&'a Part],
    /// Outputs of a chunk.
    size: usize,
    count: usize,
}

impl<'a> Chunks<'a> {
    fn new(parts: &'a [&'a Part], size: usize) -> Self {
        Self { parts, size, count: parts.iter().map(|part| part.outputs.div_ceil(size)).sum() }
    }

    /// Chunks of some tiles for a product that reads each weight once.
    fn of_one_row(product: &'a Product<'_>, threads: usize, tile: usize) -> Self {
        let size = (CHUNK_WEIGHTS / product.inputs).max(product.outputs() / (CHUNKS_A_THREAD * threads));
        Self::new(&product.parts, size.next_multiple_of(tile).max(tile))
    }

    /// The part, and its first and last output.
    fn get(&self, mut chunk: usize) -> (&'a Part, usize, usize) {
        let mut index = 0;
        while index + 1 < self.parts.len() && chunk >= self.parts[index].outputs.div_ceil(self.size) {
            chunk -= self.parts[index].outputs.div_ceil(self.size);
            index += 1;
        }
        let part = self.parts[index];
        (part, chunk * self.size, ((chunk + 1) * self.size).min(part.outputs))
    }
}

/// `x · Wᵀ + bias`. Matrices of codes are multiplied with i8 rows, unless all has to be f32.
pub(super) fn linear(cpu: &Cpu, x: &Tensor, linear: &Linear) -> Result<Tensor> {
    x.expect_width(linear.inputs, "a matrix product")?;
    let mut out = cpu.arena.allocate(x.rows() * linear.outputs)?;
    let mut product =
        Product { parts: Vec::new(), inputs: linear.inputs, out: Disjoint::new(&mut out), stride: linear.outputs };
    let exact = cpu.precision == Precision::Exact;
    for parts in linear.parts.chunk_by(|a, b| a.rotation == b.rotation) {
        let rotation = parts.first().and_then(|part| part.rotation.as_ref());
        let rotated = rotation.map(|rotation| rotate_blocks(cpu, x, rotation)).transpose()?;
        let x = rotated.as_ref().unwrap_or(x);
        let (coded, plain): (Vec<_>, Vec<_>) = parts.iter().partition(|part| !exact && part.block().is_some());
        product.parts = plain;
        if !product.parts.is_empty() {
            float::product(cpu, x, &product)?;
        }
        product.parts = coded;
        if !product.parts.is_empty() {
            integer::product(cpu, x, &product)?;
        }
    }
    Ok(Tensor::new(out, x.rows(), linear.outputs))
}

fn add(out: &mut [f32], bias: &[f32]) {
    for (out, bias) in out.iter_mut().zip(bias) {
        *out += bias;
    }
}
