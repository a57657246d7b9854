//! What happens to queries, keys and values before attention: norms, rope, and the way into the caches.

use super::Cpu;
use super::attention::{Heads, query_numbers};
use super::buffer::Buffer;
use super::cache::KvCache;
use super::disjoint::Disjoint;
use super::elementwise::SERIAL_NUMBERS;
use super::head::{BLOCK, ByteHead, Format};
use super::kernels::{Append, NormRows, QuantizeQueries};
use super::norm::Norm;
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

/// Gives the scaled queries, [`query_numbers`] for each head of each row, and writes keys and values behind those that the caches
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
    for norm in [params.query_norm, params.key_norm].into_iter().flatten() {
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
    for (segment, cache) in rows.segments().iter().zip(caches.iter_mut()) {
        cache.reserve(segment.len)?;
    }
    let pieces = pieces(rows, caches)?;
    let angles = params.rope.map(|rope| rope.angles(rows));
    let angles = angles.as_deref();

    let format = Format::of(cpu.precision);
    let query = query_numbers(format, head_dim);
    let mut queries = cpu.arena.allocate(rows.len() * query_heads * query)?;
    let room = BLOCK.max(group) * head_dim;
    let mut scratch = cpu.arena.allocate(room * cpu.pool.threads())?;
    let AttentionParams { query_norm, key_norm, scale, .. } = *params;
    let (level, data, width) = (cpu.level, qkv.data(), qkv.width());
    let (shared, scratch) = (Disjoint::new(&mut queries), Disjoint::new(&mut scratch));
    cpu.run(data.len() > SERIAL_NUMBERS, pieces.len() * kv_heads, |thread, index| {
        let (piece, kv_head) = (&pieces[index / kv_heads], index % kv_heads);
        let input = |row: usize, head: usize, count: usize| &data[row * width + head * head_dim..][..count * head_dim];
        // SAFETY: no other call has this thread's number.
        let scratch = unsafe { scratch.part(thread * room, room) };
        for row in piece.row..piece.row + piece.count {
            let first = kv_head * group;
            // SAFETY: no other call has these heads of this row.
            let out = unsafe { shared.part((row * query_heads + first) * query, group * query) };
            let x = match format {
                Format::F32 => &mut *out,
                Format::Bytes => &mut scratch[..group * head_dim],
            };
            norm(level, query_norm, input(row, first, group), x);
            for head in x.chunks_exact_mut(head_dim) {
                if let Some(angles) = angles {
                    angles.rotate(row, head);
                }
                for number in head {
                    *number *= scale;
                }
            }
            if format == Format::Bytes {
                level.run(QuantizeQueries { x: &scratch[..group * head_dim], head_dim, out });
            }
        }
        let (start, size) = format.head_range(head_dim, kv_head);
        // SAFETY: no other call has this head of this block.
        let numbers = unsafe { piece.block.part(start, size) };
        let keys = &mut scratch[..piece.count * head_dim];
        for (index, key) in keys.chunks_exact_mut(head_dim).enumerate() {
            let row = piece.row + index;
            norm(level, key_norm, input(row, query_heads + kv_head, 1), key);
            if let Some(angles) = angles {
                angles.rotate(row, key);
            }
        }
        let values = &data[piece.row * width + (query_heads + kv_heads + kv_head) * head_dim..];
        let first = piece.offset;
        match format {
            Format::F32 => copy(keys, values, width, head_dim, first, numbers),
            Format::Bytes => {
                let head = ByteHead::new_mut(numbers, head_dim);
                level.run(Append { keys, values, stride: width, head_dim, first, head });
            }
        }
    })?;
    Ok(queries)
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
