//! Products of i8 rows with rows of packed codes.
//!
//! A weight is `code * scale + bias` with one scale and bias for each group, so a block of a row contributes
//! `scale * Σ code * x + bias * Σ x`. The first sum is exact. Everything after it is done for 16 outputs at a time, one a
//! lane, block by block: first the bias, then the scale, both fused. So a result depends neither on the number of rows
//! nor on how they are split into tiles.

use std::ops::Range;

use super::super::buffer::cast_mut;
use super::super::disjoint::Disjoint;
use super::super::simd::{Integer, IntegerKernel, LANES, Lanes, Registers, UNIT, Unit};
use super::quantize::Quantized;
use super::stored::{Bf16, Codec, F16, F32, Float, Format, Stored};

/// Rows of codes, and of scales, that are asked for before they are needed.
const ROWS_AHEAD: usize = LANES;
const SCALES_AHEAD: usize = 4 * LANES;

/// One row with some outputs of a matrix.
pub(in super::super) struct CodesOfOneRow<'a> {
    /// The whole matrix.
    pub stored: Stored<'a>,
    /// The outputs to compute.
    pub outputs: Range<usize>,
    pub x: Quantized<'a>,
    /// One for each of the outputs.
    pub out: &'a mut [f32],
    /// At least [`room_of_one_row`], aligned to 64 bytes.
    pub room: &'a mut [f32],
}

/// Several rows with some outputs of a matrix.
pub(in super::super) struct CodesOfRows<'a> {
    /// The whole matrix.
    pub stored: Stored<'a>,
    /// The outputs to compute.
    pub outputs: Range<usize>,
    pub x: Quantized<'a>,
    /// Added to each row: one for each row of the matrix.
    pub bias: Option<&'a [f32]>,
    /// The first row's outputs (the matrix's first one) begin at `start`, the next one's `stride` further. They are nobody else's.
    pub out: &'a Disjoint<'a>,
    pub start: usize,
    pub stride: usize,
    /// At least [`room_of_rows`], aligned to 64 bytes.
    pub room: &'a mut [f32],
}

/// Numbers that i8 rows for `stored` have a scale for, when it has codes.
pub(in super::super) fn block(format: Format) -> Option<usize> {
    match format {
        Format::Dense(_) => None,
        Format::Affine { group, .. } => Some(if group.is_multiple_of(UNIT) { UNIT } else { UNIT / 2 }),
    }
}

#[inline(always)]
fn block_of(stored: &Stored<'_>) -> usize {
    // Callers ask `block` first.
    block(stored.format).unwrap_or(UNIT)
}

/// Floats that [`CodesOfOneRow`] works in.
pub(in super::super) fn room_of_one_row(stored: &Stored<'_>) -> usize {
    let units = stored.inputs.div_ceil(UNIT);
    (1 + 2 + 4) * units * LANES + 2 * scale_vectors(stored) * LANES
}

/// Floats that [`CodesOfRows`] works in for some outputs.
pub(in super::super) fn room_of_rows(stored: &Stored<'_>, outputs: usize) -> usize {
    let tiles = outputs.div_ceil(LANES);
    tiles * (stored.inputs.div_ceil(UNIT) * LANES * LANES + 2 * scale_vectors(stored) * LANES)
}

/// Vectors of 16 outputs' scales.
fn scale_vectors(stored: &Stored<'_>) -> usize {
    stored.groups().next_multiple_of(LANES)
}

/// Evaluates an expression with the width of a format's codes and the bytes of 64 of them.
macro_rules! with_bits {
    ($format:expr, $bits:ident, $bytes:ident => $body:expr) => {{
        macro_rules! with {
            ($b:literal, $n:literal) => {{
                const $bits: usize = $b;
                const $bytes: usize = $n;
                $body
            }};
        }
        match $format {
            Format::Affine { bits: 2, .. } => with!(2, 16),
            Format::Affine { bits: 3, .. } => with!(3, 24),
            Format::Affine { bits: 4, .. } => with!(4, 32),
            Format::Affine { bits: 5, .. } => with!(5, 40),
            Format::Affine { bits: 6, .. } => with!(6, 48),
            Format::Affine { .. } => with!(8, 64),
            // Callers ask `block` first.
            Format::Dense(_) => unreachable!("plain numbers have no codes"),
        }
    }};
}

