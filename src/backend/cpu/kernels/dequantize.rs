//! Stored numbers to f32.

use super::super::simd::{Kernel, LANES, Simd};
use super::stored::{Bf16, Codec, F16, F32, Float, Stored, with_codec};

/// Plain stored numbers as f32.
pub(in super::super) struct Widen<'a> {
    pub float: Float,
    pub bytes: &'a [u8],
    /// One for each stored number.
    pub out: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        widen(s, self.float, self.bytes, self.out);
    }
}

/// Rows of a matrix as f32, each padded with zeros to a multiple of 16.
pub(in super::super) struct Dequantize<'a> {
    pub stored: Stored<'a>,
    /// The rows.
    pub out: &'a mut [f32],
    /// Room for the scales and biases, `2 * rows * groups`.
    pub scales: &'a mut [f32],
}

impl Kernel for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (scales, biases) = widen_scales(s, &self.stored, self.scales);
        with_codec!(self.stored.format, C => rows::<S, C>(s, &self.stored, scales, biases, self.out));
    }
}

#[inline(always)]
fn rows<S: Simd, C: Codec>(s: S, stored: &Stored<'_>, scales: &[f32], biases: &[f32], out: &mut [f32]) {
    let (groups, row_bytes) = (stored.groups().max(1), stored.row_bytes());
    let stride = stored.inputs.next_multiple_of(LANES);
    let per_group = stored.inputs / LANES / groups;
    for row in 0..stored.rows {
        let bytes = &stored.codes[row * row_bytes..][..row_bytes];
        let (chunks, to) = (C::chunks(bytes), out[row * stride..][..stride].as_chunks_mut().0);
        let mut group = C::group(s, 0.0, 0.0);
        for g in 0..groups {
            if C::GROUPED {
                group = C::group(s, scales[row * groups + g], biases[row * groups + g]);
            }
            let range = g * per_group..(g + 1) * per_group;
            for (chunk, to) in chunks[range.clone()].iter().zip(&mut to[range]) {
                s.store(C::load(s, chunk, group), to);
            }
        }
        if stored.inputs < stride {
            s.store(C::load(s, &C::padded(&bytes[size_of_val(chunks)..]), group), &mut to[chunks.len()]);
        }
    }
}

/// All scales and all biases as f32 in `room`.
#[inline(always)]
pub(super) fn widen_scales<'a, S: Simd>(s: S, stored: &Stored<'_>, room: &'a mut [f32]) -> (&'a [f32], &'a [f32]) {
    let count = stored.rows * stored.groups();
    let (scales, biases) = room[..2 * count].split_at_mut(count);
    if let super::Format::Affine { scales: float, .. } = stored.format {
        widen(s, float, stored.scales, scales);
        widen(s, float, stored.biases, biases);
    }
    (scales, biases)
}

#[inline(always)]
fn widen<S: Simd>(s: S, float: Float, bytes: &[u8], out: &mut [f32]) {
    match float {
        Float::F32 => convert::<S, F32>(s, bytes, out),
        Float::F16 => convert::<S, F16>(s, bytes, out),
        Float::Bf16 => convert::<S, Bf16>(s, bytes, out),
    }
}

#[inline(always)]
fn convert<S: Simd, C: Codec>(s: S, bytes: &[u8], out: &mut [f32]) {
    let chunks = C::chunks(bytes);
    let none = C::group(s, 0.0, 0.0);
    let (to, rest) = out.as_chunks_mut();
    for (chunk, to) in chunks.iter().zip(to) {
        s.store(C::load(s, chunk, none), to);
    }
    if !rest.is_empty() {
        let mut lanes = [0.0; LANES];
        s.store(C::load(s, &C::padded(&bytes[size_of_val(chunks)..]), none), &mut lanes);
        rest.copy_from_slice(&lanes[..rest.len()]);
    }
}
