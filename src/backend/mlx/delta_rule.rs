//! The delta rule over consecutive positions: one after the other, or in blocks as products of matrices.

use mlx_rs::{Array, Dtype, ops};

use super::error::{Fault, Result};
use super::raw;
use crate::arch::spec::recorded::{self, positions_together};

/// Positions of a block, a power of two.
pub(super) const BLOCK: usize = recorded::BLOCK as usize;

/// The fewest positions that are worth a block.
const FEWEST: usize = 8;

/// What a head's memory `S` (value width × key width) goes through at each position: `S ← S diag(exp(exponents))`,
/// `S ← S + (value - S known) removedᵀ`, `y = S query`. With `written`, values have keys of their own:
/// `S ← S - (S known) removedᵀ + value writtenᵀ`. All in f32, `[rows, heads, width]`.
pub(super) struct DeltaRule {
    pub query: Array,
    /// What is asked of the memory before it changes.
    pub known: Array,
    /// Where the difference is written.
    pub removed: Array,
    pub value: Array,
    pub written: Option<Array>,
    /// None above zero; one for all columns of a head's memory, or one for each.
    pub exponents: Array,
    /// Below all exponents, if there is such a bound.
    pub lowest: Option<f32>,
}

impl DeltaRule {
    /// What each position gives, `[rows, heads, value width]`, and the memory after them.
    pub fn apply(&self, memory: Array) -> Result<(Array, Array)> {
        let rows = self.query.dim(0) as usize;
        if rows < FEWEST {
            self.by_position(memory)
        } else {
            self.by_block(memory, rows.next_power_of_two().min(BLOCK))
        }
    }

    /// One position after the other.
    pub fn by_position(&self, mut memory: Array) -> Result<(Array, Array)> {
        let rows = self.query.dim(0) as usize;
        let keep = ops::exp(&self.exponents)?;
        let mut outputs = Vec::with_capacity(rows);
        for row in 0..rows {
            let at = |array: &Array| raw::slice_axis(array, 0, row..row + 1)?.squeeze_axes(&[0]).map_err(Fault::from);
            let column = |array: &Array| at(array)?.expand_dims(-1).map_err(Fault::from);
            let line = |array: &Array| at(array)?.expand_dims(-2).map_err(Fault::from);
            let kept = memory.multiply(line(&keep)?)?;
            let found = kept.matmul(column(&self.known)?)?;
            let (value, removed) = (column(&self.value)?, line(&self.removed)?);
            memory = match &self.written {
                None => kept.add(value.subtract(found)?.multiply(removed)?)?,
                Some(written) => kept.subtract(found.multiply(removed)?)?.add(value.multiply(line(written)?)?)?,
            };
            outputs.push(memory.matmul(column(&self.query)?)?.squeeze_axes(&[-1])?.expand_dims(0)?);
        }
        Ok((ops::concatenate(&outputs, 0)?, memory))
    }

    /// Blocks of `size` positions, a power of two from 2 (Yang et al. 2024, "Gated Delta Networks", section 3.3). Within
    /// a block the differences that positions write follow from each other by a triangular system; its solution, what it
    /// gives to each position, and what it makes of a memory are linear in the memory before the block and computed for
    /// all blocks at once. Only the memory itself goes from block to block.
    pub fn by_block(&self, memory: Array, size: usize) -> Result<(Array, Array)> {
        let rows = self.query.dim(0) as usize;
        let blocks = |array: &Array| blocks(array, size);
        let (query, known, removed) = (blocks(&self.query)?, blocks(&self.known)?, blocks(&self.removed)?);
        let (value, exponents) = (blocks(&self.value)?, blocks(&self.exponents)?);
        let decays = Decays::new(&exponents, size, self.lowest)?;
        let since_start = ops::exp(exponents.cumsum(-2, None, None)?)?;
        let until_end = ops::exp(exponents.cumsum(-2, true, false)?)?;
        let keep = raw::slice_axis(&since_start, 2, size - 1..size)?;

        // What positions find of what those before them wrote, and what they give of it.
        let [finds, gives] = decays.products([&known, &query], &removed)?;
        let solution = inverse(&ops::tril(finds, -1)?, size)?;
        let removed = removed.multiply(&until_end)?;

        // The differences are `differences - response · memoryᵀ`.
        let response = solution.matmul(known.multiply(&since_start)?)?;
        let of_memory = query.multiply(&since_start)?.subtract(gives.matmul(&response)?)?;
        let lost = response.swap_axes(-1, -2)?.matmul(&removed)?;
        let (given, added) = match &self.written {
            None => {
                let differences = solution.matmul(value)?;
                (gives.matmul(&differences)?, differences.swap_axes(-1, -2)?.matmul(removed)?)
            }
            Some(written) => {
                let written = blocks(written)?;
                let [found, given] = decays.products([&known, &query], &written)?;
                let differences = solution.matmul(ops::tril(found, -1)?.matmul(&value)?.negative()?)?;
                let added = value.swap_axes(-1, -2)?.matmul(written.multiply(&until_end)?)?;
                let added = added.add(differences.swap_axes(-1, -2)?.matmul(removed)?)?;
                (gives.matmul(differences)?.add(given.matmul(value)?)?, added)
            }
        };

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
        let y = given.add(of_memory.matmul(before)?)?.swap_axes(1, 2)?;
        let y = y.reshape(&[-1, y.dim(2), y.dim(3)])?;
        Ok((raw::slice_axis(&y, 0, 0..rows)?, memory.squeeze_axes(&[0])?))
    }
}