impl IntegerKernel for CodesOfOneRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, s: S) {
        let mut padding = Vec::new();
        let this = CodesOfOneRow { stored: padded(self.stored, &mut padding), ..self };
        this.run_tiles(s);
    }
}

impl CodesOfOneRow<'_> {
    #[inline(always)]
    fn run_tiles<S: Integer>(self, s: S) {
        let (stored, vectors) = (&self.stored, scale_vectors(&self.stored));
        let (x, room) = self.room.split_at_mut(self.x.units.len() * LANES);
        let (sums, room) = room.split_at_mut(self.x.scales.len() * LANES);
        let (fours, room) = room.split_at_mut(4 * self.x.units.len() * LANES);
        let (scales, biases) = room.split_at_mut(vectors * LANES);
        let (x, sums) = (cast_mut::<Unit>(x), cast_mut::<[i32; LANES]>(sums));
        let fours = cast_mut::<[i32; LANES]>(fours);
        let (scales, biases) = (scales.as_chunks_mut().0, &mut biases.as_chunks_mut().0[..vectors]);

        // The last unit is apart when it is half a one.
        let (block, whole, row_bytes) = (block_of(stored), stored.inputs / UNIT, stored.row_bytes());
        let (x_whole, x_half) = x.split_at_mut(whole);
        with_bits!(stored.format, BITS, _BYTES => s.arrange_units::<BITS>(block, &self.x.units[..whole], x_whole));
        x_half.copy_from_slice(&self.x.units[whole..]);
        for (tile, out) in self.out.chunks_mut(LANES).enumerate() {
            let tile = Tile16::new(stored, self.outputs.start + tile * LANES);
            let (sums_of_whole, sums_of_half) = sums.split_at_mut(whole * UNIT / block);
            let codes = &stored.codes[tile.first * row_bytes..];
            with_bits!(stored.format, BITS, BYTES => {
                let ahead = ROWS_AHEAD * row_bytes;
                s.dots::<BITS, BYTES>(codes, row_bytes, x_whole, ahead, block, sums_of_whole, fours);
                if !x_half.is_empty() {
                    let halves = half_units::<BYTES>(codes, row_bytes);
                    s.dots::<BITS, BYTES>(halves.as_flattened(), BYTES, x_half, 0, block, sums_of_half, fours);
                }
            });
            transposed_scales(s, stored, tile.first, scales, biases);

            let per_group = stored.inputs / block / stored.groups();
            let mut total = s.splat(0.0);
            let mut b = 0;
            for (scale, bias) in scales.iter().zip(biases.iter()).take(stored.groups()) {
                let (scale, bias) = (s.load(scale), s.load(bias));
                for _ in 0..per_group {
                    total = add_block(s, total, s.load_sums(&sums[b]), scale, bias, self.x.scales[b], self.x.sums[b]);
                    b += 1;
                }
            }
            let mut lanes = [0.0; LANES];
            s.store(total, &mut lanes);
            out.copy_from_slice(&lanes[tile.skip..][..out.len()]);
        }
    }
}

/// 16 rows of a matrix with at least as many. The last ones of it take in some that others have as well.
struct Tile16 {
    /// The first of the rows.
    first: usize,
    /// Rows before the one that was asked for.
    skip: usize,
}

impl Tile16 {
    #[inline(always)]
    fn new(stored: &Stored<'_>, row: usize) -> Self {
        let first = row.min(stored.rows - LANES);
        Self { first, skip: row - first }
    }
}

/// A matrix with at least 16 rows: the same one, or one with zeros at the end in `room`.
#[inline(always)]
fn padded<'a>(stored: Stored<'a>, room: &'a mut Vec<u8>) -> Stored<'a> {
    if stored.rows < LANES { padded_copy(stored, room) } else { stored }
}

