//! Products of activations with rows of weights.
//!
//! The sum over the inputs is the same in all of them: lane `i` of one accumulator sums the products of the inputs
//! `i`, `i + 16`, `i + 32` and so on, in this order, and then the lanes are added. So a result depends neither on the
//! number of rows nor on how they are split into tiles.

use super::super::simd::{Kernel, LANES, Lanes, Registers, Simd, prefetch};
use super::dequantize::widen_scales;
use super::stored::{Codec, Stored, with_codec};

/// The most outputs of a tile: rows of weights for [`DotsOfRows`] are padded to a multiple of it.
pub(in super::super) const OUTPUT_TILE: usize = 4;

/// How many tiles ahead weights are asked for.
const PREFETCH_TILES: usize = 1;

/// One row of activations with rows of stored weights, dequantized on the fly.
pub(in super::super) struct DotsOfOneRow<'a> {
    /// The inputs are a multiple of 16.
    pub stored: Stored<'a>,
    /// As many as inputs.
    pub x: &'a [f32],
    /// One for each row of weights.
    pub out: &'a mut [f32],
    /// Room for the scales and biases, `2 * rows * groups`.
    pub scales: &'a mut [f32],
}

impl Kernel for DotsOfOneRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (scales, biases) = widen_scales(s, &self.stored, self.scales);
        let x = self.x.as_chunks().0;
        with_codec!(self.stored.format, C => one_row::<S, C>(s, &self.stored, scales, biases, x, self.out));
    }
}

#[inline(always)]
fn one_row<S: Simd, C: Codec>(s: S, stored: &Stored<'_>, scales: &[f32], biases: &[f32], x: &[Lanes], out: &mut [f32]) {
    let mut row = 0;
    if S::REGISTERS == Registers::Full {
        while row + 4 <= stored.rows {
            one_row_tile::<S, C, 4>(s, stored, scales, biases, x, row, out);
            row += 4;
        }
    } else {
        while row + 2 <= stored.rows {
            one_row_tile::<S, C, 2>(s, stored, scales, biases, x, row, out);
            row += 2;
        }
    }
    while row < stored.rows {
        one_row_tile::<S, C, 1>(s, stored, scales, biases, x, row, out);
        row += 1;
    }
}

#[inline(always)]
fn one_row_tile<S: Simd, C: Codec, const OUTPUTS: usize>(
    s: S,
    stored: &Stored<'_>,
    scales: &[f32],
    biases: &[f32],
    x: &[Lanes],
    row: usize,
    out: &mut [f32],
) {
    let groups = stored.groups().max(1);
    let per_group = x.len() / groups;
    let chunks = C::chunks(stored.codes);
    let mut sums = [s.splat(0.0); OUTPUTS];
    for g in 0..groups {
        let x = &x[g * per_group..][..per_group];
        let mut weights = [&chunks[..0]; OUTPUTS];
        let mut group = [C::group(s, 0.0, 0.0); OUTPUTS];
        for i in 0..OUTPUTS {
            weights[i] = &chunks[(row + i) * (groups * per_group) + g * per_group..][..per_group];
            if C::GROUPED {
                let at = (row + i) * groups + g;
                group[i] = C::group(s, scales[at], biases[at]);
                // Processors follow one stream in a page, and this is several.
                prefetch(weights[i], PREFETCH_TILES * OUTPUTS * groups * per_group);
            }
        }
        for c in 0..per_group {
            let x = s.load(&x[c]);
            for i in 0..OUTPUTS {
                sums[i] = s.fma(C::load(s, &weights[i][c], group[i]), x, sums[i]);
            }
        }
    }
    for i in 0..OUTPUTS {
        out[row + i] = s.sum(sums[i]);
    }
}

/// Several rows of activations with rows of f32 weights.
pub(in super::super) struct DotsOfRows<'a> {
    /// `outputs × stride`, with `outputs` padded to a multiple of [`OUTPUT_TILE`].
    pub weights: &'a [f32],
    /// `rows × stride`.
    pub x: &'a [f32],
    /// Numbers in a row of both; a multiple of 16.
    pub stride: usize,
    pub rows: usize,
    /// Row by row, `rows × outputs`, with outputs padded as in the weights.
    pub out: &'a mut [f32],
}

impl Kernel for DotsOfRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match S::REGISTERS {
            Registers::Full => self.tiles::<S, 4, 6>(s),
            Registers::Half => self.tiles::<S, 2, 3>(s),
            Registers::Narrow => self.tiles::<S, 2, 2>(s),
        }
    }
}

impl DotsOfRows<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const OUTPUTS: usize, const ROWS: usize>(mut self, s: S) {
        let mut row = 0;
        while row < self.rows {
            // Rows are left over at the end only; then the tile shrinks.
            let count = (self.rows - row).min(ROWS);
            match count {
                1 => self.row_tile::<S, OUTPUTS, 1>(s, row),
                2 => self.row_tile::<S, OUTPUTS, 2>(s, row),
                3 if ROWS >= 3 => self.row_tile::<S, OUTPUTS, 3>(s, row),
                4 if ROWS >= 4 => self.row_tile::<S, OUTPUTS, 4>(s, row),
                5 if ROWS >= 5 => self.row_tile::<S, OUTPUTS, 5>(s, row),
                _ => self.row_tile::<S, OUTPUTS, ROWS>(s, row),
            }
            row += count;
        }
    }

    #[inline(always)]
    fn row_tile<S: Simd, const OUTPUTS: usize, const ROWS: usize>(&mut self, s: S, row: usize) {
        let chunks = self.stride / LANES;
        let (weights, all) = (self.weights.as_chunks().0, self.x.as_chunks().0);
        let outputs = weights.len() / chunks;
        let mut x = [&all[..0]; ROWS];
        for r in 0..ROWS {
            x[r] = &all[(row + r) * chunks..][..chunks];
        }
        for output in (0..outputs).step_by(OUTPUTS) {
            let mut w = [&weights[..0]; OUTPUTS];
            for o in 0..OUTPUTS {
                w[o] = &weights[(output + o) * chunks..][..chunks];
            }
            let sums = tile(s, w, x, chunks);
            for (o, sums) in sums.into_iter().enumerate() {
                for (r, sum) in sums.into_iter().enumerate() {
                    self.out[(row + r) * outputs + output + o] = s.sum(sum);
                }
            }
        }
    }
}

#[inline(always)]
fn tile<S: Simd, const OUTPUTS: usize, const ROWS: usize>(
    s: S,
    weights: [&[Lanes]; OUTPUTS],
    x: [&[Lanes]; ROWS],
    chunks: usize,
) -> [[S::V; ROWS]; OUTPUTS] {
    let mut sums = [[s.splat(0.0); ROWS]; OUTPUTS];
    for c in 0..chunks {
        let mut w = [s.splat(0.0); OUTPUTS];
        for o in 0..OUTPUTS {
            w[o] = s.load(&weights[o][c]);
        }
        for r in 0..ROWS {
            let x = s.load(&x[r][c]);
            for o in 0..OUTPUTS {
                sums[o][r] = s.fma(w[o], x, sums[o][r]);
            }
        }
    }
    sums
}
