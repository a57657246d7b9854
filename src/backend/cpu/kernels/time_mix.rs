//! One position of one head of RWKV's time mixing.

use super::super::simd::{Kernel, LANES, Lanes, Simd, exp, padded};
use super::activate::sigmoid;
use crate::arch::spec::time_mix::{LOWEST_DECAY, SHORTEST};

/// Vectors of values that are computed together, so that sums over keys don't wait for each other.
const TOGETHER: usize = 2;

/// Brings a head's memory one position further and reads it.
pub(in super::super) struct TimeMixHead<'a> {
    /// `head_dim × head_dim`, a row of values for each key: sums over keys are then sums of vectors.
    pub memory: &'a mut [f32],
    pub receptance: &'a [f32],
    /// Before its scale.
    pub key: &'a [f32],
    pub value: &'a [f32],
    /// Before the sigmoid.
    pub decay: &'a [f32],
    /// Before the sigmoid.
    pub rate: &'a [f32],
    /// Of the head.
    pub key_scale: &'a [f32],
    pub key_rate: &'a [f32],
    pub bonus: &'a [f32],
    /// As many as there are keys.
    pub keys: &'a mut [TimeMixKeys],
    /// What is read.
    pub out: &'a mut [f32],
    /// What is added behind the norm.
    pub own: &'a mut [f32],
}

/// What happens to a row of a memory.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct TimeMixKeys {
    /// How much of it stays.
    keep: f32,
    /// Factor of it in what is taken out.
    known: f32,
    /// Factor of what is taken out.
    removed: f32,
    /// Factor of the value that is written.
    written: f32,
    /// Factor of it in what is read.
    read: f32,
}

impl Kernel for TimeMixHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { memory, receptance, key, value, decay, rate, key_scale, key_rate, bonus, keys, out, own } = self;
        let width = keys.len();
        let (mut length, mut weight) = (s.splat(0.0), s.splat(0.0));
        for (index, keys) in keys.chunks_mut(LANES).enumerate() {
            let of = |numbers: &[f32]| s.load(&padded(&numbers[index * LANES..][..keys.len()]));
            let (key, rate, read) = (of(key), sigmoid(s, of(rate)), of(receptance));
            let keep = exp(s, s.mul(sigmoid(s, of(decay)), s.splat(LOWEST_DECAY)));
            let scaled = s.mul(key, of(key_scale));
            length = s.fma(scaled, scaled, length);
            let written = s.mul(key, s.fma(s.sub(rate, s.splat(1.0)), of(key_rate), s.splat(1.0)));
            weight = s.fma(s.mul(read, written), of(bonus), weight);
            let lanes = [keep, scaled, s.mul(scaled, rate), written, read].map(|numbers| {
                let mut lanes: Lanes = [0.0; LANES];
                s.store(numbers, &mut lanes);
                lanes
            });
            for (lane, keys) in keys.iter_mut().enumerate() {
                let [keep, known, removed, written, read] = lanes.map(|numbers| numbers[lane]);
                *keys = TimeMixKeys { keep, known, removed, written, read };
            }
        }
        let length = s.sum(length).sqrt().max(SHORTEST);
        for keys in &mut *keys {
            keys.known /= length;
            keys.removed /= -length;
        }
        let weight = s.sum(weight);
        for (own, value) in own.iter_mut().zip(value) {
            *own = value * weight;
        }

        let mut first = 0;
        while first + TOGETHER * LANES <= width {
            values::<S, TOGETHER>(s, memory, keys, first, &value[first..], &mut out[first..]);
            first += TOGETHER * LANES;
        }
        while first + LANES <= width {
            values::<S, 1>(s, memory, keys, first, &value[first..], &mut out[first..]);
            first += LANES;
        }
        if first < width {
            last_values(s, memory, keys, first, &value[first..], &mut out[first..]);
        }
    }
}

/// `N` vectors of values, from the column `first` of the memory on.
#[inline(always)]
fn values<S: Simd, const N: usize>(
    s: S,
    memory: &mut [f32],
    keys: &[TimeMixKeys],
    first: usize,
    value: &[f32],
    out: &mut [f32],
) {
    let columns = first..first + N * LANES;
    let value: [S::V; N] = vectors(s, value);
    let mut known = [s.splat(0.0); N];
    for (row, keys) in memory.chunks_exact(keys.len()).zip(keys) {
        let row: [S::V; N] = vectors(s, &row[columns.clone()]);
        let factor = s.splat(keys.known);
        for n in 0..N {
            known[n] = s.fma(row[n], factor, known[n]);
        }
    }
    let mut sums = [s.splat(0.0); N];
    for (row, keys) in memory.chunks_exact_mut(keys.len()).zip(keys) {
        let row = row[columns.clone()].as_chunks_mut::<LANES>().0;
        for (n, lanes) in row.iter_mut().enumerate() {
            let kept = s.fma(known[n], s.splat(keys.removed), s.mul(s.load(lanes), s.splat(keys.keep)));
            let next = s.fma(value[n], s.splat(keys.written), kept);
            sums[n] = s.fma(next, s.splat(keys.read), sums[n]);
            s.store(next, lanes);
        }
    }
    for (sum, out) in sums.into_iter().zip(out.as_chunks_mut::<LANES>().0) {
        s.store(sum, out);
    }
}

/// The values that don't fill a vector.
#[inline(always)]
fn last_values<S: Simd>(s: S, memory: &mut [f32], keys: &[TimeMixKeys], first: usize, value: &[f32], out: &mut [f32]) {
    let value = s.load(&padded(value));
    let mut known = s.splat(0.0);
    for (row, keys) in memory.chunks_exact(keys.len()).zip(keys) {
        known = s.fma(s.load(&padded(&row[first..])), s.splat(keys.known), known);
    }
    let mut sum = s.splat(0.0);
    let mut lanes: Lanes = [0.0; LANES];
    for (row, keys) in memory.chunks_exact_mut(keys.len()).zip(keys) {
        let row = &mut row[first..];
        let kept = s.fma(known, s.splat(keys.removed), s.mul(s.load(&padded(row)), s.splat(keys.keep)));
        let next = s.fma(value, s.splat(keys.written), kept);
        sum = s.fma(next, s.splat(keys.read), sum);
        s.store(next, &mut lanes);
        row.copy_from_slice(&lanes[..row.len()]);
    }
    s.store(sum, &mut lanes);
    out.copy_from_slice(&lanes[..out.len()]);
}

/// The first vectors of numbers.
#[inline(always)]
fn vectors<S: Simd, const N: usize>(s: S, numbers: &[f32]) -> [S::V; N] {
    let chunks = numbers.as_chunks::<LANES>().0;
    std::array::from_fn(|n| s.load(&chunks[n]))
}
