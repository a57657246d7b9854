//! The queries that attend together, and their unfinished results.

use std::ops::Range;

use super::super::head::BLOCK;
use super::super::simd::{Bytes, Kernel, LANES, Lanes, Simd, exp, exp_one, padded};
use super::activate::softcap;
use crate::arch::spec::SparseBlocks;

/// Columns of 16 positions in a block.
pub(super) const COLUMNS: usize = BLOCK / LANES;

/// Queries of consecutive positions of a sequence that read the same key head.
#[derive(Clone, Copy)]
pub(in super::super) struct Queries<'a> {
    /// From the first query on, scaled: numbers, or a [`ByteQuery`](super::ByteQuery) each.
    pub data: &'a [f32],
    /// Queries of a position.
    pub group: usize,
    /// Numbers from one position to the next.
    pub stride: usize,
    /// Numbers of a query.
    pub width: usize,
    pub head_dim: usize,
    /// Position of the first.
    pub position: usize,
    /// Number of positions.
    pub positions: usize,
    /// Positions that each sees, itself included; `usize::MAX` for all.
    pub window: usize,
    /// Where these are no positions of their own but entries of another cache: how many there are. The chosen ones are seen.
    pub entries: Option<usize>,
    /// None before the last multiple of this is seen.
    pub chunk: Option<usize>,
    /// Scores become `softcap * tanh(scores / softcap)`.
    pub softcap: Option<f32>,
    /// The positions that each position sees, of all of these.
    pub chosen: Option<Chosen<'a>>,
    /// Which blocks of positions are seen, whole blocks of the cache or halves of them.
    pub sparse: Option<SparseBlocks>,
    /// Number of the first query head.
    pub head: usize,
}

/// Positions as bits, 64 (a block) in a word.
#[derive(Clone, Copy)]
pub(in super::super) struct Chosen<'a> {
    /// From the first query's on.
    pub bits: &'a [u64],
    /// Words from one query's position to the next.
    pub stride: usize,
}

