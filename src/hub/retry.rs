//! When and how long to wait before another try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Tries of one thing that bring nothing new.
pub(super) const TRIES: u32 = 6;
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether a status may be another one next time.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// How long to wait before try `tried` + 1: twice as long each time, less up to a half by chance, so that many clients
/// do not come back at once; what the server asks for when it does.
pub(super) fn wait(tried: u32, retry_after: Option<&str>) -> Duration {
    if let Some(seconds) = retry_after.and_then(|value| value.trim().parse().ok()) {
        return Duration::from_secs(seconds).min(PATIENCE);
    }
    let whole = (FIRST * 2u32.saturating_pow(tried.saturating_sub(1).min(16))).min(LONGEST);
    // The standard library seeds each of these from the system's randomness.
    let chance = RandomState::new().hash_one(tried) as f64 / u64::MAX as f64;
    whole.mul_f64(1.0 - chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        for tried in 1..40 {
            let whole = (FIRST * 2u32.pow((tried - 1).min(16))).min(LONGEST);
            let wait = wait(tried, None);
            assert!(wait <= whole && wait >= whole / 2, "{tried}: {wait:?}");
        }
        assert_eq!(wait(1, Some("7")), Duration::from_secs(7));
        assert_eq!(wait(1, Some("999999")), PATIENCE);
    }
}
