//! Attention of a few queries over a span of positions in codes of 4 bits.
//!
//! As [`ByteSpan`](super::ByteSpan), except that a group of a key has a bias, which counts with the sum of the query's
//! group, and that each group of a value has a scale and a bias of its own: a query has weights for each of them.

use std::ops::Range;

use super::super::buffer::cast_mut;
use super::super::head::{BLOCK, CodeHead, Format, code_group, code_groups};
use super::super::simd::{Bytes, Kernel, LANES, Lanes, Registers, exp};
use super::byte_span::{Ahead, LARGEST_WEIGHT, TINY};
use super::bytes::ByteQuery;
use super::queries::{COLUMNS, Queries, State, rescale};

/// Steps in which the next block is asked for: those of one pass over keys, scores and values.
const STEPS: usize = 56;

/// Vectors of a value that share a scale and a bias.
const VECTORS: usize = 32 / LANES;

/// Four dimensions of a block's keys, 32 positions at a time.
type KeyRow = [[u8; 64]; COLUMNS / 2];

/// A query's weights of a block, two positions side by side.
type Weights = [[i16; 2]; BLOCK / 2];

/// Attends over some consecutive blocks.
pub(in super::super) struct CodeSpan<'a, 'b> {
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
    /// Of the block that is read, for each group: scales and biases of keys, then of values.
    scales: &'a mut [[Lanes; COLUMNS]],
    /// Of each query; then its weights.
    scores: &'a mut [[Lanes; COLUMNS]],
    /// Of each group and query, with the scales of values folded in.
    weights: &'a mut [[[i16; LANES]; COLUMNS]],
    /// What a query's state is multiplied with before a block is added.
    keep: &'a mut [f32],
    /// A query's largest score.
    highest: &'a mut [f32],
    /// Of each group and query: the largest weight, then what integer sums are multiplied with.
    largest: &'a mut [f32],
    /// Of each group and query: what makes integers of weights.
    inverse: &'a mut [f32],
    /// Of each group and query: the weighted sum of the biases.
    biases: &'a mut [f32],
}

impl<'a> Room<'a> {
    fn sizes(count: usize, head_dim: usize) -> [usize; 8] {
        let (scores, each, groups) = (count * BLOCK, count.next_multiple_of(LANES), code_groups(head_dim));
        let of_groups = each * groups;
        [4 * groups * BLOCK, scores, groups * scores / 2, each, each, of_groups, of_groups, of_groups]
    }

    fn new(scratch: &'a mut [f32], count: usize, head_dim: usize) -> Self {
        let mut rest = scratch;
        let [scales, scores, weights, keep, highest, largest, inverse, biases] =
            Self::sizes(count, head_dim).map(|size| {
                let (part, more) = std::mem::take(&mut rest).split_at_mut(size);
                rest = more;
                part
            });
        Self {
            scales: scales.as_chunks_mut().0.as_chunks_mut().0,
            scores: scores.as_chunks_mut().0.as_chunks_mut().0,
            weights: cast_mut(weights).as_chunks_mut().0.as_chunks_mut().0,
            keep,
            highest,
            largest,
            inverse,
            biases,
        }
    }
}

impl CodeSpan<'_, '_> {
    /// Numbers of scratch for `count` queries.
    pub fn scratch(count: usize, head_dim: usize) -> usize {
        Room::sizes(count, head_dim).iter().sum()
    }
}

impl Kernel for CodeSpan<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Bytes>(self, s: S) {
        let (queries, count, head_dim) = (self.queries, self.queries.count(), self.queries.head_dim);
        let mut room = Room::new(self.scratch, count, head_dim);
        self.state.clear();
        let (start, len) = Format::Codes.head_range(head_dim, self.kv_head);
        let head = |block: usize| &self.blocks[block - self.dropped][start..][..len];
        for block in self.span.clone() {
            let visible = queries.visible_in_block(block);
            if visible.is_empty() {
                continue;
            }
            let codes = CodeHead::new(head(block), head_dim);
            let mut ahead =
                if block + 1 < self.span.end { Ahead::new(head(block + 1), STEPS) } else { Ahead::nothing() };
            for (from, to) in codes.scales.as_chunks().0.iter().zip(room.scales.as_flattened_mut()) {
                s.store(s.load_bf16(from), to);
            }
            room.score(s, &queries, codes.keys, &mut ahead);
            rescale(s, &queries, block, room.scores, room.keep, room.highest, self.state);
            room.weigh(s, &queries, block, self.state, &mut ahead);
            room.add(s, codes.values, count, &visible, self.state, &mut ahead);
        }
    }
}

