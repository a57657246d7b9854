//! An indexer: keeps keys, and chooses for each row the positions that it sees.

use mlx_rs::{Array, Dtype, ops};

use super::attention::{by_segment, mask};
use super::cache::KvCache;
use super::error::{Fault, Result};
use super::norm::scalar;
use super::{Mlx, raw};
use crate::arch::spec::{self, Indexer};
use crate::backend::{Cache, IndexInput, Rows, Segment};

/// What the rows of each segment see; nothing where that is all before them.
pub(crate) struct Choice(pub(super) Vec<Option<Chosen>>);

/// What the rows of a segment see.
pub(super) enum Chosen {
    /// These positions, for a single row.
    Positions(Array),
    /// Where this is true: `[1, heads or 1, rows, positions]`.
    Mask(Array),
}

/// See [`Backend::choose`](crate::backend::Backend::choose).
pub(super) fn choose(
    input: IndexInput<'_, Mlx>,
    indexer: &Indexer,
    rows: &Rows,
    caches: &mut [&mut KvCache],
) -> Result<Choice> {
    if caches.len() != rows.segments().len() || input.weights.is_some() != indexer.choice.weighted() {
        return Err(Fault::internal(format!("{} caches of {indexer:?} for {rows:?}", caches.len())));
    }
    let (count, head_dim) = (raw::dim(rows.len())?, raw::dim(indexer.head_dim)?);
    let heads = |x: &Array, heads: usize| by_segment(&x.reshape(&[count, raw::dim(heads)?, head_dim])?, rows, None);
    let (queries, keys) = (heads(&input.queries.0, indexer.heads)?, heads(&input.keys.0, 1)?);
    let mut chosen = Vec::with_capacity(caches.len());
    for (((segment, cache), queries), keys) in rows.segments().iter().zip(caches).zip(queries).zip(keys) {
        if cache.len() != segment.position {
            return Err(Fault::internal(format!("position {} with {} index keys", segment.position, cache.len())));
        }
        let keys = cache.append_index(keys, segment.len)?;
        if segment.position + segment.len <= indexer.choice.limit() {
            chosen.push(None);
            continue;
        }
        let range = segment.start..segment.start + segment.len;
        let weights = input.weights.map(|weights| raw::slice_axis(&weights.0, 0, range)).transpose()?;
        chosen.push(Some(choose_segment(&queries, &keys, weights.as_ref(), indexer, segment)?));
    }
    Ok(Choice(chosen))
}

/// Some rows at a time, so that their scores take a bounded room.
fn choose_segment(
    queries: &Array,
    keys: &Array,
    weights: Option<&Array>,
    indexer: &Indexer,
    segment: &Segment,
) -> Result<Chosen> {
    let positions = segment.position + segment.len;
    // Scores are compared, so that what is lost of them counts.
    let keys = keys.as_dtype(Dtype::Float32)?.swap_axes(-1, -2)?;
    let step = (Indexer::MOST_SCORES / (indexer.heads * positions).max(1)).max(1);
    let mut masks = Vec::new();
    for first in (0..segment.len).step_by(step) {
        let range = first..(first + step).min(segment.len);
        let own = Segment { start: 0, len: range.len(), position: segment.position + first };
        let queries = raw::slice_axis(queries, 2, range.clone())?.as_dtype(Dtype::Float32)?;
        // Keys behind these rows' own are masked.
        let scores = queries.matmul(&keys)?;
        let causal = match segment.len {
            1 => None,
            _ => Some(seen(&own, positions)?),
        };
        let mask = match indexer.choice {
            spec::Choice::Positions { count } => {
                let weights = weights.ok_or_else(|| Fault::internal("an indexer without weights"))?;
                let weights = raw::slice_axis(weights, 0, range)?.as_dtype(Dtype::Float32)?;
                let weights = weights.swap_axes(0, 1)?.expand_dims(0)?.expand_dims(-1)?;
                let scores = ops::maximum(&scores, scalar(0.0, Dtype::Float32)?)?.multiply(&weights)?;
                let scores = masked(&scores.sum_axis(1, true)?, causal.as_ref())?;
                let indices = highest(&scores, count)?;
                if segment.len == 1 {
                    return Ok(Chosen::Positions(indices.reshape(&[-1])?));
                }
                marks(&scores, &indices)?
            }
            spec::Choice::Blocks { size, count, local } => {
                blocks(&masked(&scores, causal.as_ref())?, &own, [size, count, local])?
            }
        };
        masks.push(match causal {
            Some(causal) => mask.logical_and(&causal)?,
            None => mask,
        });
    }
    Ok(Chosen::Mask(match masks.len() {
        1 => masks.remove(0),
        _ => ops::concatenate(&masks, 2)?,
    }))
}

