//! Where work on what a model brings is done: panics of the `tokenizers` crate become errors, and the stack is large
//! enough for what the limits on nesting allow.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Runs `work`; its error or panic becomes `CorruptFile` of `file`.
///
/// What `work` touches must not be used again after a panic, or be unchanged by it.
pub(super) fn guarded<T, E: Display>(
    file: &str,
    doing: &str,
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::corrupt(file, format!("{doing} failed: {error}"))),
        Err(panic) => Err(Error::corrupt(file, format!("{doing} failed: {}", message(&*panic)))),
    }
}

/// The stack of [`on_own_thread`].
const STACK: usize = 4 << 20;

/// Runs `work` on a thread of its own, with a known stack whatever thread the host calls from.
///
/// The thread also takes along what libraries keep by thread: `tokenizers` caches words there for good.
pub(super) fn on_own_thread<T: Send>(work: impl Fn() -> Result<T> + Sync) -> Result<T> {
    std::thread::scope(|scope| {
        match std::thread::Builder::new().name("pocketmlx-text".to_owned()).stack_size(STACK).spawn_scoped(scope, &work)
        {
            Ok(thread) => thread.join().unwrap_or_else(|panic| Err(Error::internal(message(&*panic)))),
            Err(_) => work(),
        }
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn errors_and_panics_name_the_file() {
        let error = guarded::<(), _>("m/t.json", "loading", || Err("no vocabulary")).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::CorruptFile, "m/t.json: loading failed: no vocabulary"));
        for (size, message) in [(0, "plain"), (3, "of 3")] {
            let work = || if size == 0 { panic!("plain") } else { panic!("of {size}") };
            let error = guarded::<(), String>("t.json", "decoding", work).unwrap_err();
            assert_eq!(error.message(), format!("t.json: decoding failed: {message}"));
        }
        assert_eq!(guarded("f", "x", || Ok::<_, String>(5)).unwrap(), 5);
    }

    #[test]
    fn a_thread_of_its_own_gives_back_results_and_panics() {
        let here = std::thread::current().id();
        assert!(on_own_thread(|| Ok(std::thread::current().id())).is_ok_and(|there| there != here));
        assert_eq!(on_own_thread(|| -> Result<()> { Err(Error::invalid("no")) }).unwrap_err().message(), "no");
        let error = on_own_thread(|| -> Result<()> { panic!("oops") }).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Internal, "oops"));
    }
}
