//! Rotations that are folded into matrices. Computed in f32, as the matrices were made for it.

use mlx_rs::{Array, Dtype};

use super::error::Result;
use super::linear::cast;
use super::raw;
use crate::weights;

/// See [`weights::Rotation`].
pub(super) struct Rotation {
    block: i32,
    /// f32, one a column.
    pub signs: Array,
}

impl Rotation {
    /// Takes over the signs.
    pub fn load(rotation: &weights::Rotation) -> Result<Self> {
        let signs = Array::from_slice(&rotation.signs, &[raw::dim(rotation.signs.len())?]);
        Ok(Self { block: raw::dim(rotation.block)?, signs })
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

    fn transform(&self, x: &Array) -> Result<Array> {
        let blocks = x.reshape(&[-1, self.block])?;
        Ok(blocks.hadamard_transform(1.0 / (self.block as f32).sqrt())?.reshape(x.shape())?)
    }
}
