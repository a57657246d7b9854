//! The delta rule over consecutive positions: one after the other, or in blocks as products of matrices.

use mlx_rs::{Array, Dtype, ops};

use super::error::{Fault, Result};
use super::raw;

/// Positions of a block, a power of two.
const BLOCK: usize = 64;
/// The fewest positions that are worth a block.
const FEWEST: usize = 8;

/// What a head's memory `S` (value width × key width) goes through at each position:
/// `S ← S diag(exp(exponents))`, `S ← S + (value - S known) removedᵀ`, `y = S query`. All in f32, `[rows, heads, width]`.
pub(super) struct DeltaRule {
    pub query: Array,
    /// What is asked of the memory before it changes.
    pub known: Array,
    /// Where the difference is written.
    pub removed: Array,
    pub value: Array,
    /// None above zero; one for all columns of a head's memory, or one for each.
    pub exponents: Array,
}

impl DeltaRule {
    /// What each position gives, `[rows, heads, value width]`, and the memory after them.
    pub fn apply(&self, memory: Array) -> Result<(Array, Array)> {
        let rows = self.query.dim(0) as usize;
        if rows < FEWEST || self.exponents.dim(-1) != 1 {
            return self.by_position(memory);
        }
        self.by_block(memory, rows.next_power_of_two().min(BLOCK))
    }

    /// One position after the other.
    pub fn by_position(&self, mut memory: Array) -> Result<(Array, Array)> {
        let rows = self.query.dim(0) as usize;
        let keep = ops::exp(&self.exponents)?;
        let mut outputs = Vec::with_capacity(rows);
        for row in 0..rows {
            let at = |array: &Array| raw::slice_axis(array, 0, row..row + 1)?.squeeze_axes(&[0]).map_err(Fault::from);
            let kept = memory.multiply(at(&keep)?.expand_dims(-2)?)?;
            let found = kept.matmul(at(&self.known)?.expand_dims(-1)?)?;
            let write = at(&self.value)?.expand_dims(-1)?.subtract(found)?;
            memory = kept.add(write.multiply(at(&self.removed)?.expand_dims(-2)?)?)?;
            outputs.push(memory.matmul(at(&self.query)?.expand_dims(-1)?)?.squeeze_axes(&[-1])?.expand_dims(0)?);
        }
        Ok((ops::concatenate(&outputs, 0)?, memory))
    }

    /// Blocks of `size` positions, a power of two from 2 (Yang et al. 2024, "Gated Delta Networks", section 3.3). Within a block the differences
    /// that positions write follow from each other by a triangular system; its solution, what it gives to each position,
    /// and what it makes of a memory are linear in the memory before the block and computed for all blocks at once. Only
    /// the memory itself goes from block to block.
    pub fn by_block(&self, memory: Array, size: usize) -> Result<(Array, Array)> {
        let rows = self.query.dim(0) as usize;
        let blocks = |array: &Array| blocks(array, size);
        let (query, known, removed) = (blocks(&self.query)?, blocks(&self.known)?, blocks(&self.removed)?);
        let (value, exponents) = (blocks(&self.value)?, blocks(&self.exponents)?);

        let since_start = ops::exp(exponents.cumsum(-2, None, None)?)?;
        let between = decays_between(&exponents)?;
        let last = raw::slice_axis(&between, 2, size - 1..size)?;
        let until_end = last.swap_axes(-1, -2)?;
        let keep = raw::slice_axis(&since_start, 2, size - 1..size)?;

        // What positions find of what those before them wrote, and what they give of it.
        let columns = removed.swap_axes(-1, -2)?;
        let finds = ops::tril(known.matmul(&columns)?.multiply(&between)?, -1)?;
        let gives = query.matmul(&columns)?.multiply(&between)?;
        let solution = inverse(&finds, size)?;

        // The differences are `written - response · memoryᵀ`.
        let written = solution.matmul(&value)?;
        let response = solution.matmul(known.multiply(&since_start)?)?;
        let of_written = gives.matmul(&written)?;
        let of_memory = query.multiply(&since_start)?.subtract(gives.matmul(&response)?)?;
        let removed = removed.multiply(&until_end)?;
        let added = written.swap_axes(-1, -2)?.matmul(&removed)?;
        let lost = response.swap_axes(-1, -2)?.matmul(&removed)?;

        let mut memory = memory.expand_dims(0)?;
        let mut before = Vec::new();
        for block in 0..query.dim(0) as usize {
            let at = |array: &Array| raw::slice_axis(array, 0, block..block + 1);
            // The product alone would round what is kept, too, where devices multiply with fewer bits.
            let change = at(&added)?.subtract(memory.matmul(at(&lost)?)?)?;
            let after = memory.multiply(at(&keep)?)?.add(change)?;
            before.push(std::mem::replace(&mut memory, after));
        }
        let before = ops::concatenate(&before, 0)?.swap_axes(-1, -2)?;
        let y = of_written.add(of_memory.matmul(before)?)?.swap_axes(1, 2)?;
        let y = y.reshape(&[-1, y.dim(2), y.dim(3)])?;
        Ok((raw::slice_axis(&y, 0, 0..rows)?, memory.squeeze_axes(&[0])?))
    }
}

