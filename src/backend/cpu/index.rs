//! An indexer: keeps keys, and chooses for each row the positions that it sees.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Cpu;
use super::cache::KvCache;
use super::disjoint::Disjoint;
use super::head::BLOCK;
use super::kernels::{Chosen, IndexScores};
use super::tensor::Tensor;
use crate::arch::spec::{self, Indexer};
use crate::backend::{Cache, IndexInput, Rows, Segment};
use crate::error::{Error, Result};

/// The positions that each row sees, as bits; nothing for a segment whose rows see all before them.
pub(crate) struct Choice {
    pub(super) heads: usize,
    pub(super) segments: Vec<Option<Bits>>,
}

/// For each row and head, a bit for each position, 64 of them (a block of the cache) in a word.
pub(super) struct Bits {
    pub(super) words: usize,
    pub(super) bits: Vec<u64>,
}

impl Choice {
    /// What was chosen for a segment from its row `first` on, for a key head of attention.
    pub(super) fn of(&self, segment: usize, first: usize, kv_head: usize, kv_heads: usize) -> Option<Chosen<'_>> {
        let Bits { words, bits } = self.segments.get(segment)?.as_ref()?;
        let stride = self.heads * words;
        let head = kv_head * self.heads / kv_heads.max(1);
        Some(Chosen { bits: &bits[first * stride + head * words..], stride })
    }

    /// Fails unless it was made for such rows and heads.
    pub(super) fn check(&self, rows: &Rows, kv_heads: usize) -> Result<()> {
        if self.segments.len() != rows.segments().len() || !kv_heads.is_multiple_of(self.heads) {
            let found = self.segments.len();
            return Err(Error::internal(format!("a choice of {} heads for {found} of {rows:?}", self.heads)));
        }
        Ok(())
    }
}

/// See [`Backend::choose`](crate::backend::Backend::choose).
pub(super) fn choose(
    cpu: &Cpu,
    input: IndexInput<'_, Cpu>,
    indexer: &Indexer,
    rows: &Rows,
    caches: &mut [&mut KvCache],
) -> Result<Choice> {
    check(input, indexer, rows, caches)?;
    let mut segments = Vec::with_capacity(caches.len());
    for (segment, cache) in rows.segments().iter().zip(caches) {
        append(cache, input.keys, segment)?;
        segments.push(match segment.position + segment.len > indexer.choice.limit() {
            true => Some(choose_segment(cpu, input, indexer, segment, cache)?),
            false => None,
        });
    }
    Ok(Choice { heads: if indexer.choice.weighted() { 1 } else { indexer.heads }, segments })
}

fn check(input: IndexInput<'_, Cpu>, indexer: &Indexer, rows: &Rows, caches: &[&mut KvCache]) -> Result<()> {
    input.queries.expect_width(indexer.query_width(), "an indexer's queries")?;
    input.keys.expect_width(indexer.head_dim, "an indexer's keys")?;
    if let Some(weights) = input.weights {
        weights.expect_width(indexer.heads, "an indexer's weights")?;
    }
    let counts = [Some(input.queries), Some(input.keys), input.weights].map(|x| x.map_or(rows.len(), Tensor::rows));
    let fits = |cache: &KvCache| cache.layout().index && cache.layout().head_dim == indexer.head_dim;
    if counts.iter().any(|count| *count != rows.len())
        || indexer.head_dim == 0
        || input.weights.is_some() != indexer.choice.weighted()
        || caches.len() != rows.segments().len()
        || !caches.iter().zip(rows.segments()).all(|(cache, s)| fits(cache) && cache.len() == s.position)
    {
        return Err(Error::internal(format!("{indexer:?} for {rows:?}: {counts:?} rows, {} caches", caches.len())));
    }
    Ok(())
}

/// Keys lie with the positions of a block side by side.
pub(super) fn append(cache: &mut KvCache, keys: &Tensor, segment: &Segment) -> Result<()> {
    cache.reserve(segment.len)?;
    let (width, end) = (keys.width(), segment.position + segment.len);
    for (first, block) in cache.reserved(segment.len) {
        for position in first.max(segment.position)..(first + BLOCK).min(end) {
            let key = keys.row(segment.start + position - segment.position)?;
            for (number, to) in key.iter().zip(block[..BLOCK * width].chunks_exact_mut(BLOCK)) {
                to[position - first] = *number;
            }
        }
    }
    cache.advance(segment.len);
    Ok(())
}

