//! Attention of a few queries over a span of positions in 8-bit integers.
//!
//! Scores are products of 8-bit integers, a group of dimensions at a time. Weights are 15-bit integers relative to the largest
//! of their query and block, so that long tails of small ones count, and are multiplied with 8-bit values. A block's
//! sums are exact; what is left in f32 has one order. So results are independent of slices, threads and levels as in
//! [`Span`](super::Span).

use std::ops::Range;

use super::super::buffer::{cast, cast_mut};
use super::super::head::{BLOCK, ByteHead, Format, key_group, key_groups};
use super::super::simd::{Bytes, Kernel, LANES, Lanes, Registers, exp};
use super::bytes::ByteQuery;
use super::queries::{COLUMNS, Queries, State, rescale};

/// Largest weight as an integer.
pub(super) const LARGEST_WEIGHT: f32 = 32767.0;

/// Weighted scales below it are taken for zero, so that none has an infinite inverse.
pub(super) const TINY: f32 = 1e-30;

/// Steps in which the next block is asked for: those of one pass over keys, scores and values.
const STEPS: usize = 72;

/// Four dimensions of a block's keys.
type KeyRow = [[u8; 64]; COLUMNS];

/// Attends over some consecutive blocks.
pub(in super::super) struct ByteSpan<'a, 'b> {
    pub queries: Queries<'a>,
    /// Blocks of the cache from number `dropped` on.
    pub blocks: &'a [&'a [f32]],
    pub dropped: usize,
    pub kv_head: usize,
    /// Numbers of the blocks to attend over.
    pub span: Range<usize>,
    /// The result; its content doesn't matter.
    pub state: &'a mut State<'b>,
    /// Room for [`scratch`](Self::scratch) numbers.
    pub scratch: &'a mut [f32],
}

/// What is kept beside the state.
struct Room<'a> {
    /// Of the block that is read, for each group of a key.
    key_scales: &'a mut [[Lanes; COLUMNS]],
    value_scales: &'a mut [Lanes],
    /// Of each query; then its weights, with the scales of values folded in.
    scores: &'a mut [[Lanes; COLUMNS]],
    /// Of each query.
    weights: &'a mut [[[i16; LANES]; COLUMNS]],
    /// What a query's state is multiplied with before a block is added.
    keep: &'a mut [f32],
    /// A query's largest score, then its largest weight, then what its integer sums are multiplied with.
    largest: &'a mut [f32],
    /// What makes integers of a query's weights.
    inverse: &'a mut [f32],
}

impl<'a> Room<'a> {
    fn sizes(count: usize, head_dim: usize) -> [usize; 7] {
        let (scores, each) = (count * BLOCK, count.next_multiple_of(LANES));
        [key_groups(head_dim) * BLOCK, BLOCK, scores, scores / 2, each, each, each]
    }

    fn new(scratch: &'a mut [f32], count: usize, head_dim: usize) -> Self {
        let mut rest = scratch;
        let [key_scales, value_scales, scores, weights, keep, largest, inverse] =
            Self::sizes(count, head_dim).map(|size| {
                let (part, more) = std::mem::take(&mut rest).split_at_mut(size);
                rest = more;
                part
            });
        Self {
            key_scales: key_scales.as_chunks_mut().0.as_chunks_mut().0,
            value_scales: value_scales.as_chunks_mut().0,
            scores: scores.as_chunks_mut().0.as_chunks_mut().0,
            weights: cast_mut(weights).as_chunks_mut().0.as_chunks_mut().0,
            keep,
            largest,
            inverse,
        }
    }
}

/// The next block's lines, asked for bit by bit while this one is computed.
pub(super) struct Ahead<'a> {
    lines: std::slice::Iter<'a, [u8; 64]>,
    /// Lines of a step.
    pub(super) step: usize,
}

impl<'a> Ahead<'a> {
    /// In so many steps.
    pub(super) fn new(numbers: &'a [f32], steps: usize) -> Self {
        let lines = cast::<u8>(numbers).as_chunks().0;
        Self { lines: lines.iter(), step: lines.len().div_ceil(steps) }
    }

