//! Products of activations with rows of weights.
//!
//! The sum over the inputs is the same in all of them: lane `i` of one accumulator sums the products of the inputs
//! `i`, `i + 16`, `i + 32` and so on, in this order, and then the lanes are added. So a result depends neither on the
//! number of rows nor on how they are split into tiles.

use super::super::simd::{Kernel, LANES, Lanes, Registers, Simd};
use super::dequantize::widen_scales;
use super::stored::{Codec, Stored, with_codec};

/// The most outputs of a tile: rows of weights for [`DotsOfRows`] are padded to a multiple of it.
pub(in super::super) const OUTPUT_TILE: usize = 4;

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
    let rows = if S::REGISTERS == Registers::Full {
        one_row_tiles::<S, C, 4>(s, stored, scales, biases, x, 0, out)
    } else {
        one_row_tiles::<S, C, 2>(s, stored, scales, biases, x, 0, out)
    };
    one_row_tiles::<S, C, 1>(s, stored, scales, biases, x, rows, out);
}

/// Dots with the rows from `first` on, `OUTPUTS` at a time, as far as that goes. Gives the first row left over.
///
/// The rows of a tile are far apart: processors fetch ahead along one stream in a page of memory, not along several.
#[inline(always)]
fn one_row_tiles<S: Simd, C: Codec, const OUTPUTS: usize>(
    s: S,
    stored: &Stored<'_>,
    scales: &[f32],
    biases: &[f32],
    x: &[Lanes],
    first: usize,
    out: &mut [f32],
) -> usize {
    let groups = stored.groups().max(1);
    let per_group = x.len() / groups;
    let per_row = groups * per_group;
    let distance = (stored.rows - first) / OUTPUTS;
    let chunks = C::chunks(stored.codes);
    for row in first..first + distance {
        let mut weights = [&chunks[..0]; OUTPUTS];
        let mut scale = [&scales[..0]; OUTPUTS];
        let mut bias = [&biases[..0]; OUTPUTS];
        for i in 0..OUTPUTS {
            let row = row + i * distance;
            weights[i] = &chunks[row * per_row..][..per_row];
            if C::GROUPED {
                scale[i] = &scales[row * groups..][..groups];
                bias[i] = &biases[row * groups..][..groups];
            }
        }
        let mut sums = [s.splat(0.0); OUTPUTS];
        for g in 0..groups {
            let mut group = [C::group(s, 0.0, 0.0); OUTPUTS];
            if C::GROUPED {
                for i in 0..OUTPUTS {
                    // SAFETY: `g` is less than `groups`, the length of each.
                    group[i] = unsafe { C::group(s, *scale[i].get_unchecked(g), *bias[i].get_unchecked(g)) };
                }
            }
            let (mut c, end) = (g * per_group, (g + 1) * per_group);
            while c + 2 <= end {
                // SAFETY: `c + 1 < end`, which is at most `per_row`, which is at most the length of `x`.
                unsafe {
                    add_products::<S, C, OUTPUTS>(s, &weights, c, x, &group, &mut sums);
                    add_products::<S, C, OUTPUTS>(s, &weights, c + 1, x, &group, &mut sums);
                }
                c += 2;
            }
            if c < end {
                // SAFETY: as above.
                unsafe { add_products::<S, C, OUTPUTS>(s, &weights, c, x, &group, &mut sums) };
            }
        }
        for i in 0..OUTPUTS {
            out[row + i * distance] = s.sum(C::restore(s, sums[i]));
        }
    }
    first + OUTPUTS * distance
}

/// Adds the products of 16 inputs. Unchecked, because it is a few instructions long.
///
/// # Safety
///
/// All slices have more than `c` elements.
#[inline(always)]
unsafe fn add_products<S: Simd, C: Codec, const OUTPUTS: usize>(
    s: S,
    weights: &[&[C::Chunk]; OUTPUTS],
    c: usize,
    x: &[Lanes],
    group: &[S::Affine; OUTPUTS],
    sums: &mut [S::V; OUTPUTS],
) {
    // SAFETY: see above.
    let x = C::arrange(s, s.load(unsafe { x.get_unchecked(c) }));
    for i in 0..OUTPUTS {
        // SAFETY: see above.
        let chunk = unsafe { weights[i].get_unchecked(c) };
        sums[i] = s.fma(C::load_arranged(s, chunk, group[i]), x, sums[i]);
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
            #[cfg(target_arch = "x86_64")]
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
