//! Rotations that are folded into matrices.

use std::sync::Arc;

use super::{Tensors, linear};
use crate::error::Result;

/// What a matrix's input has to go through before the product, since the matrix was stored rotated the other way, which
/// spreads outliers and so makes it easier to quantize (QuIP#, Tseng et al. 2024): each column times its sign, then each
/// block of columns times the normalised Walsh-Hadamard matrix in Sylvester's order. A row that is looked up goes the
/// way back: the same transform, which is its own inverse, then the signs.
#[derive(Clone)]
pub(crate) struct Rotation {
    /// Columns that are mixed with each other, a power of two.
    pub block: usize,
    /// 1 or -1 for each column; there is a whole number of blocks.
    pub signs: Arc<[f32]>,
}

impl Rotation {
    /// Reads the signs that belong to the matrix `name` of `inputs` columns.
    pub(super) fn read(tensors: &Tensors, name: &str, inputs: usize, block: usize) -> Result<Self> {
        let name = signs(name);
        let signs = linear::vector(tensors, &name, inputs)?;
        if let Some(other) = signs.iter().find(|sign| sign.abs() != 1.0) {
            return Err(tensors.corrupt(&name, format_args!("holds {other}, but signs are 1 or -1")));
        }
        if block < 2 || !block.is_power_of_two() || !inputs.is_multiple_of(block) {
            let message = format!("are of {inputs} columns, which blocks of {block} don't divide");
            return Err(tensors.corrupt(&name, message));
        }
        Ok(Self { block, signs: signs.into() })
    }
}

impl PartialEq for Rotation {
    fn eq(&self, other: &Self) -> bool {
        self.block == other.block && (Arc::ptr_eq(&self.signs, &other.signs) || self.signs == other.signs)
    }
}

/// The name of the signs of a matrix.
pub(super) fn signs(name: &str) -> String {
    format!("{name}.signs")
}

#[cfg(test)]
impl Rotation {
    /// Blocks of `block` over the signs of some bits.
    pub fn of_bits(block: usize, inputs: usize, bits: impl FnMut() -> u32) -> Self {
        let signs = std::iter::repeat_with(bits).map(|bits| if bits & 1 == 1 { 1.0 } else { -1.0 });
        Self { block, signs: signs.take(inputs).collect() }
    }

    /// A row of the matrix as it was before the rotation was folded in, by the definition.
    pub fn unfold(&self, row: &[f64]) -> Vec<f64> {
        let factor = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        let number = |j: usize| {
            let block = &row[j / self.block * self.block..][..self.block];
            let sum: f64 = block.iter().enumerate().map(|(i, x)| x * factor(i, j % self.block)).sum();
            sum / (self.block as f64).sqrt() * f64::from(self.signs[j])
        };
        (0..row.len()).map(number).collect()
    }
}