    pub(super) fn nothing() -> Self {
        Self { lines: [].iter(), step: 0 }
    }

    #[inline(always)]
    pub(super) fn step<S: Bytes>(&mut self, s: S) {
        for _ in 0..self.step {
            if let Some(line) = self.lines.next() {
                s.prefetch(line);
            }
        }
    }
}

impl ByteSpan<'_, '_> {
    /// Numbers of scratch for `count` queries.
    pub fn scratch(count: usize, head_dim: usize) -> usize {
        Room::sizes(count, head_dim).iter().sum()
    }
}

impl Kernel for ByteSpan<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let (queries, count, head_dim) = (self.queries, self.queries.count(), self.queries.head_dim);
        let mut room = Room::new(self.scratch, count, head_dim);
        self.state.clear();
        let (start, len) = Format::Bytes.head_range(head_dim, self.kv_head);
        let head = |block: usize| &self.blocks[block - self.dropped][start..][..len];
        for block in self.span.clone() {
            let visible = queries.visible_in_block(block);
            if visible.is_empty() {
                continue;
            }
            let numbers = ByteHead::new(head(block), head_dim);
            let mut ahead =
                if block + 1 < self.span.end { Ahead::new(head(block + 1), STEPS) } else { Ahead::nothing() };
            room.widen_scales(s, &numbers);
            room.score(s, &queries, &numbers, &mut ahead);
            rescale(s, &queries, block, room.scores, room.keep, room.largest, self.state);
            room.weigh(s, &queries, block, self.state, &mut ahead);
            room.add(s, &numbers, count, &visible, self.state, &mut ahead);
        }
    }
}

