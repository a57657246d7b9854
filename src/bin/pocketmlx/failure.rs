//! Why a subcommand did not run to its end, and the exit status that says so.

use pocketmlx::{Code, Error};

use crate::output;

/// Why a subcommand ended early.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(Error),
    /// The work failed.
    Failed(Error),
    /// Failures that were reported when they happened.
    Reported,
    /// Ctrl-C.
    Interrupted,
    /// Whoever read stdout is gone, which is how `| head` ends a command.
    Closed,
}

impl Failure {
    /// Wrong usage, with advice.
    pub fn usage(message: &str, hint: &str) -> Self {
        Self::Usage(Error::invalid(message).with_hint(hint))
    }

    fn status(&self) -> i32 {
        match self {
            Self::Closed => 0,
            Self::Failed(_) | Self::Reported => 1,
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Nothing but Ctrl-C cancels here.
        if error.code() == Code::Cancelled { Self::Interrupted } else { Self::Failed(error) }
    }
}

/// Writes what went wrong to stderr and gives the exit status.
pub fn report(outcome: Result<(), Failure>) -> i32 {
    let Err(failure) = outcome else { return 0 };
    if let Failure::Usage(error) | Failure::Failed(error) = &failure {
        output::complain(error);
    }
    failure.status()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert_eq!(report(Ok(())), 0);
        assert_eq!(Failure::from(Error::cancelled()).status(), 130);
        assert_eq!(Failure::from(Error::invalid("x")).status(), 1);
        assert_eq!(Failure::usage("x", "y").status(), 2);
        assert_eq!(Failure::Closed.status(), 0);
    }
}
