//! Operations on the parts that heads have of a row.

use std::ops::Range;

use mlx_rs::{Array, ops};

use super::Mlx;
use super::error::{Fault, Result};
use super::experts::Stacked;
use super::raw;
use crate::backend::HeadPart;

/// A matrix for each head.
pub(crate) struct Heads {
    pub(super) matrices: Stacked,
    pub(super) heads: i32,
}

/// See [`Backend::heads_linear`](crate::backend::Backend::heads_linear).
pub(super) fn heads_linear(x: &Array, heads: &Heads) -> Result<Array> {
    // A batch of matrices, one a head, each with all rows.
    let rows = x.dim(0);
    let x = x.reshape(&[rows, heads.heads, -1])?.swap_axes(0, 1)?;
    Ok(heads.matrices.batched(&x)?.swap_axes(0, 1)?.reshape(&[rows, -1])?)
}

/// See [`Backend::join_heads`](crate::backend::Backend::join_heads).
pub(super) fn join_heads(parts: &[HeadPart<'_, Mlx>], heads: usize) -> Result<Array> {
    let known = parts.iter().find_map(|part| match part {
        HeadPart::Own(tensor) | HeadPart::Shared(tensor) => Some((tensor.0.dim(0), tensor.0.dtype())),
        HeadPart::Zeros(_) => None,
    });
    let (rows, dtype) = known.ok_or_else(|| Fault::internal("heads of nothing"))?;
    let heads = raw::dim(heads)?;
    let part = |part: &HeadPart<'_, Mlx>| {
        Ok(match part {
            HeadPart::Own(tensor) => tensor.0.reshape(&[rows, heads, -1])?,
            HeadPart::Shared(tensor) => ops::broadcast_to(tensor.0.expand_dims(1)?, &[rows, heads, tensor.0.dim(1)])?,
            HeadPart::Zeros(width) => ops::zeros_dtype(&[rows, heads, raw::dim(*width)?], dtype)?,
        })
    };
    let parts = parts.iter().map(part).collect::<Result<Vec<Array>>>()?;
    Ok(ops::concatenate(&parts, -1)?.reshape(&[rows, -1])?)
}

/// See [`Backend::head_columns`](crate::backend::Backend::head_columns).
pub(super) fn head_columns(x: &Array, heads: usize, columns: Range<usize>) -> Result<Array> {
    let rows = x.dim(0);
    let grouped = x.reshape(&[rows, raw::dim(heads)?, -1])?;
    Ok(raw::slice_axis(&grouped, 2, columns)?.reshape(&[rows, -1])?)
}
