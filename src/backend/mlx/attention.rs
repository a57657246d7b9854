//! Attention, one sequence at a time: a batch has no padding, and a row never depends on other sequences.

use mlx_rs::fast::{self, ScaledDotProductAttentionMask as Mask};
use mlx_rs::{Array, Dtype, ops};

use super::activation::softcap;
use super::cache::{KvCache, Positions, Visible};
use super::error::{Fault, Result};
use super::index::Chosen;
use super::linear::cast;
use super::norm::{Norm, scalar};
use super::{Mlx, raw};
use crate::arch::spec::{self, QueryGrowth, SparseBlocks};
use crate::backend::{AttentionParams, Cache, Rows, Segment};

/// Prepared rotary frequencies.
pub(crate) struct Rope {
    /// What MLX divides positions by, `[dims / 2]`.
    periods: Array,
    dims: i32,
    traditional: bool,
    magnitude: f32,
}

impl Rope {
    /// Takes the spec's frequencies over.
    pub fn load(rope: &spec::Rope) -> Result<Self> {
        if rope.dims == 0 || rope.dims != 2 * rope.inverse_frequencies.len() {
            let found = rope.inverse_frequencies.len();
            return Err(Fault::internal(format!("{found} rotary frequencies for {} dimensions", rope.dims)));
        }
        // A frequency of 0 becomes an infinite period, which MLX turns back into 0.
        let periods: Vec<f32> = rope.inverse_frequencies.iter().map(|f| 1.0 / f).collect();
        let periods = Array::from_slice(&periods, &[raw::dim(periods.len())?]);
        Ok(Self { periods, dims: raw::dim(rope.dims)?, traditional: rope.traditional, magnitude: rope.magnitude })
    }

    /// Rotates `[batch, heads, positions, head_dim]`.
    fn apply(&self, x: &Array, offsets: &Offsets) -> Result<Array> {
        let scaled = self.scale(x)?;
        let x = scaled.as_ref().unwrap_or(x);
        let (dims, traditional, periods) = (self.dims, self.traditional, &self.periods);
        Ok(match offsets {
            Offsets::One(first) => fast::rope(x, dims, traditional, None, 1.0, *first, periods)?,
            Offsets::Each(first) => fast::rope_dynamic(x, dims, traditional, None, 1.0, first, periods)?,
        })
    }

    /// The rotated dimensions times the magnitude; nothing when that is 1.
    fn scale(&self, x: &Array) -> Result<Option<Array>> {
        if self.magnitude == 1.0 {
            return Ok(None);
        }
        let width = x.shape().last().copied().unwrap_or(0);
        let factors: Vec<f32> = (0..width).map(|i| if i < self.dims { self.magnitude } else { 1.0 }).collect();
        let factors = cast(Array::from_slice(&factors, &[width]), x.dtype())?;
        Ok(Some(x.multiply(&factors)?))
    }
}

/// The position of the first row, for the whole array or for each entry of its batch dimension.
enum Offsets {
    One(i32),
    Each(Array),
}

