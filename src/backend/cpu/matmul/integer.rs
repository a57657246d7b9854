//! Products of i8 rows with matrices of codes.

use super::super::Cpu;
use super::super::buffer::{Buffer, cast, cast_mut};
use super::super::disjoint::Disjoint;
use super::super::elementwise::SERIAL_NUMBERS;
use super::super::kernels::{CodesOfOneRow, CodesOfRows, Quantize, Quantized, room_of_one_row, room_of_rows};
use super::super::linear::Part;
use super::super::simd::{LANES, UNIT};
use super::super::tensor::Tensor;
use super::{Chunks, Product, SERIAL_WEIGHTS, add};
use crate::error::Result;

/// Fewer rows are multiplied one by one; then codes are not rearranged first.
const ROWS_MIN: usize = 3;
/// So many rows pass by 16 outputs at a time, whose codes stay in the first-level cache, a byte each.
const ROWS_FEW: usize = 24;
/// Codes that stay in the second-level cache while more rows pass by.
const CACHED_CODES: usize = 256 << 10;

/// `x · Wᵀ + bias`.
pub(super) fn product(cpu: &Cpu, x: &Tensor, product: &Product<'_>) -> Result<()> {
    // Hardly ever more than one: matrices with the same inputs have the same groups.
    let mut rows = Vec::new();
    for block in [UNIT / 2, UNIT] {
        if product.parts.iter().any(|part| part.block() == Some(block)) {
            rows.push((block, Rows::new(cpu, x, block)?));
        }
    }
    let rows: Vec<_> = rows.iter().map(|(block, rows)| (*block, rows.quantized())).collect();
    if x.rows() < ROWS_MIN { one_by_one(cpu, &rows, product) } else { many_rows(cpu, &rows, product) }
}

/// The rows with the blocks of a part.
fn rows_of<'a>(rows: &[(usize, Quantized<'a>)], part: &Part) -> Quantized<'a> {
    let found = rows.iter().find(|(block, _)| part.block() == Some(*block));
    // `product` has made them.
    found.map(|(_, rows)| *rows).unwrap_or_default()
}

fn one_by_one(cpu: &Cpu, rows: &[(usize, Quantized<'_>)], product: &Product<'_>) -> Result<()> {
    let (threads, level) = (cpu.pool.threads(), cpu.level);
    let chunks = Chunks::of_one_row(product, threads, LANES);
    let size = product.parts.iter().map(|part| room_of_one_row(&part.stored())).max().unwrap_or(0);
    let mut room = cpu.arena.allocate(size * threads)?;
    let room = Disjoint::new(&mut room);
    cpu.run(product.weights() > SERIAL_WEIGHTS, chunks.count, |thread, chunk| {
        let (part, start, end) = chunks.get(chunk);
        let (stored, x) = (part.stored(), rows_of(rows, part));
        for row in 0..x.rows {
            // SAFETY: no other call has this thread's number, and no other chunk these outputs.
            let (room, out) = unsafe {
                (
                    room.part(thread * size, size),
                    product.out.part(row * product.stride + part.start + start, end - start),
                )
            };
            level.run_integer(CodesOfOneRow { stored, outputs: start..end, x: x.row(row), out, room });
            if let Some(bias) = &part.bias {
                add(out, &bias[start..end]);
            }
        }
    })
}

fn many_rows(cpu: &Cpu, rows: &[(usize, Quantized<'_>)], product: &Product<'_>) -> Result<()> {
    let (threads, level) = (cpu.pool.threads(), cpu.level);
    let size = (CACHED_CODES / product.inputs).min(product.outputs() / (8 * threads)).clamp(1, 64);
    let chunks = Chunks::new(&product.parts, size.next_multiple_of(LANES));
    let count = rows.first().map_or(0, |(_, rows)| rows.rows);
    let step = if count <= ROWS_FEW { LANES } else { chunks.size };
    let size = product.parts.iter().map(|part| room_of_rows(&part.stored(), step.min(part.outputs))).max().unwrap_or(0);
    let mut room = cpu.arena.allocate(size * threads)?;
    let room = Disjoint::new(&mut room);
    cpu.run(product.weights() * count > SERIAL_WEIGHTS, chunks.count, |thread, chunk| {
        let (part, start, end) = chunks.get(chunk);
        for start in (start..end).step_by(step) {
            // SAFETY: no other call has this thread's number.
            let room = unsafe { room.part(thread * size, size) };
            level.run_integer(CodesOfRows {
                stored: part.stored(),
                outputs: start..end.min(start + step),
                x: rows_of(rows, part),
                bias: part.bias.as_deref(),
                out: &product.out,
                start: part.start,
                stride: product.stride,
                room,
            });
        }
    })
}

/// Rows as i8.
struct Rows {
    /// Units, then scales, then sums.
    buffer: Buffer,
    rows: usize,
    units: usize,
    scales: usize,
}

impl Rows {
    fn new(cpu: &Cpu, x: &Tensor, block: usize) -> Result<Self> {
        let (rows, width) = (x.rows(), x.width());
        let row_units = width.div_ceil(UNIT);
        let row_scales = row_units * UNIT / block;
        // A unit is as long as 16 floats.
        let (units, scales) = (rows * row_units * LANES, rows * row_scales);
        let mut buffer = cpu.arena.allocate(units + 2 * scales)?;
        let per_chunk = (SERIAL_NUMBERS / 4 / width).max(1);
        let (level, x) = (cpu.level, x.data());
        let shared = Disjoint::new(&mut buffer);
        cpu.run(rows * width > SERIAL_NUMBERS, rows.div_ceil(per_chunk), |_, chunk| {
            let first = chunk * per_chunk;
            let count = per_chunk.min(rows - first);
            // SAFETY: chunks don't share rows.
            let (to, scales, sums) = unsafe {
                (
                    shared.part(first * row_units * LANES, count * row_units * LANES),
                    shared.part(units + first * row_scales, count * row_scales),
                    shared.part(units + scales + first * row_scales, count * row_scales),
                )
            };
            let x = &x[first * width..][..count * width];
            level.run_integer(Quantize { x, width, block, units: cast_mut(to), scales, sums });
        })?;
        Ok(Self { buffer, rows, units, scales })
    }

    fn quantized(&self) -> Quantized<'_> {
        let (units, rest) = self.buffer.split_at(self.units);
        let (scales, sums) = rest.split_at(self.scales);
        Quantized { units: cast(units), scales, sums, rows: self.rows }
    }
}
