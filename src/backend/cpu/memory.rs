//! Bytes in use by all CPU backends of the process.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The count that [`Backend::memory`](crate::backend::Backend::memory) reports.
pub(super) static PROCESS: Meter = Meter::new();

/// Counts bytes in use and the most there ever were.
pub(super) struct Meter {
    active: AtomicUsize,
    peak: AtomicUsize,
}

impl Meter {
    /// Nothing counted yet.
    pub const fn new() -> Self {
        Self { active: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Bytes in use.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// The most bytes that were in use at one time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Counts `bytes` until the charge is dropped.
    pub fn charge(&'static self, bytes: usize) -> Charge {
        let active = self.active.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(active, Ordering::Relaxed);
        Charge { meter: self, bytes }
    }
}

/// Bytes counted as long as it lives.
pub(super) struct Charge {
    meter: &'static Meter,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.active.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_lives_and_the_peak() {
        static METER: Meter = Meter::new();
        let first = METER.charge(100);
        let second = METER.charge(50);
        drop(first);
        assert_eq!((METER.active(), METER.peak()), (50, 150));
        drop(second);
        assert_eq!((METER.active(), METER.peak()), (0, 150));
    }
}
