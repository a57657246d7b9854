//! Operations on rows that need no neighbours: sums, gates, norms, selections.

use super::Cpu;
use super::disjoint::Disjoint;
use super::kernels::{ArgMax, Dequantize, RotateBlocks, SiluRows};
use super::linear::Linear;
use super::simd::LANES;
use super::tensor::Tensor;
use crate::error::{Error, Result};
use crate::weights::Rotation;

/// Numbers below which an operation isn't worth waking threads for.
pub(super) const SERIAL_NUMBERS: usize = 16 << 10;

/// Fills rows of `width` by `f(first row, rows)`, on several threads when it is worth it.
pub(super) fn rows(cpu: &Cpu, count: usize, width: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> Result<Tensor> {
    let mut out = cpu.arena.allocate(count * width)?;
    let per_chunk = (SERIAL_NUMBERS / 4 / width.max(1)).max(1);
    let shared = Disjoint::new(&mut out);
    cpu.run(count * width > SERIAL_NUMBERS, count.div_ceil(per_chunk), |_, chunk| {
        let first = chunk * per_chunk;
        let len = per_chunk.min(count - first) * width;
        // SAFETY: chunks don't share rows.
        f(first, unsafe { shared.part(first * width, len) });
    })?;
    Ok(Tensor::new(out, count, width))
}

/// `a + b`.
pub(super) fn add(cpu: &Cpu, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    b.expect_width(a.width(), "a sum")?;
    if a.rows() != b.rows() {
        return Err(Error::internal(format!("a sum of {} and {} rows", a.rows(), b.rows())));
    }
    let (width, a_data, b_data) = (a.width(), a.data(), b.data());
    rows(cpu, a.rows(), width, |first, out| {
        for ((out, a), b) in out.iter_mut().zip(&a_data[first * width..]).zip(&b_data[first * width..]) {
            *out = a + b;
        }
    })
}

/// `silu(gate) * up`.
pub(super) fn silu(cpu: &Cpu, gate_up: &Tensor) -> Result<Tensor> {
    if !gate_up.width().is_multiple_of(2) {
        return Err(Error::internal(format!("gate and up in rows of {} numbers", gate_up.width())));
    }
    let (width, data, level) = (gate_up.width() / 2, gate_up.data(), cpu.level);
    rows(cpu, gate_up.rows(), width, |first, out| {
        let gate_up = &data[2 * first * width..][..2 * out.len()];
        level.run(SiluRows { gate_up, width, out });
    })
}

/// Rows of an embedding table.
pub(super) fn embed(cpu: &Cpu, table: &Linear, ids: &[u32]) -> Result<Tensor> {
    let stored = ids.iter().map(|id| table.row(*id as usize)).collect::<Result<Vec<_>>>()?;
    let groups = stored.iter().map(|(row, _)| row.groups()).max().unwrap_or(0);
    let width = table.inputs;
    let mut scales = cpu.arena.allocate(2 * groups)?;
    let mut padded = cpu.arena.allocate(width.next_multiple_of(LANES))?;
    let mut out = cpu.arena.allocate(ids.len() * width)?;
    for ((stored, rotation), out) in stored.into_iter().zip(out.chunks_exact_mut(width)) {
        cpu.level.run(Dequantize { stored, out: &mut padded, scales: &mut scales });
        out.copy_from_slice(&padded[..width]);
        if let Some(Rotation { block, signs }) = rotation {
            cpu.level.run(RotateBlocks { rows: out, signs, block: *block, inverse: true });
        }
    }
    Ok(Tensor::new(out, ids.len(), width))
}

/// Rows as a matrix takes them in that is stored rotated.
pub(super) fn rotate_blocks(cpu: &Cpu, x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
    let Rotation { block, signs } = rotation;
    x.expect_width(signs.len(), "a rotation of blocks")?;
    let (width, data, level) = (x.width(), x.data(), cpu.level);
    rows(cpu, x.rows(), width, |first, out| {
        out.copy_from_slice(&data[first * width..][..out.len()]);
        level.run(RotateBlocks { rows: out, signs, block: *block, inverse: false });
    })
}

/// The given rows, in the given order.
pub(super) fn select(cpu: &Cpu, x: &Tensor, selected: &[usize]) -> Result<Tensor> {
    let mut out = cpu.arena.allocate(selected.len() * x.width())?;
    for (row, out) in selected.iter().zip(out.chunks_exact_mut(x.width())) {
        out.copy_from_slice(x.row(*row)?);
    }
    Ok(Tensor::new(out, selected.len(), x.width()))
}

/// The index of the largest number of each row.
pub(super) fn argmax(cpu: &Cpu, x: &Tensor) -> Result<Vec<u32>> {
    let row = |row: usize| Ok(cpu.level.run(ArgMax { row: x.row(row)? }) as u32);
    (0..x.rows()).map(row).collect()
}