/// [`crate::backend::Backend::attention`].
pub(super) fn attention(
    qkv: &Array,
    params: &AttentionParams<'_, Mlx>,
    rows: &Rows,
    caches: &mut [&mut KvCache],
) -> Result<Array> {
    if caches.len() != rows.segments().len() {
        return Err(Fault::internal(format!("{} caches for {} sequences", caches.len(), rows.segments().len())));
    }
    let (heads, kv_heads) = (params.heads, params.kv_heads);
    let (keys_end, all) = (heads + kv_heads, heads + 2 * kv_heads);
    let x = qkv.reshape(&[raw::dim(rows.len())?, raw::dim(all)?, raw::dim(params.head_dim)?])?;
    let extras = &params.extras;
    let values = raw::slice_axis(&x, 1, keys_end..all)?;
    let values = extras.value_norm.map(|norm| norm.apply(&values)).transpose()?.unwrap_or(values);
    let values = by_segment(&values, rows, None)?;
    let (queries, keys): (Vec<Array>, Vec<Array>) = if params.query_norm.is_none() && params.key_norm.is_none() {
        // Queries and keys turn alike, so one rotation does for both.
        let both = by_segment(&raw::slice_axis(&x, 1, 0..keys_end)?, rows, params.rope)?;
        let split =
            |both: &Array| Ok((raw::slice_axis(both, 1, 0..heads)?, raw::slice_axis(both, 1, heads..keys_end)?));
        both.iter().map(split).collect::<Result<Vec<_>>>()?.into_iter().unzip()
    } else {
        let part = |range, norm| normed_heads(&raw::slice_axis(&x, 1, range)?, norm, params, rows);
        (part(0..heads, params.query_norm)?, part(heads..keys_end, params.key_norm)?)
    };
    let mut outputs = Vec::with_capacity(caches.len());
    let mut heads = queries.into_iter().zip(keys).zip(values);
    if let Some(choice) = params.extras.chosen
        && choice.0.len() != caches.len()
    {
        return Err(Fault::internal(format!("a choice for {} of {} sequences", choice.0.len(), caches.len())));
    }
    for (index, (segment, cache)) in rows.segments().iter().zip(caches).enumerate() {
        let Some(((queries, keys), values)) = heads.next() else {
            return Err(Fault::internal("fewer heads than sequences"));
        };
        if cache.len() != segment.position {
            return Err(Fault::internal(format!("position {} with {} cached", segment.position, cache.len())));
        }
        let queries = if params.extras.wide_scores { cast(queries, Dtype::Float32)? } else { queries };
        let visible = cache.append(keys, values, segment.len)?;
        let chosen = params.extras.chosen.and_then(|choice| choice.0.get(index)?.as_ref());
        let far = match params.extras.far {
            Some(far) => far.caches.get(index).zip(far.chosen.0.get(index).and_then(Option::as_ref)),
            None => None,
        };
        outputs.push(match far {
            Some((entries, chosen)) => attend_far(&queries, &visible, segment, params, entries, chosen)?,
            None => attend(&queries, &visible, segment, params, chosen)?,
        });
    }
    let joined = join(outputs)?;
    if params.extras.wide_scores { cast(joined, qkv.dtype()) } else { Ok(joined) }
}

/// Attends to a window and to chosen entries of another cache.
fn attend_far(
    queries: &Array,
    visible: &Visible,
    segment: &Segment,
    params: &AttentionParams<'_, Mlx>,
    entries: &KvCache,
    chosen: &Chosen,
) -> Result<Array> {
    let extras = &params.extras;
    if extras.chosen.is_some() || extras.chunk.is_some() || extras.blocks.is_some() || extras.query_growth.is_some() {
        return Err(Fault::internal("entries together with choices, chunks, blocks or growth"));
    }
    let entries = entries.visible(0)?;
    let (all, mask) = match chosen {
        Chosen::Positions(indices) => (visible.with(&entries.take(indices)?)?, None),
        Chosen::Mask(far) => {
            let end = segment.position + segment.len;
            let own = mask(segment, visible.start, params.window.unwrap_or(end), None)?;
            let own = ops::broadcast_to(&own, &[1, 1, own.dim(0), own.dim(1)])?;
            (visible.with(&entries)?, Some(ops::concatenate(&[&own, far], 3)?))
        }
    };
    let sinks = extras.sinks.map(|sinks| cast_ref(sinks, queries.dtype())).transpose()?;
    let y = match (&all.keys, &all.values) {
        (Positions::Floats(keys), Positions::Floats(values)) if extras.softcap.is_none() => {
            let mask = mask.as_ref().map(Mask::Array);
            fast::scaled_dot_product_attention(queries, keys, values, params.scale, mask, sinks.as_ref())?
        }
        _ => composed(queries, &all, mask.as_ref(), sinks.as_ref(), params)?,
    };
    flat(&y, segment, params)
}

/// [`crate::backend::Backend::attention_shared`].
pub(super) fn attention_shared(
    queries: &Array,
    params: &AttentionParams<'_, Mlx>,
    rows: &Rows,
    caches: &[&KvCache],
) -> Result<Array> {
    let shape = [raw::dim(rows.len())?, raw::dim(params.heads)?, raw::dim(params.head_dim)?];
    let queries = normed_heads(&queries.reshape(&shape)?, params.query_norm, params, rows)?;
    let mut outputs = Vec::with_capacity(caches.len());
    for ((segment, cache), queries) in rows.segments().iter().zip(caches).zip(&queries) {
        if cache.len() != segment.position + segment.len {
            return Err(Fault::internal(format!("position {} with {} cached", segment.position, cache.len())));
        }
        outputs.push(attend(queries, &cache.visible(segment.position)?, segment, params, None)?);
    }
    join(outputs)
}

