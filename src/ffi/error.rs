//! Errors: what happened and what to do about it.

use std::ffi::{CString, c_char};

use super::convert::free;
use super::guard::guard_or;
use crate::{Code, Error};

/// No error.
pub const PMLX_OK: i32 = 0;
/// An argument, option or request is malformed or out of range.
pub const PMLX_INVALID_ARGUMENT: i32 = 1;
/// A file, folder or model does not exist.
pub const PMLX_NOT_FOUND: i32 = 2;
/// The request or model needs something that this build cannot do; the message names it.
pub const PMLX_UNSUPPORTED: i32 = 3;
/// The prompt does not fit into the model's context.
pub const PMLX_CONTEXT_OVERFLOW: i32 = 4;
/// The session is already generating, or another thread is reading the same generation.
pub const PMLX_BUSY: i32 = 5;
/// The operation was cancelled.
pub const PMLX_CANCELLED: i32 = 6;
/// The engine is suspended.
pub const PMLX_SUSPENDED: i32 = 7;
/// Reading or writing failed.
pub const PMLX_IO: i32 = 20;
/// A file's content is not what its format asks for.
pub const PMLX_CORRUPT_FILE: i32 = 21;
/// A transfer failed.
pub const PMLX_NETWORK: i32 = 22;
/// Over the memory budget, or the device has no memory left.
pub const PMLX_OUT_OF_MEMORY: i32 = 40;
/// The device failed and its state is lost.
pub const PMLX_DEVICE_LOST: i32 = 41;
/// The system refuses GPU work because the app is in the background.
pub const PMLX_BACKGROUND: i32 = 42;
/// A bug in this library: a caught panic or a broken invariant.
pub const PMLX_INTERNAL: i32 = 60;

const _: () = {
    assert!(PMLX_OK == Code::Ok as i32);
    assert!(PMLX_INVALID_ARGUMENT == Code::InvalidArgument as i32);
    assert!(PMLX_NOT_FOUND == Code::NotFound as i32);
    assert!(PMLX_UNSUPPORTED == Code::Unsupported as i32);
    assert!(PMLX_CONTEXT_OVERFLOW == Code::ContextOverflow as i32);
    assert!(PMLX_BUSY == Code::Busy as i32);
    assert!(PMLX_CANCELLED == Code::Cancelled as i32);
    assert!(PMLX_SUSPENDED == Code::Suspended as i32);
    assert!(PMLX_IO == Code::Io as i32);
    assert!(PMLX_CORRUPT_FILE == Code::CorruptFile as i32);
    assert!(PMLX_NETWORK == Code::Network as i32);
    assert!(PMLX_OUT_OF_MEMORY == Code::OutOfMemory as i32);
    assert!(PMLX_DEVICE_LOST == Code::DeviceLost as i32);
    assert!(PMLX_BACKGROUND == Code::Background as i32);
    assert!(PMLX_INTERNAL == Code::Internal as i32);
};

/// A failure. Immutable; may be read from any thread and outlives everything it came from.
pub struct pmlx_error {
    code: i32,
    message: CString,
    hint: CString,
}

impl pmlx_error {
    /// The error as an object that the caller owns.
    pub(super) fn give(error: &Error) -> *mut Self {
        Box::into_raw(Box::new(Self {
            code: error.code() as i32,
            message: c_text(error.message()),
            hint: c_text(error.hint()),
        }))
    }
}

/// Messages quote what came from outside, so they may hold NUL.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}

/// The error's code, one of `PMLX_INVALID_ARGUMENT` and so on; `PMLX_OK` for `NULL`. Later versions may add codes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_error_code(error: *const pmlx_error) -> i32 {
    guard_or(PMLX_INTERNAL, || unsafe { error.as_ref() }.map_or(PMLX_OK, |e| e.code))
}

/// What happened, with the values involved; "" for `NULL`. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_error_message(error: *const pmlx_error) -> *const c_char {
    guard_or(c"".as_ptr(), || unsafe { error.as_ref() }.map_or(c"".as_ptr(), |e| e.message.as_ptr()))
}

/// What to do about it, or ""; "" for `NULL`. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_error_hint(error: *const pmlx_error) -> *const c_char {
    guard_or(c"".as_ptr(), || unsafe { error.as_ref() }.map_or(c"".as_ptr(), |e| e.hint.as_ptr()))
}

/// Frees an error; `NULL` is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_error_free(error: *mut pmlx_error) {
    unsafe { free(error) }
}
