//! How much of a prompt to compute at a time, from measured speed.

use std::time::Duration;

/// The most tokens a slice.
const MAX_SLICE: usize = 512;
/// The fewest tokens a slice, so that progress is made on the slowest machine.
const MIN_SLICE: usize = 8;
/// The first slice, before anything was measured.
const FIRST_SLICE: usize = 32;
/// How long a slice may take while other generations stream.
const SHARED: Duration = Duration::from_millis(35);
/// How long a slice may take otherwise, so that the worker hears of new requests.
const ALONE: Duration = Duration::from_millis(250);

/// Measured prefill speed.
#[derive(Default)]
pub(super) struct Pace {
    seconds_per_token: Option<f64>,
}

impl Pace {
    /// The size of the next slice.
    ///
    /// `adaptive` is false for backends whose results depend on the number of rows: alone, their slices are always of
    /// the same size, so that a generation can be repeated exactly.
    pub fn slice(&self, shared: bool, adaptive: bool) -> usize {
        if !shared && !adaptive {
            return MAX_SLICE;
        }
        let target = if shared { SHARED } else { ALONE };
        match self.seconds_per_token {
            None => FIRST_SLICE,
            Some(seconds) => ((target.as_secs_f64() / seconds) as usize).clamp(MIN_SLICE, MAX_SLICE),
        }
    }

    /// Takes in a measured slice. Attention makes later slices of a long prompt slower, so the newest one counts most.
    pub fn measured(&mut self, tokens: usize, took: Duration) {
        let seconds = took.as_secs_f64().max(1e-9) / tokens.max(1) as f64;
        self.seconds_per_token = Some(self.seconds_per_token.map_or(seconds, |old| 0.3 * old + 0.7 * seconds));
    }
}
