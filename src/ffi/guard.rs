//! The boundary: no panic gets past an exported function.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::error::pmlx_error;
use crate::{Error, Result};

/// Runs the body of a fallible function: `NULL` or an error that the caller owns.
pub(super) fn guard(body: impl FnOnce() -> Result<()>) -> *mut pmlx_error {
    match caught(body).and_then(|result| result) {
        Ok(()) => ptr::null_mut(),
        Err(error) => pmlx_error::give(&error),
    }
}

/// Runs the body of a function that cannot report errors; gives `default` in place of a panic.
pub(super) fn guard_or<T>(default: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or(default)
}

fn caught<T>(body: impl FnOnce() -> T) -> Result<T> {
    // What a panic may have left half done is the engine's business: it poisons its own state.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let error = Error::internal(format!("panic: {}", message(&*payload)));
        tracing::error!("{error}");
        error
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::super::error::{PMLX_INTERNAL, PMLX_NOT_FOUND, pmlx_error_code, pmlx_error_free, pmlx_error_message};
    use super::{guard, guard_or};
    use crate::{Code, Error, Result};

    fn outcome(body: impl FnOnce() -> Result<()>) -> (i32, String) {
        let error = guard(body);
        unsafe {
            let message = CStr::from_ptr(pmlx_error_message(error)).to_str().unwrap_or_default().to_owned();
            let code = pmlx_error_code(error);
            pmlx_error_free(error);
            (code, message)
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(outcome(|| panic!("boom")), (PMLX_INTERNAL, "panic: boom".to_owned()));
        assert_eq!(outcome(|| panic!("boom {}", 7)), (PMLX_INTERNAL, "panic: boom 7".to_owned()));
        assert_eq!(outcome(|| std::panic::panic_any(7)).0, PMLX_INTERNAL);
        assert_eq!(guard_or(3, || -> i32 { panic!("boom") }), 3);
    }

    #[test]
    fn results_pass() {
        assert!(guard(|| Ok(())).is_null());
        let missing = || Err(Error::new(Code::NotFound, "no a\0b"));
        assert_eq!(outcome(missing), (PMLX_NOT_FOUND, "no a\\0b".to_owned()));
        assert_eq!(guard_or(3, || 4), 4);
    }
}
