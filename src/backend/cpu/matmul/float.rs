//! f32 products: weights are dequantized on the way, or were plain numbers all along.

use super::super::Cpu;
use super::super::buffer::Buffer;
use super::super::disjoint::Disjoint;
use super::super::kernels::{Dequantize, DotsOfOneRow, DotsOfRows, OUTPUT_TILE};
use super::super::simd::LANES;
use super::super::tensor::Tensor;
use super::{Chunks, Product, SERIAL_WEIGHTS, add};
use crate::error::Result;

/// Numbers of dequantized weights, and of activations, that stay in the second-level cache while they are used.
const CACHED_WEIGHTS: usize = 64 << 10;
const CACHED_ACTIVATIONS: usize = 192 << 10;
/// Dequantizing is paid off by this many rows.
const ROWS_MIN: usize = 48;

/// `x · Wᵀ + bias`.
pub(super) fn product(cpu: &Cpu, x: &Tensor, product: &Product<'_>) -> Result<()> {
    if x.rows() == 1 && product.parts.iter().all(|part| part.is_whole()) {
        one_row(cpu, x.data(), product)
    } else {
        many_rows(cpu, x, product)
    }
}

fn one_row(cpu: &Cpu, x: &[f32], product: &Product<'_>) -> Result<()> {
    let (threads, level) = (cpu.pool.threads(), cpu.level);
    let chunks = Chunks::of_one_row(product, threads, OUTPUT_TILE);
    let scales = 2 * chunks.size * product.parts.iter().map(|part| part.stored().groups()).max().unwrap_or(0);
    let mut scratch = cpu.arena.allocate(scales * threads)?;
    let scratch = Disjoint::new(&mut scratch);
    cpu.run(product.weights() > SERIAL_WEIGHTS, chunks.count, |thread, chunk| {
        let (part, start, end) = chunks.get(chunk);
        // SAFETY: no other call has this thread's number, and no other chunk these outputs.
        let (scales, out) =
            unsafe { (scratch.part(thread * scales, scales), product.out.part(part.start + start, end - start)) };
        level.run(DotsOfOneRow { stored: part.stored().slice(start..end), x, out, scales });
        if let Some(bias) = &part.bias {
            add(out, &bias[start..end]);
        }
    })
}

fn many_rows(cpu: &Cpu, x: &Tensor, product: &Product<'_>) -> Result<()> {
    let (threads, level) = (cpu.pool.threads(), cpu.level);
    let (rows, stride) = (x.rows(), product.inputs.next_multiple_of(LANES));
    let padded = if stride == product.inputs { None } else { Some(pad(cpu, x, stride)?) };
    let x = padded.as_deref().unwrap_or(x.data());

    let size = (CACHED_WEIGHTS / stride).min(product.outputs() / (4 * threads)).clamp(1, 64);
    let chunks = Chunks::new(&product.parts, size.next_multiple_of(OUTPUT_TILE));
    let block = (CACHED_ACTIVATIONS / stride).max(ROWS_MIN).min(rows.max(1));
    let blocks = rows.div_ceil(block);

    let scales = 2 * chunks.size * product.parts.iter().map(|part| part.stored().groups()).max().unwrap_or(0);
    let (weights, results) = (chunks.size * stride, chunks.size * block);
    let mut scratch = cpu.arena.allocate((weights + results + scales) * threads)?;
    let scratch = Disjoint::new(&mut scratch);
    cpu.run(product.weights() * rows > SERIAL_WEIGHTS, chunks.count * blocks, |thread, index| {
        let (part, start, end) = chunks.get(index % chunks.count);
        let first = index / chunks.count * block;
        let count = block.min(rows - first);
        // SAFETY: no other call has this thread's number.
        let scratch = unsafe { scratch.part(thread * (weights + results + scales), weights + results + scales) };
        let (weights, scratch) = scratch.split_at_mut(weights);
        let (results, scales) = scratch.split_at_mut(results);

        let outputs = (end - start).next_multiple_of(OUTPUT_TILE);
        let weights = &mut weights[..outputs * stride];
        level.run(Dequantize { stored: part.stored().slice(start..end), out: weights, scales });
        let x = &x[first * stride..][..count * stride];
        level.run(DotsOfRows { weights, x, stride, rows: count, out: results });
        for (row, result) in results.chunks_exact(outputs).take(count).enumerate() {
            let at = (first + row) * product.stride + part.start + start;
            // SAFETY: no other call has these outputs of these rows.
            let out = unsafe { product.out.part(at, end - start) };
            out.copy_from_slice(&result[..end - start]);
            if let Some(bias) = &part.bias {
                add(out, &bias[start..end]);
            }
        }
    })
}

/// Rows padded with zeros.
fn pad(cpu: &Cpu, x: &Tensor, stride: usize) -> Result<Buffer> {
    let mut padded = cpu.arena.allocate(x.rows() * stride)?;
    for (from, to) in x.data().chunks_exact(x.width()).zip(padded.chunks_exact_mut(stride)) {
        to[..from.len()].copy_from_slice(from);
        to[from.len()..].fill(0.0);
    }
    Ok(padded)
}
