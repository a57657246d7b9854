//! Entries that stand for several positions: made of them, kept, and chosen for each row.

use std::rc::Rc;

use mlx_rs::{Array, Dtype, ops};

use super::activation::wide;
use super::attention::by_segment;
use super::cache::KvCache;
use super::error::{Fault, Result};
use super::index::{Choice, Chosen, highest, marks, masked};
use super::linear::cast;
use super::norm::scalar;
use super::recurrent::State;
use super::{Mlx, Tensor, raw};
use crate::arch::spec::{Candidates, EntryIndexer, Indexer};
use crate::backend::{Cache, EntryChoice, EntryInput, Rows, Segment};

/// See [`Backend::pool`](crate::backend::Backend::pool).
pub(super) fn pool(x: &Array, ratio: usize, rows: &Rows, states: &mut [State]) -> Result<Option<Tensor>> {
    let both = x.dim(1);
    let width = usize::try_from(both / 2).unwrap_or(0);
    if states.len() != rows.segments().len() || ratio == 0 {
        return Err(Fault::internal(format!("{} states to pool {rows:?} by {ratio}", states.len())));
    }
    let mut pooled = Vec::new();
    for (segment, state) in rows.segments().iter().zip(states) {
        let own = raw::slice_axis(x, 0, segment.start..segment.start + segment.len)?;
        let waiting = segment.position % ratio;
        let all = match state.history.take() {
            Some(before) if before.dim(0) == raw::dim(waiting)? => ops::concatenate(&[&*before, &own], 0)?,
            None if waiting == 0 => own,
            _ => return Err(Fault::internal(format!("rows that wait at position {}", segment.position))),
        };
        let count = waiting + segment.len;
        let full = count / ratio * ratio;
        if full < count {
            state.history = Some(Rc::new(raw::slice_axis(&all, 0, full..count)?));
        }
        if full > 0 {
            let groups = raw::slice_axis(&all, 0, 0..full)?.reshape(&[-1, raw::dim(ratio)?, both])?;
            let numbers = wide(&raw::slice_axis(&groups, 2, 0..width)?)?;
            let gates = wide(&raw::slice_axis(&groups, 2, width..2 * width)?)?;
            let sum = numbers.multiply(ops::softmax_axis(&gates, 1, true)?)?.sum_axis(1, false)?;
            pooled.push(cast(sum, x.dtype())?);
        }
    }
    Ok(match pooled.len() {
        0 => None,
        1 => pooled.pop().map(Tensor::from),
        _ => Some(ops::concatenate(&pooled, 0)?.into()),
    })
}

/// See [`Backend::keep`](crate::backend::Backend::keep).
pub(super) fn keep(x: &Array, rows: &Rows, caches: &mut [&mut KvCache]) -> Result<()> {
    if caches.len() != rows.segments().len() {
        return Err(Fault::internal(format!("{} caches to keep {rows:?}", caches.len())));
    }
    let heads = by_segment(&x.expand_dims(1)?, rows, None)?;
    for ((segment, cache), own) in rows.segments().iter().zip(caches).zip(heads) {
        if cache.len() != segment.position {
            return Err(Fault::internal(format!("entry {} with {} kept", segment.position, cache.len())));
        }
        cache.keep(own, segment.len)?;
    }
    Ok(())
}

/// See [`Backend::choose_entries`](crate::backend::Backend::choose_entries).
pub(super) fn choose_entries(
    input: EntryInput<'_, Mlx>,
    indexer: &EntryIndexer,
    rows: &Rows,
    caches: &[&KvCache],
) -> Result<EntryChoice<Mlx>> {
    if caches.len() != rows.segments().len()
        || input.among.is_some() != matches!(indexer.candidates, Candidates::Of(_))
        || input.among.is_some_and(|among| among.0.len() != caches.len())
    {
        return Err(Fault::internal(format!("{} caches of {indexer:?} for {rows:?}", caches.len())));
    }
    let shape = [raw::dim(rows.len())?, raw::dim(indexer.heads)?, raw::dim(indexer.head_dim)?];
    let queries = by_segment(&input.queries.0.reshape(&shape)?, rows, None)?;
    let (mut chosen, mut candidates) = (Vec::new(), Vec::new());
    for (at, ((segment, cache), queries)) in rows.segments().iter().zip(caches).zip(&queries).enumerate() {
        let entries = (segment.position + segment.len) / indexer.ratio.max(1);
        if cache.len() != entries {
            return Err(Fault::internal(format!("{} keys of {entries} entries", cache.len())));
        }
        if entries == 0 {
            chosen.push(None);
            candidates.push(None);
            continue;
        }
        let weights = raw::slice_axis(&input.weights.0, 0, segment.start..segment.start + segment.len)?;
        let among = match input.among {
            Some(among) => among.0.get(at).and_then(Option::as_ref),
            None => None,
        };
        let (own, left) = choose_segment(queries, &cache.index_keys()?, &weights, among, indexer, segment)?;
        chosen.push(Some(own));
        candidates.push(left);
    }
    let leaves = matches!(indexer.candidates, Candidates::Leaves { .. });
    Ok(EntryChoice { chosen: Choice(chosen), candidates: leaves.then_some(Choice(candidates)) })
}