#[cold]
#[inline(never)]
fn padded_copy<'a>(stored: Stored<'a>, room: &'a mut Vec<u8>) -> Stored<'a> {
    let (codes, scales) = (LANES * stored.row_bytes(), LANES * stored.scale_bytes());
    for (bytes, len) in [(stored.codes, codes), (stored.scales, scales), (stored.biases, scales)] {
        let end = room.len() + len;
        room.extend_from_slice(bytes);
        room.resize(end, 0);
    }
    let (codes, rest) = room.split_at(codes);
    let (scales, biases) = rest.split_at(scales);
    Stored { rows: LANES, codes, scales, biases, ..stored }
}

/// The one order of f32 operations.
#[inline(always)]
fn add_block<S: Integer>(s: S, total: S::V, sums: S::Sums, scale: S::V, bias: S::V, x_scale: f32, x_sum: f32) -> S::V {
    let total = s.fma(bias, s.splat(x_sum), total);
    s.fma(s.to_float(sums), s.mul(scale, s.splat(x_scale)), total)
}

/// The half unit at the end of each of the first 16 rows, followed by zeros.
#[cold]
#[inline(never)]
fn half_units<const BYTES: usize>(codes: &[u8], row_bytes: usize) -> [[u8; BYTES]; LANES] {
    let mut halves = [[0; BYTES]; LANES];
    for (row, half) in codes.chunks_exact(row_bytes).zip(&mut halves) {
        let rest = row.as_chunks::<BYTES>().1;
        half[..rest.len()].copy_from_slice(rest);
    }
    halves
}

/// Scales and biases of 16 rows: a vector for each group, padded to a multiple of 16.
#[inline(always)]
fn transposed_scales<S: Integer>(s: S, stored: &Stored<'_>, first: usize, scales: &mut [Lanes], biases: &mut [Lanes]) {
    let Format::Affine { scales: float, .. } = stored.format else { return };
    for (bytes, to) in [(stored.scales, scales), (stored.biases, biases)] {
        match float {
            Float::F32 => transposed::<S, F32>(s, stored, first, bytes, to),
            Float::F16 => transposed::<S, F16>(s, stored, first, bytes, to),
            Float::Bf16 => transposed::<S, Bf16>(s, stored, first, bytes, to),
        }
    }
}

#[inline(always)]
fn transposed<S: Integer, C: Codec>(s: S, stored: &Stored<'_>, first: usize, bytes: &[u8], to: &mut [Lanes]) {
    let none = C::group(s, 0.0, 0.0);
    let row_bytes = stored.scale_bytes();
    let bytes = &bytes[first * row_bytes..][..LANES * row_bytes];
    for line in (0..bytes.len()).step_by(64) {
        s.prefetch(bytes.as_ptr().wrapping_add(SCALES_AHEAD * row_bytes + line));
    }
    let whole = stored.groups() / LANES;
    let (to, rest) = to.as_chunks_mut::<LANES>().0.split_at_mut(whole);
    for (chunk, to) in to.iter_mut().enumerate() {
        let mut vectors = [s.splat(0.0); LANES];
        for i in 0..LANES {
            // SAFETY: 16 rows of `row_bytes`, each with `whole` chunks at least; arrays of bytes need no alignment.
            let numbers = unsafe { &*bytes.as_ptr().add(i * row_bytes).cast::<C::Chunk>().add(chunk) };
            vectors[i] = C::load(s, numbers, none);
        }
        s.transpose(&mut vectors);
        for i in 0..LANES {
            s.store(vectors[i], &mut to[i]);
        }
    }
    if let [to] = rest {
        let mut vectors = [s.splat(0.0); LANES];
        for i in 0..LANES {
            let row = &bytes[i * row_bytes..][..row_bytes];
            vectors[i] = C::load(s, &C::padded(&row[whole * size_of::<C::Chunk>()..]), none);
        }
        s.transpose(&mut vectors);
        for i in 0..LANES {
            s.store(vectors[i], &mut to[i]);
        }
    }
}

