//! Activations: rows of f32 numbers, shared by reference count.

use std::rc::Rc;

use super::buffer::Buffer;
use crate::error::{Error, Result};

/// A matrix `rows × width`, row-major.
#[derive(Clone)]
pub(crate) struct Tensor {
    data: Rc<Buffer>,
    rows: usize,
    width: usize,
}

impl Tensor {
    /// Takes over a buffer of `rows * width` floats.
    pub(super) fn new(data: Buffer, rows: usize, width: usize) -> Self {
        debug_assert_eq!(data.len(), rows * width);
        Self { data: Rc::new(data), rows, width }
    }

    /// All numbers, row by row.
    pub(super) fn data(&self) -> &[f32] {
        &self.data
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// One row.
    pub(super) fn row(&self, row: usize) -> Result<&[f32]> {
        if row >= self.rows {
            return Err(Error::internal(format!("row {row} of a tensor with {} rows", self.rows)));
        }
        Ok(&self.data[row * self.width..][..self.width])
    }

    /// Fails unless rows have the given width.
    pub(super) fn expect_width(&self, width: usize, what: &str) -> Result<()> {
        if self.width != width {
            return Err(Error::internal(format!("{what} needs rows of {width} numbers, got {}", self.width)));
        }
        Ok(())
    }
}
