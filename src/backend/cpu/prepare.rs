//! What happens to queries, keys and values before attention: norms, rope, and the way into the caches.

use super::Cpu;
use super::attention::{Heads, query_numbers};
use super::buffer::Buffer;
use super::cache::KvCache;
use super::disjoint::Disjoint;
use super::elementwise::SERIAL_NUMBERS;
use super::head::{BLOCK, ByteHead, CodeHead, Format};
use super::kernels::{Append, NormRows, QuantizeQueries};
use super::norm::Norm;
use super::rope::Angles;
use super::simd::Level;
use super::tensor::Tensor;
use crate::backend::{AttentionParams, Rows};
use crate::error::{Error, Result};

/// Consecutive rows of a sequence that go into the same block.
struct Piece<'a> {
    /// First row of the batch.
    row: usize,
    count: usize,
    /// First position within the block.
    offset: usize,
    block: Disjoint<'a>,
}

/// Gives the scaled queries, `rows × (heads * head_dim)`, and writes keys and values behind those that the caches
/// count.
pub(super) fn prepare(
    cpu: &Cpu,
    qkv: &Tensor,
    params: &AttentionParams<'_, Cpu>,
    heads: Heads,
    rows: &Rows,
    caches: &mut [&mut KvCache],
) -> Result<Buffer> {
    let Heads { heads: query_heads, kv_heads, group, head_dim } = heads;
    check(params, heads)?;
    for (segment, cache) in rows.segments().iter().zip(caches.iter_mut()) {
        cache.reserve(segment.len)?;
    }
    let pieces = pieces(rows, caches)?;
    let angles = params.rope.map(|rope| rope.angles(rows));
    let angles = angles.as_deref();

    let format = cpu.format;
    let query = query_numbers(format, head_dim);
    let mut queries = cpu.arena.allocate(rows.len() * query_heads * query)?;
    // Query heads of a row; keys of a block; its values where they are normed.
    let (keys_room, values_room) = (BLOCK.max(group) * head_dim, BLOCK * head_dim);
    let room = keys_room + if params.extras.value_norm.is_some() { values_room } else { 0 };
    let mut scratch = cpu.arena.allocate(room * cpu.pool.threads())?;
    let (level, data, width) = (cpu.level, qkv.data(), qkv.width());
    let turn = Turn::new(cpu, params, rows, angles);
    let (shared, scratch) = (Disjoint::new(&mut queries), Disjoint::new(&mut scratch));
    cpu.run(data.len() > SERIAL_NUMBERS, pieces.len() * kv_heads, |thread, index| {
        let (piece, kv_head) = (&pieces[index / kv_heads], index % kv_heads);
        let input = |row: usize, head: usize, count: usize| &data[row * width + head * head_dim..][..count * head_dim];
        // SAFETY: no other call has this thread's number.
        let (scratch, normed) = unsafe { scratch.part(thread * room, room) }.split_at_mut(keys_room);
        for row in piece.row..piece.row + piece.count {
            let first = kv_head * group;
            // SAFETY: no other call has these heads of this row.
            let out = unsafe { shared.part((row * query_heads + first) * query, group * query) };
            turn.quantized_queries(format, row, input(row, first, group), scratch, out);
        }
        let (start, size) = format.head_range(head_dim, kv_head);
        // SAFETY: no other call has this head of this block.
        let numbers = unsafe { piece.block.part(start, size) };
        let keys = &mut scratch[..piece.count * head_dim];
        let value_head = query_heads + kv_heads + kv_head;
        for (index, key) in keys.chunks_exact_mut(head_dim).enumerate() {
            let row = piece.row + index;
            turn.heads(row, turn.key_norm, input(row, query_heads + kv_head, 1), key);
            if turn.value_norm.is_some() {
                norm(level, turn.value_norm, input(row, value_head, 1), &mut normed[index * head_dim..][..head_dim]);
            }
        }
        let (values, stride) = match turn.value_norm {
            Some(_) => (&*normed, head_dim),
            None => (&data[piece.row * width + value_head * head_dim..], width),
        };
        let first = piece.offset;
        match format {
            Format::F32 => copy(keys, values, stride, head_dim, first, numbers),
            Format::Bytes => {
                let head = ByteHead::new_mut(numbers, head_dim);
                level.run(Append { keys, values, stride, head_dim, first, head });
            }
            Format::Codes => {
                let head = CodeHead::new_mut(numbers, head_dim);
                level.run(Append { keys, values, stride, head_dim, first, head });
            }
        }
    })?;
    Ok(queries)
}

/// The scaled queries alone, for a layer that reads the keys and values of another.
pub(super) fn prepare_queries(
    cpu: &Cpu,
    queries: &Tensor,
    params: &AttentionParams<'_, Cpu>,
    heads: Heads,
    rows: &Rows,
) -> Result<Buffer> {
    check(params, heads)?;
    let width = heads.heads * heads.head_dim;
    let format = cpu.format;
    let out_width = heads.heads * query_numbers(format, heads.head_dim);
    let angles = params.rope.map(|rope| rope.angles(rows));
    let turn = Turn::new(cpu, params, rows, angles.as_deref());
    let mut out = cpu.arena.allocate(rows.len() * out_width)?;
    let mut scratch = cpu.arena.allocate(width)?;
    for (row, (x, out)) in queries.data().chunks_exact(width).zip(out.chunks_exact_mut(out_width)).enumerate() {
        turn.quantized_queries(format, row, x, &mut scratch, out);
    }
    Ok(out)
}