/// What is left at positions of a block of what earlier ones wrote.
enum Decays {
    /// One number for two positions, `[blocks, heads, size, size]`.
    Head(Array),
    /// One for each column, which is a product of two. Each part serves some pairs of positions.
    Columns(Vec<Part>),
}

/// Pairs of positions with a place between them to which both count.
struct Part {
    /// One where row and column are such a pair.
    pairs: Array,
    /// From the place to each position, and from each position to the place, `[blocks, heads, size, columns]`; neither
    /// where positions are pairs with themselves.
    factors: Option<[Array; 2]>,
}

impl Decays {
    /// Of exponents `[blocks, heads, size, columns]`.
    fn new(exponents: &Array, size: usize, lowest: Option<f32>) -> Result<Self> {
        if exponents.dim(-1) == 1 {
            return decays_between(exponents).map(Self::Head);
        }
        let together = (positions_together(lowest) as usize).min(size);
        let mut parts = vec![Part::around(exponents, size, together)?];
        let mut half = together;
        while half < size {
            parts.push(Part::halves(exponents, size, half)?);
            half *= 2;
        }
        Ok(Self::Columns(parts))
    }

    /// Products of `lefts` and `right`, weighed by what is left between their positions; zero above the diagonal.
    fn products<const N: usize>(&self, lefts: [&Array; N], right: &Array) -> Result<[Array; N]> {
        let product = |left: &Array, right: &Array| left.matmul(right.swap_axes(-1, -2)?);
        let mut all = Vec::with_capacity(N);
        match self {
            Self::Head(between) => {
                for left in lefts {
                    all.push(product(left, right)?.multiply(between)?);
                }
            }
            Self::Columns(parts) => {
                for Part { pairs, factors } in parts {
                    let decayed = factors.as_ref().map(|[_, until]| right.multiply(until)).transpose()?;
                    for (index, left) in lefts.into_iter().enumerate() {
                        let product = match (factors, &decayed) {
                            (Some([since, _]), Some(right)) => product(&left.multiply(since)?, right)?,
                            _ => product(left, right)?,
                        };
                        let product = product.multiply(pairs)?;
                        match all.get_mut(index) {
                            Some(sum) => *sum = product.add(&*sum)?,
                            None => all.push(product),
                        }
                    }
                }
            }
        }
        all.try_into().map_err(|_| Fault::internal("products that got lost"))
    }
}

impl Part {
    /// Pairs within `together` positions, which count to the one in their middle.
    fn around(exponents: &Array, size: usize, together: usize) -> Result<Self> {
        let pairs = mask(size, |row, column| row >= column && row / together == column / together)?;
        if together == 1 {
            return Ok(Self { pairs, factors: None });
        }
        let sums = in_parts(exponents, together)?.cumsum(-2, None, None)?;
        let middle = raw::slice_axis(&sums, 3, together / 2 - 1..together / 2)?;
        let sums = sums.subtract(middle)?.reshape(exponents.shape())?;
        let factors = [ops::exp(&sums)?, ops::exp(sums.negative()?)?];
        Ok(Self { pairs, factors: Some(factors) })
    }

    /// Pairs of the second with the first `half` of the same `2 * half` positions, which count to the first's end, so that
    /// all exponents are sums of their own and none is above zero.
    fn halves(exponents: &Array, size: usize, half: usize) -> Result<Self> {
        let parts = in_parts(exponents, 2 * half)?;
        let first = raw::slice_axis(&parts, 3, 0..half)?;
        let second = raw::slice_axis(&parts, 3, half..2 * half)?;
        let until = match half {
            1 => ops::zeros_like(&first)?,
            _ => first.cumsum(-2, true, false)?,
        };
        let sums = ops::concatenate(&[until, running_sum(second, -2)?], 3)?;
        let factors = ops::exp(sums.reshape(exponents.shape())?)?;
        Ok(Self { pairs: level(size, half)?, factors: Some([factors.reshape(factors.shape())?, factors]) })
    }
}

/// `[blocks, heads, parts, positions, columns]`.
fn in_parts(exponents: &Array, positions: usize) -> Result<Array> {
    Ok(exponents.reshape(&[exponents.dim(0), exponents.dim(1), -1, raw::dim(positions)?, exponents.dim(-1)])?)
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

/// One where the row is in the second and the column in the first `half` of the same `2 * half` positions.
fn level(size: usize, half: usize) -> Result<Array> {
    mask(size, |row, column| row > column && (half..2 * half).contains(&(row ^ column)))
}

/// A matrix of ones where `one` says so of row and column, and zeros.
fn mask(size: usize, one: impl Fn(usize, usize) -> bool) -> Result<Array> {
    let numbers = (0..size * size).map(|index| f32::from(u8::from(one(index / size, index % size))));
    Ok(Array::from_slice(&numbers.collect::<Vec<f32>>(), &[raw::dim(size)?, raw::dim(size)?]))
}