fn choose_segment(
    cpu: &Cpu,
    input: IndexInput<'_, Cpu>,
    indexer: &Indexer,
    segment: &Segment,
    cache: &KvCache,
) -> Result<Bits> {
    let blocks: Vec<&[f32]> = cache.blocks().1.collect();
    let (heads, words) = (if indexer.choice.weighted() { 1 } else { indexer.heads }, blocks.len());
    let bits: Vec<AtomicU64> = (0..segment.len * heads * words).map(|_| AtomicU64::new(0)).collect();
    // Scores of a block, then what is compared.
    let room = indexer.heads * BLOCK + heads * words * BLOCK;
    let mut scratch = cpu.arena.allocate(room * cpu.pool.threads())?;
    let scratch = Disjoint::new(&mut scratch);
    let (level, head_dim) = (cpu.level, indexer.head_dim);
    let (queries, weights) = (input.queries.data(), input.weights.map(Tensor::data));
    cpu.run(segment.len > 1, segment.len, |thread, row| {
        // SAFETY: no other call has this thread's number.
        let (block_scores, scores) = unsafe { scratch.part(thread * room, room) }.split_at_mut(indexer.heads * BLOCK);
        let at = segment.start + row;
        let queries = &queries[at * indexer.query_width()..][..indexer.query_width()];
        let weights = weights.map(|weights| &weights[at * indexer.heads..][..indexer.heads]);
        let seen = segment.position + row + 1;
        let bits = &bits[row * heads * words..][..heads * words];
        let score = |block: usize, scores: &mut [f32]| {
            let keys = &blocks[block][..BLOCK * head_dim];
            level.run(IndexScores { queries, head_dim, weights, keys, scores });
        };
        match indexer.choice {
            _ if seen <= indexer.choice.limit() => bits.iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed)),
            spec::Choice::Positions { count } => {
                for (block, out) in scores.chunks_exact_mut(BLOCK).enumerate().take(seen.div_ceil(BLOCK)) {
                    score(block, block_scores);
                    out.copy_from_slice(&block_scores[..BLOCK]);
                }
                highest(&scores[..seen], count, |position| mark(bits, position..position + 1));
            }
            spec::Choice::Blocks { size, count, local } => {
                let most = words * BLOCK;
                scores.fill(f32::NEG_INFINITY);
                for block in 0..seen.div_ceil(BLOCK) {
                    score(block, block_scores);
                    for position in block * BLOCK..((block + 1) * BLOCK).min(seen) {
                        for head in 0..heads {
                            let best = &mut scores[head * most + position / size];
                            *best = best.max(block_scores[head * BLOCK + position % BLOCK]);
                        }
                    }
                }
                let known = seen.div_ceil(size);
                for (scores, bits) in scores.chunks_exact_mut(most).zip(bits.chunks_exact(words)) {
                    scores[known.saturating_sub(local)..known].fill(f32::INFINITY);
                    highest(&scores[..known], count, |block| mark(bits, block * size..((block + 1) * size).min(seen)));
                }
            }
        }
    })?;
    Ok(Bits { words, bits: bits.into_iter().map(AtomicU64::into_inner).collect() })
}

/// The indices of the highest scores, in no order; of equals the earlier.
pub(super) fn highest(scores: &[f32], count: usize, mut take: impl FnMut(usize)) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if count < order.len() {
        // Zero is zero, whatever its sign.
        let compare = |a: &usize, b: &usize| (scores[*b] + 0.0).total_cmp(&(scores[*a] + 0.0)).then(a.cmp(b));
        order.select_nth_unstable_by(count, compare);
    }
    order.into_iter().take(count).for_each(&mut take);
}

pub(super) fn mark(bits: &[AtomicU64], positions: std::ops::Range<usize>) {
    for position in positions {
        bits[position / BLOCK].fetch_or(1 << (position % BLOCK), Ordering::Relaxed);
    }
}
