//! Rotations that are folded into matrices. Computed in f32, as the matrices were made for it.

use mlx_rs::{Array, Dtype};

use super::error::Result;
use super::linear::cast;
use super::raw;
use crate::weights;

/// See [`weights::Rotation`].
pub(super) struct Rotation {
    /// Columns that are mixed with each other.
    block: i32,
    /// f32, one a column.
    pub signs: Array,
    /// The two factors that a block's matrix is the Kronecker product of, all 1 and -1; the second is at least as wide.
    factors: [Array; 2],
}

impl Rotation {
    /// Takes over the signs.
    pub fn load(rotation: &weights::Rotation) -> Result<Self> {
        let signs = Array::from_slice(&rotation.signs, &[raw::dim(rotation.signs.len())?]);
        let first = 1 << (rotation.block.ilog2() / 2);
        let factors = [hadamard(first)?, hadamard(rotation.block / first)?];
        Ok(Self { block: raw::dim(rotation.block)?, signs, factors })
    }

    /// Rows as the rotated matrix takes them in.
    pub fn apply(&self, x: &Array) -> Result<Array> {
        let signed = cast(x.clone(), Dtype::Float32)?.multiply(&self.signs)?;
        cast(self.transform(&signed)?, x.dtype())
    }

    /// Rows of the rotated matrix as they were before.
    pub fn invert(&self, rows: &Array) -> Result<Array> {
        let turned = self.transform(&cast(rows.clone(), Dtype::Float32)?)?;
        cast(turned.multiply(&self.signs)?, rows.dtype())
    }

    /// MLX 0.32.2 fails in its own transform on CUDA.
    fn transform(&self, x: &Array) -> Result<Array> {
        if cfg!(target_vendor = "apple") { self.at_once(x) } else { self.by_products(x) }
    }

    /// By MLX's transform.
    pub(super) fn at_once(&self, x: &Array) -> Result<Array> {
        Ok(x.reshape(&[-1, self.block])?.hadamard_transform(self.scale())?.reshape(x.shape())?)
    }

    /// By the two factors.
    pub(super) fn by_products(&self, x: &Array) -> Result<Array> {
        let [first, second] = &self.factors;
        let blocks = x.reshape(&[-1, first.dim(0), second.dim(0)])?;
        let turned = first.matmul(blocks.matmul(second)?)?;
        Ok(turned.multiply(Array::from_f32(self.scale()))?.reshape(x.shape())?)
    }

    fn scale(&self) -> f32 {
        1.0 / (self.block as f32).sqrt()
    }
}

/// The Walsh-Hadamard matrix of a power of two in Sylvester's order, which is symmetric.
fn hadamard(size: usize) -> Result<Array> {
    let sign = |index: usize| match ((index / size) & (index % size)).count_ones().is_multiple_of(2) {
        true => 1.0,
        false => -1.0,
    };
    let signs: Vec<f32> = (0..size * size).map(sign).collect();
    Ok(Array::from_slice(&signs, &[raw::dim(size)?, raw::dim(size)?]))
}
