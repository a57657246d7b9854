//! Products of activations with matrices, split over the threads.

use super::Cpu;
use super::buffer::Buffer;
use super::disjoint::Disjoint;
use super::kernels::{Dequantize, DotsOfOneRow, DotsOfRows, OUTPUT_TILE};
use super::linear::{Linear, Part};
use super::simd::LANES;
use super::tensor::Tensor;
use crate::error::Result;

/// Weights below which a product isn't worth waking threads for.
const SERIAL_WEIGHTS: usize = 32 << 10;
/// Weights of one row's chunk of work, so that claiming it costs little.
const CHUNK_WEIGHTS: usize = 64 << 10;
/// Chunks a thread gets at most, for the largest matrices.
const CHUNKS_A_THREAD: usize = 64;
/// Numbers of dequantized weights, and of activations, that stay in the second-level cache while they are used.
const CACHED_WEIGHTS: usize = 64 << 10;
const CACHED_ACTIVATIONS: usize = 192 << 10;
/// Dequantizing is paid off by this many rows.
const ROWS_MIN: usize = 48;

/// Chunks of work, each some outputs of one part.
struct Chunks<'a> {
    parts: &'a [Part],
    /// Outputs of a chunk.
    size: usize,
    count: usize,
}

impl<'a> Chunks<'a> {
    fn new(parts: &'a [Part], size: usize) -> Self {
        Self { parts, size, count: parts.iter().map(|part| part.outputs.div_ceil(size)).sum() }
    }

    /// The part, and its first and last output.
    fn get(&self, mut chunk: usize) -> (&'a Part, usize, usize) {
        let mut index = 0;
        while index + 1 < self.parts.len() && chunk >= self.parts[index].outputs.div_ceil(self.size) {
            chunk -= self.parts[index].outputs.div_ceil(self.size);
            index += 1;
        }
        let part = &self.parts[index];
        (part, chunk * self.size, ((chunk + 1) * self.size).min(part.outputs))
    }
}

/// `x · Wᵀ + bias`.
pub(super) fn linear(cpu: &Cpu, x: &Tensor, linear: &Linear) -> Result<Tensor> {
    x.expect_width(linear.inputs, "a matrix product")?;
    let mut out = cpu.arena.allocate(x.rows() * linear.outputs)?;
    if x.rows() == 1 && linear.parts.iter().all(Part::is_whole) {
        one_row(cpu, x.data(), linear, &mut out)?;
    } else {
        many_rows(cpu, x, linear, &mut out)?;
    }
    Ok(Tensor::new(out, x.rows(), linear.outputs))
}

fn one_row(cpu: &Cpu, x: &[f32], linear: &Linear, out: &mut Buffer) -> Result<()> {
    let (threads, level) = (cpu.pool.threads(), cpu.level);
    let size = (CHUNK_WEIGHTS / linear.inputs).max(linear.outputs / (CHUNKS_A_THREAD * threads));
    let chunks = Chunks::new(&linear.parts, size.next_multiple_of(OUTPUT_TILE).max(OUTPUT_TILE));
    let scales = 2 * chunks.size * linear.parts.iter().map(|part| part.stored().groups()).max().unwrap_or(0);
    let mut scratch = cpu.arena.allocate(scales * threads)?;
    let (scratch, out) = (Disjoint::new(&mut scratch), Disjoint::new(out));
    cpu.run(linear.inputs * linear.outputs > SERIAL_WEIGHTS, chunks.count, |thread, chunk| {
        let (part, start, end) = chunks.get(chunk);
        // SAFETY: no other call has this thread's number, and no other chunk these outputs.
        let (scales, out) =
            unsafe { (scratch.part(thread * scales, scales), out.part(part.start + start, end - start)) };
        level.run(DotsOfOneRow { stored: part.stored().slice(start..end), x, out, scales });
        if let Some(bias) = &part.bias {
            add(out, &bias[start..end]);
        }
    })
}

fn many_rows(cpu: &Cpu, x: &Tensor, linear: &Linear, out: &mut Buffer) -> Result<()> {
    let (threads, level) = (cpu.pool.threads(), cpu.level);
    let (rows, stride) = (x.rows(), linear.inputs.next_multiple_of(LANES));
    let padded = if stride == linear.inputs { None } else { Some(pad(cpu, x, stride)?) };
    let x = padded.as_deref().unwrap_or(x.data());

    let size = (CACHED_WEIGHTS / stride).min(linear.outputs / (4 * threads)).clamp(1, 64);
    let chunks = Chunks::new(&linear.parts, size.next_multiple_of(OUTPUT_TILE));
    let block = (CACHED_ACTIVATIONS / stride).max(ROWS_MIN).min(rows.max(1));
    let blocks = rows.div_ceil(block);

    let scales = 2 * chunks.size * linear.parts.iter().map(|part| part.stored().groups()).max().unwrap_or(0);
    let (weights, results) = (chunks.size * stride, chunks.size * block);
    let mut scratch = cpu.arena.allocate((weights + results + scales) * threads)?;
    let (scratch, out) = (Disjoint::new(&mut scratch), Disjoint::new(out));
    let parallel = linear.inputs * linear.outputs * rows > SERIAL_WEIGHTS;
    cpu.run(parallel, chunks.count * blocks, |thread, index| {
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
            let at = (first + row) * linear.outputs + part.start + start;
            // SAFETY: no other call has these outputs of these rows.
            let out = unsafe { out.part(at, end - start) };
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

fn add(out: &mut [f32], bias: &[f32]) {
    for (out, bias) in out.iter_mut().zip(bias) {
        *out += bias;
    }
}