/// [`crate::backend::Backend::rotate`].
pub(super) fn rotate(x: &Array, heads: usize, rope: &Rope, rows: &Rows) -> Result<Array> {
    let (count, width) = (x.dim(0), x.dim(1));
    let grouped = x.reshape(&[count, raw::dim(heads)?, width / raw::dim(heads.max(1))?])?;
    let turned = by_segment(&grouped, rows, Some(rope))?;
    let flat = |x: &Array| Ok(x.transpose_axes(&[0, 2, 1, 3])?.reshape(&[-1, width])?);
    join(turned.iter().map(flat).collect::<Result<_>>()?)
}

/// Norms and rotates `[rows, heads, head_dim]`, in the order that the model has; as [`by_segment`] gives them.
fn normed_heads(x: &Array, norm: Option<&Norm>, params: &AttentionParams<'_, Mlx>, rows: &Rows) -> Result<Vec<Array>> {
    let Some(norm) = norm else { return by_segment(x, rows, params.rope) };
    if params.extras.norm_after_rope {
        let turned = by_segment(x, rows, params.rope)?;
        return turned.iter().map(|x| norm.apply(x)).collect();
    }
    let width = x.shape().iter().skip(1).product::<i32>();
    let normed = if norm.width() == width {
        // Over all heads together, or with a weight for each head.
        norm.apply(&x.reshape(&[x.dim(0), width])?)?.reshape(x.shape())?
    } else {
        norm.apply(x)?
    };
    by_segment(&normed, rows, params.rope)
}

/// The results of all sequences, one after the other.
fn join(mut outputs: Vec<Array>) -> Result<Array> {
    match (outputs.pop(), outputs.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            outputs.extend(last);
            Ok(ops::concatenate(&outputs, 0)?)
        }
    }
}

/// `[rows, heads, head_dim]` as `[1, heads, rows, head_dim]` for each sequence, rotated.
pub(super) fn by_segment(x: &Array, rows: &Rows, rope: Option<&Rope>) -> Result<Vec<Array>> {
    let (heads, width) = match x.shape() {
        [_, heads, width] => (*heads, *width),
        other => return Err(Fault::internal(format!("heads of shape {other:?}"))),
    };
    let segments = rows.segments();
    let rotate = |x: Array, offsets: &Offsets| match rope {
        Some(rope) => rope.apply(&x, offsets),
        None => Ok(x),
    };
    if segments.iter().all(|segment| segment.len == 1) {
        let x = x.reshape(&[raw::dim(segments.len())?, heads, 1, width])?;
        if let [segment] = segments {
            return Ok(vec![rotate(x, &Offsets::One(raw::dim(segment.position)?))?]);
        }
        let positions = segments.iter().map(|s| raw::dim(s.position)).collect::<Result<Vec<_>>>()?;
        let positions = Array::from_slice(&positions, &[raw::dim(positions.len())?]);
        let x = rotate(x, &Offsets::Each(positions))?;
        return (0..segments.len()).map(|i| raw::slice_axis(&x, 0, i..i + 1)).collect();
    }
    let one = |segment: &Segment| {
        let own = raw::slice_axis(x, 0, segment.start..segment.start + segment.len)?;
        let own = own.reshape(&[1, raw::dim(segment.len)?, heads, width])?.transpose_axes(&[0, 2, 1, 3])?;
        rotate(own, &Offsets::One(raw::dim(segment.position)?))
    };
    segments.iter().map(one).collect()
}

