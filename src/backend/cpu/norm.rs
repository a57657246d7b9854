//! Loaded norms.

use super::linear::widen;
use super::memory::{Charge, PROCESS};
use super::simd::Level;
use crate::error::{Error, Result};
use crate::weights::TensorView;

/// A root-mean-square norm. Its weight is small, and so kept as f32.
pub(crate) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) epsilon: f32,
    _charge: Charge,
}

impl Norm {
    /// Takes over a weight `[size]`.
    pub(super) fn load(level: Level, weight: &TensorView, epsilon: f32) -> Result<Self> {
        let size: usize = weight.shape.iter().product();
        if size == 0 {
            return Err(Error::internal(format!("{} is empty", weight.name)));
        }
        let weight = widen(level, weight, size)?;
        let charge = PROCESS.charge(size_of_val(weight.as_slice()));
        Ok(Self { weight, epsilon, _charge: charge })
    }
}