impl IntegerKernel for CodesOfRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Integer>(self, s: S) {
        let mut padding = Vec::new();
        let mut this = CodesOfRows { stored: padded(self.stored, &mut padding), ..self };
        let tiles = this.outputs.len().div_ceil(LANES);
        let vectors = scale_vectors(&this.stored);
        let room = std::mem::take(&mut this.room);
        let (packed, room) = room.split_at_mut(tiles * this.stored.inputs.div_ceil(UNIT) * LANES * LANES);
        let (scales, biases) = room.split_at_mut(tiles * vectors * LANES);
        let packed = cast_mut::<[u8; UNIT]>(packed);
        let (scales, biases) = (scales.as_chunks_mut().0, &mut biases.as_chunks_mut().0[..tiles * vectors]);
        for tile in 0..tiles {
            let range = tile * vectors..(tile + 1) * vectors;
            let first = Tile16::new(&this.stored, this.outputs.start + tile * LANES).first;
            transposed_scales(s, &this.stored, first, &mut scales[range.clone()], &mut biases[range]);
        }
        this.pack(s, packed);
        // From here on, codes of fewer bits have code of their own only where that is worth it.
        match this.stored.format {
            Format::Affine { bits, .. } if bits < 8 && S::NARROW => this.multiply::<S, 7>(s, packed, scales, biases),
            _ => this.multiply::<S, 8>(s, packed, scales, biases),
        }
    }
}

impl CodesOfRows<'_> {
    /// Codes a byte each: for each 16 outputs and each 4 inputs a vector of 16 fours.
    #[inline(always)]
    fn pack<S: Integer>(&self, s: S, packed: &mut [[u8; UNIT]]) {
        let (units, row_bytes) = (self.stored.inputs.div_ceil(UNIT), self.stored.row_bytes());
        for (tile, packed) in packed.chunks_exact_mut(units * LANES).enumerate() {
            let first = Tile16::new(&self.stored, self.outputs.start + tile * LANES).first;
            let codes = &self.stored.codes[first * row_bytes..];
            let (whole, half) = packed.split_at_mut(self.stored.inputs / UNIT * LANES);
            with_bits!(self.stored.format, BITS, BYTES => {
                s.pack::<BITS, BYTES>(codes, row_bytes, whole);
                if !half.is_empty() {
                    let halves = half_units::<BYTES>(codes, row_bytes);
                    s.pack::<BITS, BYTES>(halves.as_flattened(), BYTES, half);
                }
            });
        }
    }
}

/// A tile's packed codes, scales and biases.
struct Tile<'a> {
    packed: &'a [[u8; UNIT]],
    scales: &'a [Lanes],
    biases: &'a [Lanes],
    /// Scales of a row.
    groups: usize,
    /// Blocks that share one.
    per_group: usize,
    /// Vectors of packed codes in a block.
    fours: usize,
}