/// Attends from one sequence's queries, `[1, heads, rows, head_dim]`; gives `[rows, heads * head_dim]`.
fn attend(
    queries: &Array,
    visible: &Visible,
    segment: &Segment,
    params: &AttentionParams<'_, Mlx>,
    chosen: Option<&Chosen>,
) -> Result<Array> {
    if chosen.is_some() && (params.window.is_some() || visible.start != 0) {
        return Err(Fault::internal("chosen positions with a window"));
    }
    if let Some(chunk) = params.extras.chunk {
        let first = segment.position / chunk * chunk;
        if first > visible.start {
            let visible = visible.from(first, segment.position + segment.len)?;
            return attend(queries, &visible, segment, params, None);
        }
    }
    let taken = match chosen {
        Some(Chosen::Positions(indices)) => Some(visible.take(indices)?),
        _ => None,
    };
    let visible = taken.as_ref().unwrap_or(visible);
    let Visible { keys, values, start } = visible;
    let end = segment.position + segment.len;
    // What the first row sees is all there is, so only later rows may have to look away from the oldest positions.
    let window = params.window.filter(|&window| end - start > window);
    let grown = params.extras.query_growth.map(|growth| grow(queries, segment, growth)).transpose()?;
    let queries = grown.as_ref().unwrap_or(queries);
    let chunk = params.extras.chunk.filter(|&chunk| end > (start / chunk + 1) * chunk);
    let narrow = match window {
        _ if let Some(Chosen::Mask(mask)) = chosen => Some(spread(mask, params.heads)?),
        _ if segment.len > 1 && chunk.is_some() => Some(mask(segment, *start, params.window.unwrap_or(end), chunk)?),
        Some(window) if segment.len > 1 => Some(mask(segment, *start, window, None)?),
        _ => None,
    };
    if let Some(blocks) = params.extras.blocks {
        return attend_sparsely(queries, visible, segment, params, blocks);
    }
    let sinks = params.extras.sinks.map(|sinks| cast_ref(sinks, queries.dtype())).transpose()?;
    let y = match (keys, values) {
        (Positions::Floats(keys), Positions::Floats(values)) if params.extras.softcap.is_none() => {
            let mask = match &narrow {
                Some(mask) => Some(Mask::Array(mask)),
                None if segment.len == 1 => None,
                None => Some(Mask::Causal),
            };
            fast::scaled_dot_product_attention(queries, keys, values, params.scale, mask, sinks.as_ref())?
        }
        _ => {
            // MLX's causal mask needs a name; without its kernel the mask is an array.
            let mask = match narrow {
                None if segment.len > 1 => Some(mask(segment, *start, end, None)?),
                narrow => narrow,
            };
            composed(queries, visible, mask.as_ref(), sinks.as_ref(), params)?
        }
    };
    flat(&y, segment, params)
}

/// `[1, heads, rows, head_dim]` as `[rows, heads * head_dim]`.
fn flat(y: &Array, segment: &Segment, params: &AttentionParams<'_, Mlx>) -> Result<Array> {
    let shape = [raw::dim(segment.len)?, raw::dim(params.heads * params.head_dim)?];
    if segment.len == 1 {
        return Ok(y.reshape(&shape)?);
    }
    Ok(y.transpose_axes(&[0, 2, 1, 3])?.reshape(&shape)?)
}

/// Attention whose heads see blocks of their own.
fn attend_sparsely(
    queries: &Array,
    visible: &Visible,
    segment: &Segment,
    params: &AttentionParams<'_, Mlx>,
    blocks: SparseBlocks,
) -> Result<Array> {
    let extras = &params.extras;
    if params.window.is_some() || extras.chunk.is_some() || extras.sinks.is_some() {
        return Err(Fault::internal("sparse blocks together with a window, a chunk or sinks"));
    }
    let mask = sparse_mask(segment, visible.start, params.heads, blocks)?;
    let y = match (&visible.keys, &visible.values) {
        (Positions::Floats(keys), Positions::Floats(values)) if extras.softcap.is_none() => {
            let mask = mask.expand_dims(0)?;
            fast::scaled_dot_product_attention(queries, keys, values, params.scale, Some(Mask::Array(&mask)), None)?
        }
        _ => {
            let (kv_heads, group) = (raw::dim(params.kv_heads)?, raw::dim(params.heads / params.kv_heads.max(1))?);
            let mask = mask.reshape(&[kv_heads, group, mask.dim(1), mask.dim(2)])?;
            composed(queries, visible, Some(&mask), None, params)?
        }
    };
    flat(&y, segment, params)
}

/// `[heads, rows, positions]`: which positions from `start` on each row of the segment sees.
fn sparse_mask(segment: &Segment, start: usize, heads: usize, blocks: SparseBlocks) -> Result<Array> {
    let number = |number: usize| Ok::<_, Fault>(Array::from_int(raw::dim(number)?));
    let range = |first: usize, end: usize, axes: &[i32]| {
        Ok::<_, Fault>(ops::arange::<i32, i32>(raw::dim(first)?, raw::dim(end)?, None)?.expand_dims_axes(axes)?)
    };
    let end = segment.position + segment.len;
    let rows = range(segment.position, end, &[0, 2])?;
    let positions = range(start, end, &[0, 1])?;
    let size = number(blocks.size)?;
    let (own, other) = (rows.floor_divide(&size)?, positions.floor_divide(&size)?);
    let near = own.subtract(&other)?.lt(number(blocks.local)?)?;
    let shifted = other.add(range(1, heads + 1, &[1, 2])?)?;
    let strided = shifted.remainder(number(blocks.stride)?)?.eq(number(0)?)?;
    Ok(positions.le(&rows)?.logical_and(near.logical_or(strided)?)?)
}