/// `[rows, positions]`: which positions each row may see.
fn seen(segment: &Segment, positions: usize) -> Result<Array> {
    let own = mask(segment, 0, positions, None)?;
    let behind = positions - segment.position - segment.len;
    if behind == 0 {
        return Ok(own);
    }
    let behind = ops::zeros_dtype(&[raw::dim(segment.len)?, raw::dim(behind)?], Dtype::Bool)?;
    Ok(ops::concatenate(&[&own, &behind], 1)?)
}

pub(super) fn masked(scores: &Array, mask: Option<&Array>) -> Result<Array> {
    match mask {
        Some(mask) => Ok(ops::select(mask, scores, scalar(f32::NEG_INFINITY, Dtype::Float32)?)?),
        None => Ok(scores.reshape(scores.shape())?),
    }
}

/// The indices of the highest numbers of the last axis, of which there are more.
pub(super) fn highest(scores: &Array, count: usize) -> Result<Array> {
    let all = usize::try_from(scores.dim(-1)).unwrap_or(0);
    let lowest = raw::dim(all.saturating_sub(count))?;
    raw::slice_axis(&ops::argpartition_axis(scores, lowest, -1)?, scores.ndim() - 1, all - count..all)
}

/// True at some indices of the last axis of an array like `like`.
pub(super) fn marks(like: &Array, indices: &Array) -> Result<Array> {
    let none = ops::zeros_dtype(like.shape(), Dtype::Bool)?;
    Ok(none.put_along_axis(indices, Array::from_bool(true), -1)?)
}

/// The positions of the chosen blocks.
fn blocks(scores: &Array, segment: &Segment, [size, count, local]: [usize; 3]) -> Result<Array> {
    let (heads, rows, positions) = (scores.dim(1), scores.dim(2), scores.dim(3));
    let whole = usize::try_from(positions).unwrap_or(0);
    let (known, size_dim) = (raw::dim(whole.div_ceil(size))?, raw::dim(size)?);
    let pad = known * size_dim - positions;
    let padding = ops::full::<f32>(&[1, heads, rows, pad], scalar(f32::NEG_INFINITY, Dtype::Float32)?)?;
    let padded = if pad == 0 { None } else { Some(ops::concatenate(&[scores, &padding], 3)?) };
    let by_block = padded.as_ref().unwrap_or(scores).reshape(&[1, heads, rows, known, size_dim])?;
    let best = by_block.max_axis(-1, false)?;
    let first = raw::dim(segment.position)?;
    let at = ops::arange::<i32, i32>(first, first + rows, None)?.floor_divide(Array::from_int(size_dim))?;
    let at = at.expand_dims(1)?;
    let ids = ops::arange::<i32, i32>(0, known, None)?.expand_dims(0)?;
    let near = ids.le(&at)?.logical_and(ids.gt(&at.subtract(Array::from_int(raw::dim(local)?))?)?)?;
    let best = ops::select(&near, scalar(f32::INFINITY, Dtype::Float32)?, &best)?;
    let kept = marks(&best, &highest(&best, count)?)?.expand_dims(-1)?;
    let spread = ops::broadcast_to(&kept, &[1, heads, rows, known, size_dim])?;
    raw::slice_axis(&spread.reshape(&[1, heads, rows, known * size_dim])?, 3, 0..whole)
}
