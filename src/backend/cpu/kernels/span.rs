//! Attention of a few queries over a span of positions in f32.
//!
//! Blocks and spans begin at fixed positions. Within a span, blocks are taken in order with a running maximum
//! (Milakov and Gimelshein 2018), and spans are united in order. So the result of a query depends neither on how its
//! sequence was cut into slices nor on which thread took which span. What a query doesn't see adds nothing at all.

use std::ops::Range;

use super::super::head::{BLOCK, float_head};
use super::super::simd::{Kernel, LANES, Lanes, Simd, exp, exp_one};
use super::activate::softcap;
use super::panel::{Panel, Strided};
use super::queries::{Queries, State};

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
    /// Room for [`scratch`](Self::scratch) numbers.
    pub scratch: &'a mut [f32],
}

impl Span<'_, '_> {
    /// Numbers of scratch for `count` queries.
    pub fn scratch(count: usize) -> usize {
        (BLOCK + 1) * count
    }
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
            let Range { start: first, end } = queries.visible_in_block(block);
            if first >= end {
                continue;
            }
            let (keys, values) = float_head(self.blocks[block - self.dropped], queries.head_dim, self.kv_head);
            let rows = Strided {
                data: queries.data,
                group: queries.group,
                outer: queries.stride,
                inner: queries.width,
                len: queries.head_dim,
            };
            let columns = first / LANES..end.div_ceil(LANES);
            Panel { matrix: keys, out: scores, stride: BLOCK / LANES, columns, keep: None }.multiply(s, rows, count);
            for query in 0..count {
                let sees = queries.sees_in_block(query, block);
                let row = &mut scores[query * BLOCK..][..BLOCK];
                if let Some(cap) = queries.softcap {
                    for scores in row.as_chunks_mut().0 {
                        s.store(softcap(s, s.load(scores), cap), scores);
                    }
                }
                queries.hide(query / queries.group, block, row);
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