impl Room<'_> {
    #[inline(always)]
    fn widen_scales<S: Bytes>(&mut self, s: S, head: &ByteHead<&[u8]>) {
        let from = head.key_scales.as_chunks().0.iter().zip(self.key_scales.as_flattened_mut());
        for (from, to) in from.chain(head.value_scales.as_chunks().0.iter().zip(self.value_scales.iter_mut())) {
            s.store(s.load_bf16(from), to);
        }
    }

    /// Scores of all positions of the block. Those that nobody sees may be anything.
    #[inline(always)]
    fn score<S: Bytes>(&mut self, s: S, queries: &Queries<'_>, head: &ByteHead<&[u8]>, ahead: &mut Ahead<'_>) {
        let keys: &[KeyRow] = head.keys.as_chunks::<64>().0.as_chunks().0;
        let (mut query, count) = (0, queries.count());
        while query < count {
            query += match (S::REGISTERS, count - query) {
                (Registers::Full, 3..) => self.score_rows::<S, 3, 4>(s, queries, keys, query, ahead),
                (Registers::Full, 2) => self.score_rows::<S, 2, 4>(s, queries, keys, query, ahead),
                (_, 2..) => self.score_rows::<S, 2, 1>(s, queries, keys, query, ahead),
                _ => self.score_rows::<S, 1, 2>(s, queries, keys, query, ahead),
            };
            ahead.step = if query == count { ahead.step } else { 0 };
        }
    }

    #[inline(always)]
    fn score_rows<S: Bytes, const ROWS: usize, const COUNT: usize>(
        &mut self,
        s: S,
        queries: &Queries<'_>,
        keys: &[KeyRow],
        query: usize,
        ahead: &mut Ahead<'_>,
    ) -> usize {
        for column in (0..COLUMNS).step_by(COUNT) {
            self.score_tile::<S, ROWS, COUNT>(s, queries, keys, query, column, ahead);
        }
        ROWS
    }

    #[inline(always)]
    fn score_tile<S: Bytes, const ROWS: usize, const COUNT: usize>(
        &mut self,
        s: S,
        queries: &Queries<'_>,
        keys: &[KeyRow],
        query: usize,
        column: usize,
        ahead: &mut Ahead<'_>,
    ) {
        let head_dim = queries.head_dim;
        let rows: [ByteQuery<'_>; ROWS] =
            std::array::from_fn(|r| ByteQuery::new(queries.query(query + r), head_dim, key_group(head_dim)));
        let size = key_group(head_dim) / 4;
        let mut scores = [[s.splat(0.0); COUNT]; ROWS];
        for (group, (keys, key_scales)) in keys.chunks(size).zip(self.key_scales.iter()).enumerate() {
            let (mut sums, mut words) = ([[s.splat_sums(0); COUNT]; ROWS], [rows[0].integers; ROWS]);
            for r in 0..ROWS {
                words[r] = &rows[r].integers[group * size..][..keys.len()];
                sums[r] = [s.splat_sums(-S::OFFSET * rows[r].sums[group]); COUNT];
            }
            for (g, keys) in keys.iter().enumerate() {
                ahead.step(s);
                let keys = &keys[column..column + COUNT];
                for r in 0..ROWS {
                    // SAFETY: these are as many as `keys`.
                    let factors = i32::from_le_bytes(unsafe { *words[r].get_unchecked(g) });
                    for c in 0..COUNT {
                        sums[r][c] = s.dot_bytes(sums[r][c], &keys[c], factors);
                    }
                }
            }
            let key_scales = &key_scales[column..column + COUNT];
            for r in 0..ROWS {
                let scale = s.splat(rows[r].scales[group]);
                for c in 0..COUNT {
                    let scale = s.mul(s.load(&key_scales[c]), scale);
                    scores[r][c] = s.fma(s.floats(sums[r][c]), scale, scores[r][c]);
                }
            }
        }
        for (r, out) in self.scores[query..query + ROWS].iter_mut().enumerate() {
            for c in 0..COUNT {
                s.store(scores[r][c], &mut out[column + c]);
            }
        }
    }

    /// Turns scores into integer weights, zero where a query doesn't see, with the scales of values folded in.
    #[inline(always)]
    fn weigh<S: Bytes>(
        &mut self,
        s: S,
        queries: &Queries<'_>,
        block: usize,
        state: &mut State<'_>,
        ahead: &mut Ahead<'_>,
    ) {
        let count = queries.count();
        let scales: &[Lanes; COLUMNS] = self.value_scales.first_chunk().unwrap_or(&[[0.0; LANES]; COLUMNS]);
        for (query, row) in self.scores.iter_mut().enumerate().take(count) {
            if queries.sees_in_block(query, block).is_empty() {
                row.as_flattened_mut().fill(0.0);
                (self.keep[query], self.largest[query]) = (1.0, 0.0);
                continue;
            }
            let (max, mut total, mut highest) = (s.splat(state.max[query]), s.splat(0.0), s.splat(0.0));
            for column in 0..COLUMNS {
                ahead.step(s);
                let weights = exp(s, s.sub(s.load(&row[column]), max));
                total = s.add(total, weights);
                let scaled = s.mul(weights, s.load(&scales[column]));
                highest = s.max(scaled, highest);
                s.store(scaled, &mut row[column]);
            }
            self.largest[query] = s.highest(highest);
            state.sum[query] = state.sum[query] * self.keep[query] + s.sum(total);
        }
        let largest = self.largest.as_chunks_mut().0.iter_mut();
        for (largest, inverse) in largest.zip(self.inverse.as_chunks_mut().0) {
            let v = s.load(largest);
            let integers = s.div(s.splat(LARGEST_WEIGHT), v);
            s.store(s.select_less(v, s.splat(TINY), s.splat(0.0), integers), inverse);
            let numbers = s.mul(v, s.splat(1.0 / LARGEST_WEIGHT));
            s.store(s.select_less(v, s.splat(TINY), s.splat(0.0), numbers), largest);
        }
        for ((row, weights), inverse) in self.scores.iter().zip(self.weights.iter_mut()).zip(&*self.inverse) {
            for column in 0..COLUMNS {
                s.store_halves(s.mul(s.load(&row[column]), s.splat(*inverse)), &mut weights[column]);
            }
        }
    }

    /// Adds the weighted values of the visible positions.
    #[inline(always)]
    fn add<S: Bytes>(
        &mut self,
        s: S,
        head: &ByteHead<&[u8]>,
        count: usize,
        visible: &Range<usize>,
        state: &mut State<'_>,
        ahead: &mut Ahead<'_>,
    ) {
        let pairs = visible.start / 2..visible.end.div_ceil(2);
        let values: &[[u8; 32]] = head.values.as_chunks().0;
        let mut query = 0;
        while query < count {
            query += match (S::REGISTERS, count - query) {
                (Registers::Full, 12..) => self.add_rows::<S, 12, 2>(s, values, query, &pairs, state, ahead),
                (Registers::Full, 8..) => self.add_rows::<S, 8, 2>(s, values, query, &pairs, state, ahead),
                (Registers::Full, 4..) => self.add_rows::<S, 4, 4>(s, values, query, &pairs, state, ahead),
                (Registers::Full, 2..) => self.add_rows::<S, 2, 8>(s, values, query, &pairs, state, ahead),
                (_, 2..) => self.add_rows::<S, 2, 2>(s, values, query, &pairs, state, ahead),
                _ => self.add_rows::<S, 1, 4>(s, values, query, &pairs, state, ahead),
            };
        }
    }

    #[inline(always)]
    fn add_rows<S: Bytes, const ROWS: usize, const COUNT: usize>(
        &mut self,
        s: S,
        values: &[[u8; 32]],
        query: usize,
        pairs: &Range<usize>,
        state: &mut State<'_>,
        ahead: &mut Ahead<'_>,
    ) -> usize {
        let stride = values.len() / (BLOCK / 2);
        let mut column = 0;
        while column < stride {
            if stride - column >= COUNT {
                self.add_tile::<S, ROWS, COUNT>(s, values, query, pairs, column, state, ahead);
                column += COUNT;
            } else {
                self.add_tile::<S, ROWS, 1>(s, values, query, pairs, column, state, ahead);
                column += 1;
            }
        }
        ROWS
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn add_tile<S: Bytes, const ROWS: usize, const COUNT: usize>(
        &mut self,
        s: S,
        values: &[[u8; 32]],
        query: usize,
        pairs: &Range<usize>,
        column: usize,
        state: &mut State<'_>,
        ahead: &mut Ahead<'_>,
    ) {
        let stride = values.len() / (BLOCK / 2);
        let weights: &[[[i16; 2]; BLOCK / 2]] =
            self.weights.as_flattened().as_flattened().as_chunks::<2>().0.as_chunks().0;
        let weights: &[_; ROWS] = weights[query..].first_chunk().unwrap_or(&[[[0; 2]; BLOCK / 2]; ROWS]);
        let mut sums = [[s.splat_sums(0); COUNT]; ROWS];
        let rows = values.chunks_exact(stride).enumerate().skip(pairs.start).take(pairs.len());
        for (pair, row) in rows {
            ahead.step(s);
            let row = &row[column..column + COUNT];
            let mut wide = [s.pairs(&row[0]); COUNT];
            for c in 1..COUNT {
                wide[c] = s.pairs(&row[c]);
            }
            for r in 0..ROWS {
                let [low, high] = weights[r][pair];
                let factors = i32::from(low.cast_unsigned()) | i32::from(high) << 16;
                for c in 0..COUNT {
                    sums[r][c] = s.dot_pairs(sums[r][c], wide[c], factors);
                }
            }
        }
        // Through memory: a loop over sums that isn't unrolled would keep them out of registers above.
        let mut numbers = [[[0.0; LANES]; COUNT]; ROWS];
        for r in 0..ROWS {
            for c in 0..COUNT {
                s.store(s.floats(sums[r][c]), &mut numbers[r][c]);
            }
        }
        let out: &mut [Lanes] = state.values.as_chunks_mut().0;
        let factors = self.keep[query..].iter().zip(&self.largest[query..]);
        for ((out, numbers), (keep, factor)) in out[query * stride..].chunks_mut(stride).zip(&numbers).zip(factors) {
            let (keep, factor) = (s.splat(*keep), s.splat(*factor));
            for (out, number) in out[column..].iter_mut().zip(numbers) {
                s.store(s.fma(s.load(number), factor, s.mul(s.load(out), keep)), out);
            }
        }
    }
}
