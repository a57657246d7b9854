//! What recurrences take in memory where all that their operations make is kept until it is computed. Backends that
//! record go by these numbers, and so does what is said of a model's memory.

use super::time_mix::LOWEST_DECAY;
use super::{GatedDelta, Scan, TimeMix};

/// Bytes of a recurrence's intermediate results from which on what was recorded is computed before more is.
pub(crate) const PART_BYTES: u64 = 128 << 20;

/// Positions that a delta rule takes together, a power of two.
pub(crate) const BLOCK: u64 = 64;
/// Exponents of decays by column may add up to so much within positions that a bound lets take together.
const MOST_DECAY: f32 = 40.0;
/// Positions that a state space takes together.
pub(crate) const SCANNED: u64 = 128;

/// Bytes of a row that a delta net takes in f32, from its convolution's output on.
pub(crate) fn delta_bytes(delta: &GatedDelta) -> u64 {
    let (heads, key, value) = (delta.value_heads as u64, delta.key_dim as u64, delta.value_dim as u64);
    // Keys, queries and values, their lengths, and gates.
    let taken = 4 * heads * key + heads * value + 4 * delta.decays() as u64;
    let parts = if delta.decay_by_column { column_parts(delta.lowest_decay) } else { 0 };
    in_f32(delta_rule(heads, key, value, parts).saturating_add(taken))
}

/// Bytes of a row that RWKV's time mixing takes in f32.
pub(crate) fn time_mix_bytes(mix: &TimeMix) -> u64 {
    let (heads, width) = (mix.heads as u64, mix.head_dim as u64);
    // Keys that are asked for and keys that are written both have their products.
    in_f32(delta_rule(heads, width, width, 2 * column_parts(Some(LOWEST_DECAY))))
}

/// A row's part of the numbers that a block of positions takes, with decays by column in so many parts.
pub(crate) fn delta_rule(heads: u64, key: u64, value: u64, column_parts: u64) -> u64 {
    let between = 20 * BLOCK + column_parts * 6 * (key + BLOCK);
    let memories = (2 * value + key).saturating_mul(key) / BLOCK * 2;
    heads.saturating_mul(between + 8 * key + 6 * value + memories)
}

/// Positions, a power of two, whose decays by column may count to one place in the middle of them: as many as a bound of
/// the exponents allows, so that factors neither overflow nor lose much.
pub(crate) fn positions_together(lowest: Option<f32>) -> u64 {
    let fits = |positions: &u64| lowest.is_some_and(|lowest| *positions as f32 * -lowest <= MOST_DECAY);
    (1..=BLOCK.ilog2()).map(|n| 1 << n).take_while(fits).last().unwrap_or(1)
}

/// Parts of decays by column: positions together, and pairs of twice as many up to a block.
pub(crate) fn column_parts(lowest: Option<f32>) -> u64 {
    u64::from(1 + (BLOCK / positions_together(lowest)).ilog2())
}

/// Bytes of a row that a state space takes in f32, from its convolution's output on.
pub(crate) fn scan_bytes(scan: &Scan) -> u64 {
    let (width, state) = (scan.width() as u64, scan.state as u64);
    if scan.decay_by_state {
        // States of all positions, and two more of each stretch that is joined.
        return in_f32(width.saturating_mul(state).saturating_mul(3 + 2 * 5));
    }
    let between = (scan.heads as u64).saturating_mul(7 * SCANNED);
    in_f32((4 * width).saturating_add(between).saturating_add(2 * (scan.groups as u64).saturating_mul(state)))
}

/// Bytes of so many numbers.
pub(in crate::arch) fn in_f32(numbers: u64) -> u64 {
    numbers.saturating_mul(size_of::<f32>() as u64)
}