fn check(params: &AttentionParams<'_, Cpu>, heads: Heads) -> Result<()> {
    let head_dim = heads.head_dim;
    let norms = [params.query_norm, params.key_norm, params.extras.value_norm];
    for norm in norms.into_iter().flatten() {
        if norm.weight.len() != head_dim {
            return Err(Error::internal(format!(
                "a norm of width {} for heads of width {head_dim}",
                norm.weight.len()
            )));
        }
    }
    if let Some(rope) = params.rope
        && rope.dims() > head_dim
    {
        return Err(Error::internal(format!("rope over {} dimensions of {head_dim}", rope.dims())));
    }
    Ok(())
}

/// What happens to single heads.
struct Turn<'a> {
    level: Level,
    angles: Option<&'a Angles>,
    query_norm: Option<&'a Norm>,
    key_norm: Option<&'a Norm>,
    value_norm: Option<&'a Norm>,
    norm_last: bool,
    head_dim: usize,
    /// Factor of the queries.
    scale: f32,
    /// More factors of the queries, one a row; empty when they are all 1.
    growth: Vec<f32>,
}

impl<'a> Turn<'a> {
    fn new(cpu: &Cpu, params: &AttentionParams<'a, Cpu>, rows: &Rows, angles: Option<&'a Angles>) -> Self {
        let growth = params.extras.query_growth.map_or_else(Vec::new, |growth| {
            let positions = rows.segments().iter().flat_map(|s| s.position..s.position + s.len);
            positions.map(|position| growth.factor(position)).collect()
        });
        Self {
            level: cpu.level,
            angles,
            query_norm: params.query_norm,
            key_norm: params.key_norm,
            value_norm: params.extras.value_norm,
            norm_last: params.extras.norm_after_rope,
            head_dim: params.head_dim,
            scale: params.scale,
            growth,
        }
    }

    /// Norms, rotates and scales query heads of a row, and stores them as the attention of `format` reads them.
    /// `scratch` has room for them as numbers.
    fn quantized_queries(&self, format: Format, row: usize, x: &[f32], scratch: &mut [f32], out: &mut [f32]) {
        match format {
            Format::F32 => self.queries(row, x, out),
            Format::Bytes | Format::Codes => {
                let (numbers, head_dim) = (&mut scratch[..x.len()], self.head_dim);
                self.queries(row, x, numbers);
                self.level.run(QuantizeQueries { x: numbers, head_dim, size: format.query_group(head_dim), out });
            }
        }
    }

    /// Norms, rotates and scales query heads of a row.
    fn queries(&self, row: usize, x: &[f32], out: &mut [f32]) {
        self.heads(row, self.query_norm, x, out);
        let scale = self.scale * self.growth.get(row).copied().unwrap_or(1.0);
        for number in out {
            *number *= scale;
        }
    }

    /// Norms and rotates heads of a row.
    fn heads(&self, row: usize, head_norm: Option<&Norm>, x: &[f32], out: &mut [f32]) {
        if !self.norm_last {
            norm(self.level, head_norm, x, out);
            self.rotate(row, out);
            return;
        }
        match head_norm {
            None => {
                out.copy_from_slice(x);
                self.rotate(row, out);
            }
            Some(head_norm) => {
                let mut turned = x.to_vec();
                self.rotate(row, &mut turned);
                norm(self.level, Some(head_norm), &turned, out);
            }
        }
    }

    fn rotate(&self, row: usize, heads: &mut [f32]) {
        if let Some(angles) = self.angles {
            for head in heads.chunks_exact_mut(self.head_dim) {
                angles.rotate(row, head);
            }
        }
    }
}

/// Cuts the rows where blocks end.
fn pieces<'a>(rows: &Rows, caches: &'a mut [&mut KvCache]) -> Result<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    for (segment, cache) in rows.segments().iter().zip(caches) {
        let (mut position, end) = (segment.position, segment.position + segment.len);
        for (first, block) in cache.reserved(segment.len) {
            let count = (first + BLOCK).min(end) - position;
            let row = segment.start + position - segment.position;
            pieces.push(Piece { row, count, offset: position - first, block: Disjoint::new(block) });
            position += count;
        }
        if position != end {
            return Err(Error::internal(format!("blocks for positions up to {position} of {end} in a cache")));
        }
    }
    Ok(pieces)
}

/// Writes keys and values, `stride` numbers from one value to the next, into a head of f32 numbers from the position
/// `first` on.
fn copy(keys: &[f32], values: &[f32], stride: usize, head_dim: usize, first: usize, head: &mut [f32]) {
    let (to_keys, to_values) = head.split_at_mut(BLOCK * head_dim);
    let padded = to_values.len() / BLOCK;
    for (index, key) in keys.chunks_exact(head_dim).enumerate() {
        to_values[(first + index) * padded..][..head_dim].copy_from_slice(&values[index * stride..][..head_dim]);
        for (number, to) in key.iter().zip(to_keys.chunks_exact_mut(BLOCK)) {
            to[first + index] = *number;
        }
    }
}

/// Norms heads, or copies them when there is no norm.
fn norm(level: Level, norm: Option<&Norm>, x: &[f32], out: &mut [f32]) {
    match norm {
        Some(norm) => level.run(NormRows { x, weight: &norm.weight, epsilon: norm.epsilon, out }),
        None => out.copy_from_slice(x),
    }
}