/// What the rows of a segment see and leave, some rows at a time, so that their scores take a bounded room.
fn choose_segment(
    queries: &Array,
    keys: &Array,
    weights: &Array,
    among: Option<&Chosen>,
    indexer: &EntryIndexer,
    segment: &Segment,
) -> Result<(Chosen, Option<Chosen>)> {
    let entries = usize::try_from(keys.dim(2)).unwrap_or(0);
    // Scores are compared, so that what is lost of them counts.
    let keys = wide(keys)?.swap_axes(-1, -2)?;
    let step = (Indexer::MOST_SCORES / (indexer.heads * entries).max(1)).max(1);
    let (mut seen, mut left) = (Vec::new(), Vec::new());
    for first in (0..segment.len).step_by(step) {
        let range = first..(first + step).min(segment.len);
        let ends = ends(segment.position + range.start, range.len(), indexer.ratio)?;
        let visible = ops::arange::<i32, i32>(0, raw::dim(entries)?, None)?.expand_dims(0)?.lt(&ends)?;
        let among = match among {
            Some(Chosen::Mask(mask)) => Some(raw::slice_axis(mask, 2, range.clone())?),
            Some(Chosen::Positions(_)) => return Err(Fault::internal("candidates that are no mask")),
            None => None,
        };
        let scores = wide(&raw::slice_axis(queries, 2, range.clone())?)?.matmul(&keys)?;
        let weights = wide(&raw::slice_axis(weights, 0, range)?)?.swap_axes(0, 1)?.expand_dims(0)?.expand_dims(-1)?;
        let scores = ops::maximum(&scores, scalar(0.0, Dtype::Float32)?)?.multiply(&weights)?;
        let scores = masked(&scores.sum_axis(1, true)?, Some(&visible))?;
        if let Candidates::Leaves { size, count } = indexer.candidates {
            left.push(best_blocks(&scores, &ends, size, count)?);
        }
        let scores = masked(&scores, among.as_ref())?;
        // Where there are few, those that are no candidates are not among them.
        let seen_here = match (entries > indexer.count, &among) {
            (true, _) => {
                let indices = highest(&scores, indexer.count)?;
                if segment.len == 1 {
                    let left = left.pop().map(Chosen::Mask);
                    return Ok((Chosen::Positions(indices.reshape(&[-1])?), left));
                }
                let chosen = marks(&scores, &indices)?.logical_and(&visible)?;
                match &among {
                    Some(among) => chosen.logical_and(among)?,
                    None => chosen,
                }
            }
            (false, Some(among)) => visible.logical_and(among)?,
            (false, None) => ops::broadcast_to(&visible, scores.shape())?,
        };
        seen.push(seen_here);
    }
    let joined = |mut masks: Vec<Array>| -> Result<Option<Array>> {
        Ok(match masks.len() {
            0 | 1 => masks.pop(),
            _ => Some(ops::concatenate(&masks, 2)?),
        })
    };
    let seen = joined(seen)?.ok_or_else(|| Fault::internal("a segment without rows"))?;
    Ok((Chosen::Mask(seen), joined(left)?.map(Chosen::Mask)))
}

/// `[rows, 1]`: the entries that end with each row or before.
fn ends(position: usize, rows: usize, ratio: usize) -> Result<Array> {
    let positions = ops::arange::<i32, i32>(raw::dim(position + 1)?, raw::dim(position + rows + 1)?, None)?;
    Ok(positions.floor_divide(Array::from_int(raw::dim(ratio)?))?.expand_dims(1)?)
}

/// The entries of the blocks with the highest scores, that of the last entry among them.
fn best_blocks(scores: &Array, ends: &Array, size: usize, count: usize) -> Result<Array> {
    let (rows, entries) = (scores.dim(2), scores.dim(3));
    let whole = usize::try_from(entries).unwrap_or(0);
    let known = whole.div_ceil(size);
    if known <= count {
        return Ok(ops::ones_dtype(scores.shape(), Dtype::Bool)?);
    }
    let (blocks, size_dim) = (raw::dim(known)?, raw::dim(size)?);
    let pad = blocks * size_dim - entries;
    let padding = ops::full::<f32>(&[1, 1, rows, pad], scalar(f32::NEG_INFINITY, Dtype::Float32)?)?;
    let padded = if pad == 0 { None } else { Some(ops::concatenate(&[scores, &padding], 3)?) };
    let by_block = padded.as_ref().unwrap_or(scores).reshape(&[1, 1, rows, blocks, size_dim])?;
    let best = by_block.max_axis(-1, false)?;
    let last = ends.subtract(Array::from_int(1))?.floor_divide(Array::from_int(size_dim))?;
    let ids = ops::arange::<i32, i32>(0, blocks, None)?.expand_dims(0)?;
    // Without entries the last block is none.
    let newest = ids.eq(&last)?.logical_and(ends.gt(Array::from_int(0))?)?;
    let best = ops::select(&newest, scalar(f32::INFINITY, Dtype::Float32)?, &best)?;
    let kept = marks(&best, &highest(&best, count)?)?.expand_dims(-1)?;
    let spread = ops::broadcast_to(&kept, &[1, 1, rows, blocks, size_dim])?;
    raw::slice_axis(&spread.reshape(&[1, 1, rows, blocks * size_dim])?, 3, 0..whole)
}
