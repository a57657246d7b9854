//! What the worker does with a loaded model, whatever its backend.

use super::job::Job;
use crate::error::{Code, Error, Result};

/// A loaded model with its running and waiting work.
pub(super) trait Runner {
    /// Takes in work.
    fn add(&mut self, job: Job);

    /// Whether [`step`](Self::step) would do anything now.
    fn has_work(&self) -> bool;

    /// At most one decode pass over all running generations and one slice of one waiting prompt.
    ///
    /// Failures of single generations end those; an error or panic from here means that the model can't be used.
    fn step(&mut self) -> Result<()>;

    /// Ends what the hosts have cancelled, without computing anything.
    fn reap(&mut self);

    /// Drops all that can be computed again.
    fn trim(&mut self);

    /// Waits until nothing computes.
    fn synchronize(&mut self) -> Result<()>;

    /// Ends all work with an error.
    fn fail_all(&mut self, error: &Error);

    /// Counts and sizes, for `info`.
    fn describe(&self) -> serde_json::Value;
}

/// Whether an error puts the whole model in doubt, not only the work that it came from.
pub(super) fn is_fatal(error: &Error) -> bool {
    matches!(error.code(), Code::Internal | Code::DeviceLost)
}
