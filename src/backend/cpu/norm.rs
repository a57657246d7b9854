//! Loaded norms.

use super::Cpu;
use super::kernels::{NormPieces, NormRows};
use super::linear::widen;
use super::memory::{Charge, PROCESS};
use super::simd::Level;
use super::tensor::Tensor;
use crate::arch::spec::NormKind;
use crate::error::{Error, Result};
use crate::weights::NormData;

/// A norm. Its numbers are few, and so kept as f32.
pub(crate) struct Norm {
    /// Of all heads that have weights of their own, one after the other.
    pub(super) weight: Vec<f32>,
    pub(super) epsilon: f32,
    bias: Vec<f32>,
    /// Factors before anything else happens; none where all are 1.
    input: Vec<f32>,
    kind: NormKind,
    size: usize,
    _charge: Charge,
}

impl Norm {
    /// Takes over a norm's numbers.
    pub(super) fn load(level: Level, data: &NormData) -> Result<Self> {
        let NormData { kind, size, heads, epsilon, offset, factor, .. } = *data;
        if size == 0 || heads == 0 {
            return Err(Error::internal(format!("a norm of width {size} for {heads} heads")));
        }
        let mut weight = Vec::with_capacity(size * heads);
        for view in &data.weights {
            weight.extend(widen(level, view, view.shape.iter().product())?);
        }
        if data.weights.is_empty() {
            weight.resize(size * heads, 1.0);
        }
        if weight.len() != size * heads {
            return Err(Error::internal(format!("{} weights of a norm of {heads} times {size}", weight.len())));
        }
        for weight in &mut weight {
            *weight = (*weight + offset) * factor;
        }
        if let Some(times) = &data.times {
            for (weight, times) in weight.iter_mut().zip(widen(level, times, size)?.iter().cycle()) {
                *weight *= times;
            }
        }
        let bias = data.bias.as_ref().map_or(Ok(Vec::new()), |bias| widen(level, bias, size * heads))?;
        let input = data.input.as_ref().map_or(Ok(Vec::new()), |input| widen(level, input, size))?;
        let charge = PROCESS.charge((weight.len() + bias.len() + input.len()) * size_of::<f32>());
        Ok(Self { weight, epsilon, bias, input, kind, size, _charge: charge })
    }

    /// Width that is normalised.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether all pieces share one weight and nothing but the root mean square counts.
    pub(super) fn is_simple(&self) -> bool {
        self.kind == NormKind::Rms && self.bias.is_empty() && self.input.is_empty() && self.weight.len() == self.size
    }

    /// Norms pieces of the norm's size; where heads have weights of their own, the first is the first head's.
    pub(super) fn apply(&self, level: Level, x: &[f32], out: &mut [f32]) {
        if !self.input.is_empty() {
            let scaled: Vec<f32> = x.iter().zip(self.input.iter().cycle()).map(|(x, factor)| x * factor).collect();
            return self.apply_scaled(level, &scaled, out);
        }
        if self.is_simple() {
            return level.run(NormRows { x, weight: &self.weight, epsilon: self.epsilon, out });
        }
        self.apply_scaled(level, x, out);
    }

    /// [`apply`](Self::apply) behind the factors.
    fn apply_scaled(&self, level: Level, x: &[f32], out: &mut [f32]) {
        level.run(NormPieces {
            x,
            size: self.size,
            weight: &self.weight,
            bias: &self.bias,
            centered: self.kind == NormKind::Layer,
            epsilon: self.epsilon,
            out,
        });
    }
}

/// The norm of each row, or of each piece of it.
pub(super) fn norm(cpu: &Cpu, x: &Tensor, norm: &Norm) -> Result<Tensor> {
    if !x.width().is_multiple_of(norm.weight.len()) {
        return Err(Error::internal(format!("a norm of {} numbers in rows of {}", norm.weight.len(), x.width())));
    }
    let (width, data, level) = (x.width(), x.data(), cpu.level);
    super::elementwise::rows(cpu, x.rows(), width, |first, out| {
        norm.apply(level, &data[first * width..][..out.len()], out);
    })
}

/// Queries and keys with those norms applied that [`prepare`](super::prepare) can't take along: those over all heads
/// together, and those with a weight for each head.
pub(super) fn norm_heads(
    cpu: &Cpu,
    qkv: &Tensor,
    query: Option<&Norm>,
    key: Option<&Norm>,
    (query_width, key_width): (usize, usize),
) -> Result<Tensor> {
    for (norm, width) in [(query, query_width), (key, key_width)] {
        if let Some(norm) = norm
            && (!width.is_multiple_of(norm.weight.len()) || query_width + key_width > qkv.width())
        {
            return Err(Error::internal(format!("a norm of {} numbers for heads of {width}", norm.weight.len())));
        }
    }
    let (width, data, level) = (qkv.width(), qkv.data(), cpu.level);
    super::elementwise::rows(cpu, qkv.rows(), width, |first, out| {
        let rows = data[first * width..][..out.len()].chunks_exact(width);
        for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
            let (parts, rest) = row.split_at(query_width + key_width);
            let (out_parts, out_rest) = out.split_at_mut(query_width + key_width);
            out_rest.copy_from_slice(rest);
            let (queries, keys) = parts.split_at(query_width);
            let (out_queries, out_keys) = out_parts.split_at_mut(query_width);
            for (norm, x, out) in [(query, queries, out_queries), (key, keys, out_keys)] {
                match norm {
                    Some(norm) => norm.apply(level, x, out),
                    None => out.copy_from_slice(x),
                }
            }
        }
    })
}
