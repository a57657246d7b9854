//! What becomes of a file's blocks, for those who want to know.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tensor::Blocks;
use crate::error::Result;
use crate::weights::Dtype;

/// What the tensors of one number format of a GGUF file become.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conversion {
    /// The format in the file.
    pub from: String,
    /// The format that is computed with.
    pub to: String,
    /// How many tensors.
    pub tensors: usize,
    /// Bytes once they are loaded.
    pub bytes: u64,
    /// The root of the mean square of what numbers lose, relative to that of the numbers; measured on a few rows of
    /// each tensor. 0 where every number stays what it is.
    pub relative_error: f64,
}

impl Conversion {
    /// Of some tensors, whose affine scales become `dtype`.
    pub(crate) fn of<'a>(all: impl Iterator<Item = &'a Blocks>, dtype: Dtype) -> Result<Vec<Self>> {
        let mut found: BTreeMap<String, (Self, [f64; 2])> = BTreeMap::new();
        for blocks in all {
            let Some(target) = blocks.target() else { continue };
            let (conversion, sums) = found.entry(blocks.block.to_string()).or_insert_with(|| {
                let (from, to) = (blocks.block.to_string(), target.to_string());
                (Self { from, to, tensors: 0, bytes: 0, relative_error: 0.0 }, [0.0; 2])
            });
            conversion.tensors += 1;
            conversion.bytes += blocks.loaded_bytes();
            let [error, power] = blocks.loss(dtype)?;
            sums[0] += error;
            sums[1] += power;
        }
        Ok(found
            .into_values()
            .map(|(conversion, sums)| Self { relative_error: relative(sums), ..conversion })
            .collect())
    }
}

/// The root of errors relative to that of numbers, from the sums of their squares.
pub(super) fn relative([error, power]: [f64; 2]) -> f64 {
    if power > 0.0 { (error / power).sqrt() } else { 0.0 }
}