impl Queries<'_> {
    /// Number of queries.
    pub fn count(&self) -> usize {
        self.positions * self.group
    }

    /// Positions that any of them sees.
    pub fn visible(&self) -> Range<usize> {
        self.sees(0).start..self.sees(self.positions - 1).end
    }

    /// Positions that those of one position see.
    #[inline(always)]
    fn sees(&self, index: usize) -> Range<usize> {
        if let Some(entries) = self.entries {
            return 0..entries;
        }
        let end = self.position + index + 1;
        let chunk = self.chunk.map_or(0, |chunk| (end - 1) / chunk * chunk);
        end.saturating_sub(self.window).max(chunk)..end
    }

    /// The positions that a query sees in a block, counted from its start; empty when none.
    #[inline(always)]
    pub(super) fn sees_in_block(&self, query: usize, block: usize) -> Range<usize> {
        let sees = self.sees(query / self.group);
        let first = block * BLOCK;
        let seen = sees.start.saturating_sub(first).min(BLOCK)..sees.end.saturating_sub(first).min(BLOCK);
        match (self.sparse, self.chosen) {
            (None, None) => seen,
            (Some(sparse), _) => self.sees_sparsely(sparse, query, first, seen),
            (None, Some(chosen)) => {
                let bits = chosen.bits[query / self.group * chosen.stride + block];
                // Of a block of which nothing is chosen, nothing is seen.
                let (first, end) = (bits.trailing_zeros() as usize, BLOCK - bits.leading_zeros() as usize);
                let sees = seen.start.max(first)..seen.end.min(end);
                if sees.is_empty() || bits >> sees.start << sees.start << (BLOCK - sees.end) == 0 { 0..0 } else { sees }
            }
        }
    }

    /// Takes away the scores of positions of a block that are not chosen.
    #[inline(always)]
    pub(super) fn hide(&self, index: usize, block: usize, scores: &mut [f32]) {
        if let Some(chosen) = self.chosen {
            let bits = chosen.bits[index * chosen.stride + block];
            for (position, score) in scores.iter_mut().enumerate().take(BLOCK) {
                if bits >> position & 1 == 0 {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// What is left of positions, counted from `first`, where not all blocks are seen.
    fn sees_sparsely(&self, sparse: SparseBlocks, query: usize, first: usize, seen: Range<usize>) -> Range<usize> {
        let (head, position) = (self.head + query % self.group, self.position + query / self.group);
        let (mut start, mut end) = (BLOCK, 0);
        for at in (0..BLOCK).step_by(sparse.size) {
            let part = at.max(seen.start)..(at + sparse.size).min(seen.end);
            if !part.is_empty() && sparse.sees(head, position, first + at) {
                (start, end) = (start.min(part.start), end.max(part.end));
            }
        }
        start.min(end)..end
    }

    /// From the first to the last position of a block that any of them sees; empty when none.
    #[inline(always)]
    pub(super) fn visible_in_block(&self, block: usize) -> Range<usize> {
        let (mut first, mut end) = (BLOCK, 0);
        // Without sparse blocks all queries of a position see the same.
        let step = if self.sparse.is_some() { 1 } else { self.group };
        for query in (0..self.count()).step_by(step) {
            let sees = self.sees_in_block(query, block);
            if !sees.is_empty() {
                (first, end) = (first.min(sees.start), end.max(sees.end));
            }
        }
        first..end
    }

    /// The numbers of one query.
    #[inline(always)]
    pub(super) fn query(&self, query: usize) -> &[f32] {
        &self.data[query / self.group * self.stride + query % self.group * self.width..][..self.width]
    }
}

/// Unfinished attention of some queries.
pub(in super::super) struct State<'a> {
    /// The largest score of each.
    pub(super) max: &'a mut [f32],
    /// The sum of the weights relative to it.
    pub(super) sum: &'a mut [f32],
    /// The weighted sum of the values, padded to a multiple of 16 for each.
    pub(super) values: &'a mut [f32],
}

impl<'a> State<'a> {
    /// Numbers needed for `count` queries.
    pub fn size(count: usize, head_dim: usize) -> usize {
        count.next_multiple_of(LANES) * 2 + count * head_dim.next_multiple_of(LANES)
    }

    /// Lays a state out in [`size`](Self::size) numbers, keeping their content.
    pub fn new(room: &'a mut [f32], count: usize, head_dim: usize) -> Self {
        let padded = count.next_multiple_of(LANES);
        let (max, room) = room.split_at_mut(padded);
        let (sum, values) = room.split_at_mut(padded);
        let values = &mut values[..count * head_dim.next_multiple_of(LANES)];
        Self { max: &mut max[..count], sum: &mut sum[..count], values }
    }

    /// Nothing seen yet.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.values.fill(0.0);
    }

    /// The attention of one query. A sink is a score that takes its share of the weight and adds nothing.
    pub fn finish(&self, query: usize, sink: Option<f32>, out: &mut [f32]) {
        let values = &self.values[query * out.len().next_multiple_of(LANES)..];
        // Infinite where the sink is far above all scores, and then nothing is left of the values.
        let share = sink.map_or(0.0, |sink| f64::from(sink - self.max[query]).exp() as f32);
        let sum = self.sum[query] + share;
        for (out, value) in out.iter_mut().zip(values) {
            *out = value / sum;
        }
    }
}

/// Adds a span to those before it.
pub(in super::super) struct Merge<'a, 'b> {
    pub total: &'a mut State<'b>,
    pub span: &'a State<'b>,
}

impl Kernel for Merge<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (total, span) = (self.total, self.span);
        let width = total.values.len() / total.max.len();
        for query in 0..total.max.len() {
            let (before, now) = (total.max[query], span.max[query]);
            if now == f32::NEG_INFINITY {
                continue;
            }
            let highest = if before > now { before } else { now };
            let (keep, take) = (exp_one(s, before - highest), exp_one(s, now - highest));
            total.max[query] = highest;
            total.sum[query] = total.sum[query] * keep + span.sum[query] * take;
            let (keep, take) = (s.splat(keep), s.splat(take));
            let values = total.values[query * width..][..width].as_chunks_mut().0;
            for (total, span) in values.iter_mut().zip(span.values[query * width..][..width].as_chunks().0) {
                s.store(s.fma(s.load(span), take, s.mul(s.load(total), keep)), total);
            }
        }
    }
}

/// Takes the scores of a block into the largest ones, and finds by how much that shrinks earlier weights. `keep` and
/// `largest` have room for a multiple of 16 queries.
#[inline(always)]
pub(super) fn rescale<S: Bytes>(
    s: S,
    queries: &Queries<'_>,
    block: usize,
    scores: &mut [[Lanes; COLUMNS]],
    keep: &mut [f32],
    largest: &mut [f32],
    state: &mut State<'_>,
) {
    let count = queries.count();
    for (query, row) in scores.iter_mut().enumerate().take(count) {
        let sees = queries.sees_in_block(query, block);
        if let Some(cap) = queries.softcap {
            for scores in row.iter_mut() {
                s.store(softcap(s, s.load(scores), cap), scores);
            }
        }
        if sees.len() < BLOCK {
            let row = row.as_flattened_mut();
            row[..sees.start].fill(f32::NEG_INFINITY);
            row[sees.end..].fill(f32::NEG_INFINITY);
        }
        queries.hide(query / queries.group, block, row.as_flattened_mut());
        let mut highest = s.splat(state.max[query]);
        for scores in row {
            highest = s.max(s.load(scores), highest);
        }
        largest[query] = if sees.is_empty() { state.max[query] } else { s.highest(highest) };
    }
    for (chunk, keep) in keep.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let queries = chunk * LANES..((chunk + 1) * LANES).min(count);
        let (old, new) = (&mut state.max[queries.clone()], &largest[queries]);
        let factor = exp(s, s.sub(s.load(&padded(old)), s.load(&padded(new))));
        // A query that has seen nothing has nothing to keep.
        s.store(s.select_less(s.splat(f32::MIN), s.load(&padded(old)), factor, s.splat(0.0)), keep);
        old.copy_from_slice(new);
    }
}