/// `[blocks, heads, size, width]`; positions behind the last are zeros, which change nothing.
fn blocks(array: &Array, size: usize) -> Result<Array> {
    let (rows, heads, width) = (array.dim(0) as usize, array.dim(1), array.dim(2));
    let count = rows.div_ceil(size);
    let (size, missing) = (raw::dim(size)?, raw::dim(count * size - rows)?);
    let shape = [raw::dim(count)?, size, heads, width];
    let array = match missing {
        0 => array.reshape(&shape)?,
        _ => {
            let zeros = ops::zeros_dtype(&[missing, heads, width], Dtype::Float32)?;
            ops::concatenate(&[array, &zeros], 0)?.reshape(&shape)?
        }
    };
    Ok(array.swap_axes(1, 2)?)
}

/// What is left at each position (row) of what was written at another (column), `[.., positions, positions]`: the
/// exponential of the sum of the exponents behind the column up to the row, and zero above the diagonal. Exponents are
/// `[.., positions, 1]`.
pub(super) fn decays_between(exponents: &Array) -> Result<Array> {
    let mut shape = exponents.shape().to_vec();
    if let [.., rows, columns] = &mut *shape {
        *columns = *rows;
    }
    let exponents = ops::broadcast_to(exponents, &shape)?;
    // A difference of sums from the start would lose what is small beside them.
    Ok(ops::tril(ops::exp(running_sum(ops::tril(exponents, -1)?, -2)?)?, 0)?)
}

/// Sums up to each entry of an axis. Of one entry MLX's CUDA kernel (0.32.2) writes beside the result where the axis is
/// strided; there is nothing to add.
pub(super) fn running_sum(array: Array, axis: i32) -> Result<Array> {
    Ok(if array.dim(axis) == 1 { array } else { array.cumsum(axis, None, None)? })
}

/// The inverse of `1 + below`, `size × size` matrices with numbers only below the diagonal. The inverse of twice as large
/// a part follows from those of its halves. A power series would be fewer products, but its terms grow and cancel where
/// keys are alike.
fn inverse(below: &Array, size: usize) -> Result<Array> {
    let of_level = |half: usize| Ok::<_, Fault>(below.multiply(level(size, half)?)?);
    let mut inverse = ops::eye::<f32>(raw::dim(size)?, None, None)?.subtract(of_level(1)?)?;
    let mut half = 2;
    while half < size {
        inverse = inverse.subtract(inverse.matmul(of_level(half)?)?.matmul(&inverse)?)?;
        half *= 2;
    }
    Ok(inverse)
}

/// One where the row is in the second and the column in the first `half` of the same part of `2 * half` positions.
fn level(size: usize, half: usize) -> Result<Array> {
    let one = |(row, column): (usize, usize)| row > column && (half..2 * half).contains(&(row ^ column));
    let pairs = (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
    let mask: Vec<f32> = pairs.map(|pair| f32::from(u8::from(one(pair)))).collect();
    Ok(Array::from_slice(&mask, &[raw::dim(size)?, raw::dim(size)?]))
}
