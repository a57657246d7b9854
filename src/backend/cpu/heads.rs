//! Operations on the parts that heads have of a row.

use std::ops::Range;

use super::Cpu;
use super::activation::columns;
use super::elementwise::rows;
use super::linear::Linear;
use super::rope::Rope;
use super::simd::Level;
use super::tensor::Tensor;
use crate::backend::{HeadPart, Rows};
use crate::error::{Error, Result};
use crate::weights::LinearData;

/// A matrix for each head.
pub(crate) struct Heads {
    matrices: Vec<Linear>,
    inputs: usize,
    outputs: usize,
}

impl Heads {
    /// Takes over stacked matrices, as a view for each head.
    pub(super) fn load(level: Level, data: &LinearData, heads: usize) -> Result<Self> {
        if heads == 0 || !data.outputs.is_multiple_of(heads) {
            return Err(Error::internal(format!("{} rows of {heads} heads", data.outputs)));
        }
        let outputs = data.outputs / heads;
        let matrix = |head: usize| Linear::load(level, &[data.rows(head * outputs..(head + 1) * outputs)]);
        Ok(Self { matrices: (0..heads).map(matrix).collect::<Result<_>>()?, inputs: data.inputs, outputs })
    }
}

/// See [`Backend::heads_linear`](crate::backend::Backend::heads_linear).
pub(super) fn heads_linear(cpu: &Cpu, x: &Tensor, heads: &Heads) -> Result<Tensor> {
    let Heads { matrices, inputs, outputs } = heads;
    x.expect_width(matrices.len() * inputs, "matrices of heads")?;
    let width = matrices.len() * outputs;
    let mut out = cpu.arena.allocate(x.rows() * width)?;
    for (head, matrix) in matrices.iter().enumerate() {
        let own = columns(cpu, x, head * inputs..(head + 1) * inputs)?;
        let y = super::matmul::linear(cpu, &own, matrix)?;
        for (y, out) in y.data().chunks_exact(*outputs).zip(out.chunks_exact_mut(width)) {
            out[head * outputs..][..*outputs].copy_from_slice(y);
        }
    }
    Ok(Tensor::new(out, x.rows(), width))
}

/// See [`Backend::join_heads`](crate::backend::Backend::join_heads).
pub(super) fn join_heads(cpu: &Cpu, parts: &[HeadPart<'_, Cpu>], heads: usize) -> Result<Tensor> {
    let mut count = None;
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        let (data, stride, width) = match part {
            HeadPart::Own(tensor) => (tensor.data(), tensor.width(), tensor.width() / heads.max(1)),
            HeadPart::Shared(tensor) => (tensor.data(), tensor.width(), tensor.width()),
            HeadPart::Zeros(width) => (&[][..], 0, *width),
        };
        if let HeadPart::Own(tensor) | HeadPart::Shared(tensor) = part
            && (*count.get_or_insert(tensor.rows()) != tensor.rows() || !tensor.width().is_multiple_of(width.max(1)))
        {
            return Err(Error::internal(format!("{heads} heads of {} × {}", tensor.rows(), tensor.width())));
        }
        pieces.push((data, stride, width));
    }
    let head_width: usize = pieces.iter().map(|(.., width)| width).sum();
    rows(cpu, count.unwrap_or(0), heads * head_width, |first, out| {
        for (index, out) in out.chunks_exact_mut(head_width.max(1)).enumerate() {
            let (row, head) = (first + index / heads, index % heads);
            let mut at = 0;
            for &(data, stride, width) in &pieces {
                let out = &mut out[at..at + width];
                match stride {
                    0 => out.fill(0.0),
                    stride if stride == width => out.copy_from_slice(&data[row * stride..][..width]),
                    stride => out.copy_from_slice(&data[row * stride + head * width..][..width]),
                }
                at += width;
            }
        }
    })
}

/// See [`Backend::rotate`](crate::backend::Backend::rotate).
pub(super) fn rotate(cpu: &Cpu, x: &Tensor, heads: usize, rope: &Rope, batch: &Rows) -> Result<Tensor> {
    let (width, data) = (x.width(), x.data());
    let head_dim = width / heads.max(1);
    if heads == 0 || !width.is_multiple_of(heads) || rope.dims() > head_dim || x.rows() != batch.len() {
        return Err(Error::internal(format!("{heads} heads of {} × {width} to rotate", x.rows())));
    }
    let angles = rope.angles(batch);
    let angles = &*angles;
    rows(cpu, x.rows(), width, |first, out| {
        out.copy_from_slice(&data[first * width..][..out.len()]);
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            out.chunks_exact_mut(head_dim).for_each(|head| angles.rotate(first + row, head));
        }
    })
}

/// See [`Backend::head_columns`](crate::backend::Backend::head_columns).
pub(super) fn head_columns(cpu: &Cpu, x: &Tensor, heads: usize, columns: Range<usize>) -> Result<Tensor> {
    let width = x.width() / heads.max(1);
    if heads == 0 || !x.width().is_multiple_of(heads) || columns.start > columns.end || columns.end > width {
        return Err(Error::internal(format!("columns {columns:?} of {heads} heads in {}", x.width())));
    }
    let data = x.data();
    rows(cpu, x.rows(), heads * columns.len(), |first, out| {
        let heads_of = data[first * heads * width..].chunks_exact(width);
        for (head, out) in heads_of.zip(out.chunks_exact_mut(columns.len().max(1))) {
            out.copy_from_slice(&head[columns.clone()]);
        }
    })
}
