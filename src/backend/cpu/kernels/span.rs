//! Attention of a few queries over a span of positions, and the union of spans.
//!
//! Blocks and spans begin at fixed positions. Within a span, blocks are taken in order with a running maximum
//! (Milakov and Gimelshein 2018), and spans are united in order. So the result of a query depends neither on how its
//! sequence was cut into slices nor on which thread took which span. What a query doesn't see adds nothing at all.

use std::ops::Range;

use super::super::cache::{BLOCK, head};
use super::super::simd::{Kernel, LANES, Lanes, Simd, exp, exp_one};
use super::activate::softcap;
use super::panel::{Panel, Strided};

/// Queries of consecutive positions of a sequence that read the same key head.
#[derive(Clone, Copy)]
pub(in super::super) struct Queries<'a> {
    /// From the first query on, scaled.
    pub data: &'a [f32],
    /// Queries of a position.
    pub group: usize,
    /// Numbers from one position to the next.
    pub stride: usize,
    pub head_dim: usize,
    /// Position of the first.
    pub position: usize,
    /// Number of positions.
    pub positions: usize,
    /// Positions that each sees, itself included.
    pub window: Option<usize>,
    /// Scores become `softcap * tanh(scores / softcap)`.
    pub softcap: Option<f32>,
}

impl Queries<'_> {
    /// Number of queries.
    pub fn count(&self) -> usize {
        self.positions * self.group
    }

    /// Positions that any of them sees.
    pub fn visible(&self) -> Range<usize> {
        self.sees(0).start..self.position + self.positions
    }

    /// Positions that those of one position see.
    #[inline(always)]
    fn sees(&self, index: usize) -> Range<usize> {
        let end = self.position + index + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// The part of [`sees`](Self::sees) in a block, counted from its start; empty when nothing.
    #[inline(always)]
    fn sees_in_block(&self, index: usize, block: usize) -> Range<usize> {
        let sees = self.sees(index);
        let first = block * BLOCK;
        sees.start.saturating_sub(first).min(BLOCK)..sees.end.saturating_sub(first).min(BLOCK)
    }
}

/// Unfinished attention of some queries.
pub(in super::super) struct State<'a> {
    /// The largest score of each.
    max: &'a mut [f32],
    /// The sum of the weights relative to it.
    sum: &'a mut [f32],
    /// The weighted sum of the values, padded to a multiple of 16 for each.
    values: &'a mut [f32],
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

/// Attends over some consecutive blocks.
pub(in super::super) struct Span<'a, 'b> {
    pub queries: Queries<'a>,
    /// Blocks of the cache from number `dropped` on.
    pub blocks: &'a [&'a [f32]],
    pub dropped: usize,
    pub kv_head: usize,
    /// Numbers of the blocks to attend over.
    pub span: Range<usize>,
    /// The result; its content doesn't matter.
    pub state: &'a mut State<'b>,
    /// Room for `(BLOCK + 1) * count` numbers.
    pub scratch: &'a mut [f32],
}

impl Kernel for Span<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (queries, count) = (self.queries, self.queries.count());
        let (scores, keep) = self.scratch.split_at_mut(BLOCK * count);
        let keep = &mut keep[..count];
        self.state.clear();
        for block in self.span.clone() {
            let (mut first, mut end) = (BLOCK, 0);
            for index in 0..queries.positions {
                let sees = queries.sees_in_block(index, block);
                if !sees.is_empty() {
                    (first, end) = (first.min(sees.start), end.max(sees.end));
                }
            }
            if first >= end {
                continue;
            }
            let (keys, values) = head(self.blocks[block - self.dropped], queries.head_dim, self.kv_head);
            let rows = Strided {
                data: queries.data,
                group: queries.group,
                outer: queries.stride,
                inner: queries.head_dim,
                len: queries.head_dim,
            };
            let columns = first / LANES..end.div_ceil(LANES);
            Panel { matrix: keys, out: scores, stride: BLOCK / LANES, columns, keep: None }.multiply(s, rows, count);
            for query in 0..count {
                let sees = queries.sees_in_block(query / queries.group, block);
                let row = &mut scores[query * BLOCK..][..BLOCK];
                if let Some(cap) = queries.softcap {
                    for scores in row.as_chunks_mut().0 {
                        s.store(softcap(s, s.load(scores), cap), scores);
                    }
                }
                keep[query] = weigh(s, row, sees, &mut self.state.max[query], &mut self.state.sum[query]);
            }
            let rows = Strided { data: &scores[first..], group: 1, outer: BLOCK, inner: 0, len: end - first };
            let columns = queries.head_dim.div_ceil(LANES);
            let matrix = &values[first * columns * LANES..];
            let out = &mut *self.state.values;
            Panel { matrix, out, stride: columns, columns: 0..columns, keep: Some(keep) }.multiply(s, rows, count);
        }
    }
}

/// Turns the scores of a block into weights relative to the largest score so far, zero outside of `sees`. Gives the
/// factor that makes earlier weights relative to it, too.
#[inline(always)]
fn weigh<S: Simd>(s: S, row: &mut [f32], sees: Range<usize>, max: &mut f32, sum: &mut f32) -> f32 {
    if sees.is_empty() {
        row.fill(0.0);
        return 1.0;
    }
    row[..sees.start].fill(f32::NEG_INFINITY);
    row[sees.end..].fill(f32::NEG_INFINITY);
    let row: &mut [Lanes] = row.as_chunks_mut().0;
    let mut lanes = [0.0; LANES];
    let mut highest = s.splat(*max);
    for scores in row.iter() {
        highest = s.max(s.load(scores), highest);
    }
    s.store(highest, &mut lanes);
    let mut highest = *max;
    for lane in lanes {
        if lane > highest {
            highest = lane;
        }
    }
    let mut total = s.splat(0.0);
    for scores in row {
        let weights = exp(s, s.sub(s.load(scores), s.splat(highest)));
        s.store(weights, scores);
        total = s.add(total, weights);
    }
    let keep = exp_one(s, *max - highest);
    *sum = *sum * keep + s.sum(total);
    *max = highest;
    keep
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