/// Attention that MLX has no kernel for: its scores are capped, or it reads codes.
fn composed(
    queries: &Array,
    visible: &Visible,
    mask: Option<&Array>,
    sinks: Option<&Array>,
    params: &AttentionParams<'_, Mlx>,
) -> Result<Array> {
    let (kv_heads, group) = (raw::dim(params.kv_heads)?, raw::dim(params.heads / params.kv_heads.max(1))?);
    let (rows, width) = (queries.dim(2), queries.dim(3));
    let scaled = queries.multiply(&scalar(params.scale, queries.dtype())?)?;
    let grouped = scaled.reshape(&[1, kv_heads, group, rows, width])?;
    let scores = visible.keys.product(&grouped, true)?;
    let scores = match params.extras.softcap {
        Some(cap) => softcap(&scores, cap)?,
        None => scores,
    };
    let scores = match mask {
        // For each query head, or for all.
        Some(mask) if mask.ndim() == 4 => {
            let heads = if mask.dim(1) == 1 { [1, 1] } else { [kv_heads, group] };
            let mask = mask.reshape(&[1, heads[0], heads[1], rows, mask.dim(3)])?;
            ops::select(&mask, &scores, &scalar(f32::NEG_INFINITY, scores.dtype())?)?
        }
        Some(mask) => ops::select(mask, &scores, &scalar(f32::NEG_INFINITY, scores.dtype())?)?,
        None => scores,
    };
    let weights = match sinks {
        None => ops::softmax_axis(&scores, -1, true)?,
        Some(sinks) => {
            // A sink is one more position, whose value is nothing.
            let column =
                ops::broadcast_to(&sinks.reshape(&[1, kv_heads, group, 1, 1])?, &[1, kv_heads, group, rows, 1])?;
            let positions = usize::try_from(scores.dim(-1)).unwrap_or(0);
            let weights = ops::softmax_axis(&ops::concatenate(&[&scores, &column], -1)?, -1, true)?;
            raw::slice_axis(&weights, 4, 0..positions)?
        }
    };
    Ok(visible.values.product(&weights, false)?.reshape(&[1, kv_heads * group, rows, width])?)
}

/// A mask `[1, some heads, rows, positions]` for each query head, where it is not the same for all.
fn spread(mask: &Array, heads: usize) -> Result<Array> {
    let (some, rows, positions) = (mask.dim(1), mask.dim(2), mask.dim(3));
    if some == 1 {
        return Ok(mask.reshape(mask.shape())?);
    }
    let heads = raw::dim(heads)?;
    let each = ops::broadcast_to(&mask.expand_dims(2)?, &[1, some, heads / some, rows, positions])?;
    Ok(each.reshape(&[1, heads, rows, positions])?)
}

/// Queries that grow with their position.
fn grow(queries: &Array, segment: &Segment, growth: QueryGrowth) -> Result<Array> {
    let factors: Vec<f32> =
        (segment.position..segment.position + segment.len).map(|position| growth.factor(position)).collect();
    let factors = Array::from_slice(&factors, &[1, 1, raw::dim(factors.len())?, 1]);
    Ok(queries.multiply(&cast(factors, queries.dtype())?)?)
}

fn cast_ref(array: &Array, dtype: mlx_rs::Dtype) -> Result<Array> {
    Ok(array.as_dtype(dtype)?)
}

/// `[rows, positions]`: which positions from `start` on each row of the segment sees.
pub(super) fn mask(segment: &Segment, start: usize, window: usize, chunk: Option<usize>) -> Result<Array> {
    let end = raw::dim(segment.position + segment.len)?;
    let rows = ops::arange::<i32, i32>(raw::dim(segment.position)?, end, None)?.expand_dims(1)?;
    let positions = ops::arange::<i32, i32>(raw::dim(start)?, end, None)?.expand_dims(0)?;
    let oldest = rows.subtract(Array::from_int(raw::dim(window)? - 1))?;
    let seen = positions.le(&rows)?.logical_and(positions.ge(&oldest)?)?;
    let Some(chunk) = chunk else { return Ok(seen) };
    let chunk = Array::from_int(raw::dim(chunk)?);
    Ok(seen.logical_and(positions.floor_divide(&chunk)?.eq(rows.floor_divide(&chunk)?)?)?)
}
