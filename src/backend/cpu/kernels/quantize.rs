//! Rows of activations as i8 numbers.
//!
//! Each block of 32 or 64 numbers has a scale, so that its largest one becomes 127 or -127.

use super::super::simd::{Integer, IntegerKernel, LANES, UNIT, Unit};

/// Blocks whose numbers are all smaller than this count as zeros: their scale would lose bits.
const TINY: f32 = 1e-30;

/// Adding and subtracting it rounds small numbers to whole ones, to even when in the middle.
const ROUND: f32 = 12_582_912.0;

/// Rows as i8. Rows end with zeros up to a whole [`Unit`].
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Quantized<'a> {
    pub units: &'a [Unit],
    /// What a unit of each block is worth.
    pub scales: &'a [f32],
    /// The sum of each block's numbers, as they were rounded.
    pub sums: &'a [f32],
    pub rows: usize,
}

impl<'a> Quantized<'a> {
    /// One row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> Quantized<'a> {
        let (units, blocks) = (self.units.len() / self.rows, self.scales.len() / self.rows);
        Quantized {
            units: &self.units[row * units..][..units],
            scales: &self.scales[row * blocks..][..blocks],
            sums: &self.sums[row * blocks..][..blocks],
            rows: 1,
        }
    }
}

/// Makes [`Quantized`] rows. Numbers that are not finite make the sum of their block NaN.
pub(in super::super) struct Quantize<'a> {
    pub x: &'a [f32],
    /// A multiple of the block.
    pub width: usize,
    /// 32 or 64.
    pub block: usize,
    pub units: &'a mut [Unit],
    pub scales: &'a mut [f32],
    pub sums: &'a mut [f32],
}

impl IntegerKernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, s: S) {
        if self.block == UNIT { rows::<S, 4>(s, self) } else { rows::<S, 2>(s, self) }
    }
}

/// `CHUNKS` of 16 numbers make a block.
#[inline(always)]
fn rows<S: Integer, const CHUNKS: usize>(s: S, to: Quantize<'_>) {
    let units = to.width.div_ceil(UNIT);
    let blocks = units * UNIT / LANES / CHUNKS;
    let rows = to.x.chunks_exact(to.width).zip(to.units.chunks_exact_mut(units));
    let results = to.scales.chunks_exact_mut(blocks).zip(to.sums.chunks_exact_mut(blocks));
    for ((x, units), (scales, sums)) in rows.zip(results) {
        let from = x.as_chunks::<LANES>().0.as_chunks::<CHUNKS>().0;
        let numbers = units.as_flattened_mut().as_chunks_mut::<LANES>().0;
        let (used, unused) = numbers.split_at_mut(from.len() * CHUNKS);
        let blocks = from.iter().zip(used.as_chunks_mut::<CHUNKS>().0);
        for ((x, numbers), (scale, sum)) in blocks.zip(scales.iter_mut().zip(sums.iter_mut())) {
            let mut v = [s.splat(0.0); CHUNKS];
            let mut highest = s.splat(0.0);
            for i in 0..CHUNKS {
                v[i] = s.load(&x[i]);
                // `max` gives its second operand when the first is not a number.
                highest = s.max(v[i], highest);
                highest = s.max(s.sub(s.splat(0.0), v[i]), highest);
            }
            let highest = s.highest(highest);
            let factor = if highest < TINY { 0.0 } else { 127.0 / highest };
            *scale = if highest < TINY { 0.0 } else { highest / 127.0 };
            // Whole numbers: the sum is exact. What is not finite became NaN.
            let mut total = s.splat(0.0);
            for i in 0..CHUNKS {
                let scaled = s.mul(v[i], s.splat(factor));
                let whole = s.sub(s.add(scaled, s.splat(ROUND)), s.splat(ROUND));
                total = s.add(total, whole);
                s.narrow(whole, &mut numbers[i]);
            }
            *sum = *scale * s.sum(total);
        }
        unused.fill([0; LANES]);
        scales[from.len()..].fill(0.0);
        sums[from.len()..].fill(0.0);
    }
}
