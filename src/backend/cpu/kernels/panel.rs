//! Products of a few rows with a row-major matrix, for attention.

use super::super::simd::{LANES, Lanes, Registers, Simd};

/// Rows within a slice: row `i` begins at `(i / group) * outer + (i % group) * inner`.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub data: &'a [f32],
    pub group: usize,
    pub outer: usize,
    pub inner: usize,
    /// Numbers in a row.
    pub len: usize,
}

impl<'a> Strided<'a> {
    #[inline(always)]
    fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i / self.group * self.outer + i % self.group * self.inner..][..self.len]
    }
}

/// A product's right side and result, in columns of 16 numbers.
pub(super) struct Panel<'a> {
    /// Row-major, from the first row that counts on.
    pub matrix: &'a [f32],
    /// Row by row, as wide as the matrix.
    pub out: &'a mut [f32],
    /// Columns in a row of both.
    pub stride: usize,
    /// Columns to compute.
    pub columns: std::ops::Range<usize>,
    /// What each row of `out` is multiplied with before the product is added; overwritten when absent.
    pub keep: Option<&'a [f32]>,
}

impl Panel<'_> {
    /// `out[i] = keep[i] * out[i] + Σ rows[i][k] * matrix[k]`, summed over `k` in order.
    #[inline(always)]
    pub fn multiply<S: Simd>(mut self, s: S, rows: Strided<'_>, count: usize) {
        let mut row = 0;
        while row < count {
            row += match count - row {
                4.. if S::REGISTERS == Registers::Full => self.rows::<S, 4>(s, rows, row),
                2.. => self.rows::<S, 2>(s, rows, row),
                _ => self.rows::<S, 1>(s, rows, row),
            };
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize>(&mut self, s: S, rows: Strided<'_>, row: usize) -> usize {
        let mut column = self.columns.start;
        while column < self.columns.end {
            column += match self.columns.end - column {
                4.. if S::REGISTERS == Registers::Full => self.tile::<S, ROWS, 4>(s, rows, row, column),
                2.. => self.tile::<S, ROWS, 2>(s, rows, row, column),
                _ => self.tile::<S, ROWS, 1>(s, rows, row, column),
            };
        }
        ROWS
    }

    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const COLUMNS: usize>(
        &mut self,
        s: S,
        rows: Strided<'_>,
        row: usize,
        column: usize,
    ) -> usize {
        let mut left = [rows.data; ROWS];
        let mut sums = [[s.splat(0.0); COLUMNS]; ROWS];
        for r in 0..ROWS {
            left[r] = rows.row(row + r);
            if let Some(keep) = self.keep {
                let factor = s.splat(keep[row + r]);
                let out: &[Lanes] = self.out.as_chunks().0;
                for c in 0..COLUMNS {
                    sums[r][c] = s.mul(s.load(&out[(row + r) * self.stride + column + c]), factor);
                }
            }
        }
        let matrix: &[Lanes] = self.matrix.as_chunks::<LANES>().0;
        for (k, right) in matrix.chunks_exact(self.stride).take(rows.len).enumerate() {
            let right = &right[column..column + COLUMNS];
            let mut vectors = [s.splat(0.0); COLUMNS];
            for c in 0..COLUMNS {
                vectors[c] = s.load(&right[c]);
            }
            for r in 0..ROWS {
                let factor = s.splat(left[r][k]);
                for c in 0..COLUMNS {
                    sums[r][c] = s.fma(factor, vectors[c], sums[r][c]);
                }
            }
        }
        let out = self.out.as_chunks_mut().0;
        for r in 0..ROWS {
            for c in 0..COLUMNS {
                s.store(sums[r][c], &mut out[(row + r) * self.stride + column + c]);
            }
        }
        COLUMNS
    }
}