impl CodesOfRows<'_> {
    #[inline(always)]
    fn multiply<S: Integer, const BITS: usize>(&self, s: S, packed: &[[u8; UNIT]], scales: &[Lanes], biases: &[Lanes]) {
        let tiles = self.outputs.len().div_ceil(LANES);
        let tile = |index: usize| {
            let (codes, vectors) = (packed.len() / tiles, scales.len() / tiles);
            let groups = self.stored.groups();
            Tile {
                packed: &packed[index * codes..][..codes],
                scales: &scales[index * vectors..][..vectors],
                biases: &biases[index * vectors..][..vectors],
                groups,
                fours: block_of(&self.stored) / 4,
                per_group: self.stored.inputs / block_of(&self.stored) / groups,
            }
        };
        let mut row = 0;
        while row < self.x.rows {
            let left = self.x.rows - row;
            let count = match S::REGISTERS {
                Registers::Full if left >= 12 => 12,
                Registers::Full if left >= 8 => 8,
                Registers::Full if left >= 4 => 4,
                Registers::Full => 1,
                _ if left >= 2 => 2,
                _ => 1,
            };
            for index in 0..tiles {
                match (S::REGISTERS, count) {
                    (Registers::Full, 12) => self.rows::<S, BITS, 12>(s, row, index, tile(index)),
                    (Registers::Full, 8) => self.rows::<S, BITS, 8>(s, row, index, tile(index)),
                    (Registers::Full, 4) => self.rows::<S, BITS, 4>(s, row, index, tile(index)),
                    (Registers::Full, _) => self.rows::<S, BITS, 1>(s, row, index, tile(index)),
                    (_, 2) => self.rows::<S, BITS, 2>(s, row, index, tile(index)),
                    _ => self.rows::<S, BITS, 1>(s, row, index, tile(index)),
                }
            }
            row += count;
        }
    }

    #[inline(always)]
    fn rows<S: Integer, const BITS: usize, const ROWS: usize>(&self, s: S, row: usize, index: usize, tile: Tile<'_>) {
        let totals = multiply_tile::<S, BITS, ROWS>(s, &tile, self.x, row);
        let first = self.outputs.start + index * LANES;
        let count = (self.outputs.end - first).min(LANES);
        let skip = Tile16::new(&self.stored, first).skip;
        let mut bias = [0.0; LANES];
        if let Some(numbers) = self.bias {
            bias[skip..skip + count].copy_from_slice(&numbers[first..first + count]);
        }
        for r in 0..ROWS {
            let mut lanes = [0.0; LANES];
            let total = totals[r];
            s.store(if self.bias.is_some() { s.add(total, s.load(&bias)) } else { total }, &mut lanes);
            // SAFETY: these outputs of these rows are nobody else's, as the field promises.
            let out = unsafe { self.out.part(self.start + (row + r) * self.stride + first, count) };
            out.copy_from_slice(&lanes[skip..skip + count]);
        }
    }
}

#[inline(always)]
fn multiply_tile<S: Integer, const BITS: usize, const ROWS: usize>(
    s: S,
    tile: &Tile<'_>,
    all: Quantized<'_>,
    row: usize,
) -> [S::V; ROWS] {
    let blocks = tile.groups * tile.per_group;
    let mut x: [&[[i8; 4]]; ROWS] = [&[]; ROWS];
    let mut scales = [&all.scales[..0]; ROWS];
    let mut sums = [&all.sums[..0]; ROWS];
    for r in 0..ROWS {
        let row = all.row(row + r);
        (x[r], scales[r], sums[r]) = (row.units.as_flattened().as_chunks().0, row.scales, row.sums);
        assert!(x[r].len() >= blocks * tile.fours && scales[r].len() >= blocks && sums[r].len() >= blocks);
    }
    assert!(tile.packed.len() >= blocks * tile.fours);
    let mut totals = [s.splat(0.0); ROWS];
    let mut b = 0;
    for (scale, bias) in tile.scales.iter().zip(tile.biases).take(tile.groups) {
        let (scale, bias) = (s.load(scale), s.load(bias));
        for _ in 0..tile.per_group {
            let mut dots = [s.zeros(); ROWS];
            for k in b * tile.fours..(b + 1) * tile.fours {
                // SAFETY: the lengths are asserted above.
                unsafe {
                    let codes = s.load_codes(tile.packed.get_unchecked(k));
                    for r in 0..ROWS {
                        dots[r] = s.dot_four::<BITS>(dots[r], codes, *x[r].get_unchecked(k));
                    }
                }
            }
            for r in 0..ROWS {
                // SAFETY: the lengths are asserted above.
                let (x_scale, x_sum) = unsafe { (*scales[r].get_unchecked(b), *sums[r].get_unchecked(b)) };
                totals[r] = add_block(s, totals[r], dots[r], scale, bias, x_scale, x_sum);
            }
            b += 1;
        }
    }
    totals
}
