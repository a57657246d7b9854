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