impl Room<'_> {
    /// Scores of all positions of the block. Those that nobody sees may be anything.
    #[inline(always)]
    fn score<S: Bytes>(&mut self, s: S, queries: &Queries<'_>, keys: &[u8], ahead: &mut Ahead<'_>) {
        let keys: &[KeyRow] = keys.as_chunks::<64>().0.as_chunks().0;
        let (mut query, count) = (0, queries.count());
        while query < count {
            query += match (S::REGISTERS, count - query) {
                (Registers::Full, 3..) => self.score_rows::<S, 3, 2>(s, queries, keys, query, ahead),
                (Registers::Full, 2) => self.score_rows::<S, 2, 2>(s, queries, keys, query, ahead),
                (_, 2..) => self.score_rows::<S, 2, 1>(s, queries, keys, query, ahead),
                _ => self.score_rows::<S, 1, 2>(s, queries, keys, query, ahead),
            };
            ahead.step = if query == count { ahead.step } else { 0 };
        }
    }

    /// `COUNT` times 32 positions at a time.
    #[inline(always)]
    fn score_rows<S: Bytes, const ROWS: usize, const COUNT: usize>(
        &mut self,
        s: S,
        queries: &Queries<'_>,
        keys: &[KeyRow],
        query: usize,
        ahead: &mut Ahead<'_>,
    ) -> usize {
        for half in (0..COLUMNS / 2).step_by(COUNT) {
            self.score_tile::<S, ROWS, COUNT>(s, queries, keys, query, half, ahead);
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
        half: usize,
        ahead: &mut Ahead<'_>,
    ) {
        let head_dim = queries.head_dim;
        let size = code_group(head_dim);
        let rows: [ByteQuery<'_>; ROWS] =
            std::array::from_fn(|r| ByteQuery::new(queries.query(query + r), head_dim, size));
        let size = size / 4;
        let (scales, rest) = self.scales.split_at(code_groups(head_dim));
        let mut scores = [[[s.splat(0.0); 2]; COUNT]; ROWS];
        for (group, (keys, (scales, biases))) in keys.chunks(size).zip(scales.iter().zip(rest)).enumerate() {
            let (mut sums, mut words) = ([[[s.splat_sums(0); 2]; COUNT]; ROWS], [rows[0].integers; ROWS]);
            for r in 0..ROWS {
                words[r] = &rows[r].integers[group * size..][..keys.len()];
            }
            for (g, keys) in keys.iter().enumerate() {
                ahead.step(s);
                let keys = &keys[half..half + COUNT];
                let mut codes = [s.codes(&keys[0]); COUNT];
                for c in 1..COUNT {
                    codes[c] = s.codes(&keys[c]);
                }
                for r in 0..ROWS {
                    // SAFETY: these are as many as `keys`.
                    let factors = i32::from_le_bytes(unsafe { *words[r].get_unchecked(g) });
                    for c in 0..COUNT {
                        for i in 0..2 {
                            sums[r][c][i] = s.dot_codes(sums[r][c][i], codes[c][i], factors);
                        }
                    }
                }
            }
            for r in 0..ROWS {
                let scale = s.splat(rows[r].scales[group]);
                let sum = s.splat(rows[r].scales[group] * rows[r].sums[group] as f32);
                for c in 0..COUNT {
                    for i in 0..2 {
                        let column = 2 * (half + c) + i;
                        let scale = s.mul(s.load(&scales[column]), scale);
                        let with_bias = s.fma(s.load(&biases[column]), sum, scores[r][c][i]);
                        scores[r][c][i] = s.fma(s.floats(sums[r][c][i]), scale, with_bias);
                    }
                }
            }
        }
        for (r, out) in self.scores[query..query + ROWS].iter_mut().enumerate() {
            for c in 0..COUNT {
                for i in 0..2 {
                    s.store(scores[r][c][i], &mut out[2 * (half + c) + i]);
                }
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
        let (count, each) = (queries.count(), self.highest.len());
        let groups = self.scales.len() / 4;
        let (scales, biases) = self.scales[2 * groups..].split_at(groups);
        for (query, row) in self.scores.iter_mut().enumerate().take(count) {
            if queries.sees_in_block(query, block).is_empty() {
                row.as_flattened_mut().fill(0.0);
                self.keep[query] = 1.0;
            } else {
                let (max, mut total) = (s.splat(state.max[query]), s.splat(0.0));
                for weights in row.iter_mut() {
                    ahead.step(s);
                    let weight = exp(s, s.sub(s.load(weights), max));
                    total = s.add(total, weight);
                    s.store(weight, weights);
                }
                state.sum[query] = state.sum[query] * self.keep[query] + s.sum(total);
            }
            for group in 0..groups {
                let (mut highest, mut bias) = (s.splat(0.0), s.splat(0.0));
                for column in 0..COLUMNS {
                    let weight = s.load(&row[column]);
                    highest = s.max(s.mul(weight, s.load(&scales[group][column])), highest);
                    bias = s.fma(weight, s.load(&biases[group][column]), bias);
                }
                self.largest[group * each + query] = s.highest(highest);
                self.biases[group * each + query] = s.sum(bias);
            }
        }
        let largest = self.largest.as_chunks_mut().0.iter_mut();
        for (largest, inverse) in largest.zip(self.inverse.as_chunks_mut().0) {
            let v = s.load(largest);
            let integers = s.div(s.splat(LARGEST_WEIGHT), v);
            s.store(s.select_less(v, s.splat(TINY), s.splat(0.0), integers), inverse);
            let numbers = s.mul(v, s.splat(1.0 / LARGEST_WEIGHT));
            s.store(s.select_less(v, s.splat(TINY), s.splat(0.0), numbers), largest);
        }
        for group in 0..groups {
            let (weights, inverse) = (&mut self.weights[group * count..], &self.inverse[group * each..]);
            for ((row, weights), inverse) in self.scores.iter().zip(weights).zip(inverse) {
                for column in 0..COLUMNS {
                    let scaled = s.mul(s.load(&row[column]), s.load(&scales[group][column]));
                    s.store_halves(s.mul(scaled, s.splat(*inverse)), &mut weights[column]);
                }
            }
        }
    }

    /// Adds the weighted values of the visible positions.
    #[inline(always)]
    fn add<S: Bytes>(
        &mut self,
        s: S,
        values: &[u8],
        count: usize,
        visible: &Range<usize>,
        state: &mut State<'_>,
        ahead: &mut Ahead<'_>,
    ) {
        let quads = visible.start / 4..visible.end.div_ceil(4);
        let values: &[[u8; 32]] = values.as_chunks().0;
        let mut query = 0;
        while query < count {
            query += match (S::REGISTERS, count - query) {
                (Registers::Full, 12..) => self.add_rows::<S, 12, 2>(s, values, count, query, &quads, state, ahead),
                (Registers::Full, 4..) => self.add_rows::<S, 4, 4>(s, values, count, query, &quads, state, ahead),
                (Registers::Full, 2..) => self.add_rows::<S, 2, 8>(s, values, count, query, &quads, state, ahead),
                (_, 2..) => self.add_rows::<S, 2, 2>(s, values, count, query, &quads, state, ahead),
                _ => self.add_rows::<S, 1, 4>(s, values, count, query, &quads, state, ahead),
            };
        }
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn add_rows<S: Bytes, const ROWS: usize, const COUNT: usize>(
        &mut self,
        s: S,
        values: &[[u8; 32]],
        count: usize,
        query: usize,
        quads: &Range<usize>,
        state: &mut State<'_>,
        ahead: &mut Ahead<'_>,
    ) -> usize {
        let stride = values.len() / (BLOCK / 4);
        let mut column = 0;
        while column < stride {
            if stride - column >= COUNT {
                self.add_tile::<S, ROWS, COUNT>(s, values, count, query, quads, column, state, ahead);
                column += COUNT;
            } else {
                self.add_tile::<S, ROWS, 1>(s, values, count, query, quads, column, state, ahead);
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
        count: usize,
        query: usize,
        quads: &Range<usize>,
        column: usize,
        state: &mut State<'_>,
        ahead: &mut Ahead<'_>,
    ) {
        let stride = values.len() / (BLOCK / 4);
        let all: &[Weights] = self.weights.as_flattened().as_flattened().as_chunks::<2>().0.as_chunks().0;
        let group = |c: usize| (column + c) / VECTORS;
        let weights: [[&Weights; ROWS]; COUNT] =
            std::array::from_fn(|c| std::array::from_fn(|r| &all[group(c) * count + query + r]));
        let mut sums = [[s.splat_sums(0); COUNT]; ROWS];
        let rows = values.chunks_exact(stride).enumerate().skip(quads.start).take(quads.len());
        for (quad, row) in rows {
            ahead.step(s);
            let row = &row[column..column + COUNT];
            let mut wide = [s.code_pairs(&row[0]); COUNT];
            for c in 1..COUNT {
                wide[c] = s.code_pairs(&row[c]);
            }
            for i in 0..2 {
                for r in 0..ROWS {
                    for c in 0..COUNT {
                        let [low, high] = weights[c][r][2 * quad + i];
                        let factors = i32::from(low.cast_unsigned()) | i32::from(high) << 16;
                        sums[r][c] = s.dot_pairs(sums[r][c], wide[c][i], factors);
                    }
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
        let (out, each): (&mut [Lanes], _) = (state.values.as_chunks_mut().0, self.keep.len());
        for (r, numbers) in numbers.iter().enumerate() {
            let (query, keep) = (query + r, s.splat(self.keep[query + r]));
            for (c, (out, number)) in out[query * stride + column..].iter_mut().zip(numbers).enumerate() {
                let at = group(c) * each + query;
                let (factor, bias) = (s.splat(self.largest[at]), s.splat(self.biases[at]));
                s.store(s.add(s.fma(s.load(number), factor, s.mul(s.load(out), keep)), bias), out);
            }
        }
    }
}
