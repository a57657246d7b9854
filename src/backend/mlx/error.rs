//! MLX's failures as values.
//!
//! mlx-c reports an error to one handler for the whole process, whose default prints the message and exits. Ours keeps
//! it for the calling thread, and whoever sees the call fail takes it from there. mlx-rs would put its own handler in
//! place before its first operation, once; so [`install`] lets it do that first. From then on mlx-rs still learns of a
//! failure by the status of the call, and its exception is turned into a [`Fault`] with the message we kept.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use mlx_rs::error::{AsSliceError, Exception};

use crate::error::{Code, Error};

/// An [`Error`] that `?` makes of mlx-rs's. The rest of the library should not gain such conversions by a feature.
#[derive(Debug)]
pub(crate) struct Fault(pub Error);

/// Results inside the backend.
pub(super) type Result<T, E = Fault> = std::result::Result<T, E>;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Puts our handler in place. To be called before anything else of MLX, and again at will: another user of mlx-c in
/// the process may have replaced it.
pub(super) fn install() {
    // The cheapest call that makes mlx-rs set its handler.
    let _ = mlx_rs::Device::try_default();
    // SAFETY: the handler is a function, and needs no data.
    unsafe { mlx_sys::mlx_set_error_handler(Some(keep), ptr::null_mut(), None) };
}

/// Keeps the message. Must not panic: C++ called it.
extern "C" fn keep(message: *const c_char, _: *mut c_void) {
    if message.is_null() {
        return;
    }
    // SAFETY: mlx-c passes a string that ends with NUL and lives until we return.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // Fails only when the thread is ending; then nobody asks for the message.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some(text);
        }
    });
}

/// The error of a call that failed just now.
pub(super) fn last() -> Fault {
    let message = LAST.with(RefCell::take);
    Fault(from_message(message.as_deref().unwrap_or("MLX failed without saying why")))
}

/// Turns the status of a call of mlx-c into a result.
pub(super) fn check(status: c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(last()) }
}

impl Fault {
    /// A broken invariant.
    pub fn internal(message: impl Into<String>) -> Self {
        Self(Error::internal(message))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Exception> for Fault {
    fn from(exception: Exception) -> Self {
        let message = LAST.with(RefCell::take);
        Self(from_message(message.as_deref().unwrap_or(exception.what())))
    }
}

impl From<AsSliceError> for Fault {
    fn from(error: AsSliceError) -> Self {
        match error {
            AsSliceError::Exception(exception) => exception.into(),
            other => Self::internal(format!("reading an array: {other}")),
        }
    }
}

fn from_message(message: &str) -> Error {
    let message = without_location(message);
    let lower = message.to_lowercase();
    let mentions = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let text = format!("MLX: {message}");
    if mentions(&["out of memory", "outofmemory", "insufficient memory", "unable to allocate", "bad_alloc"])
        || mentions(&["attempting to allocate", "resource limit"])
    {
        Error::out_of_memory(text).with_hint("use a smaller model, a shorter context or fewer sessions at once")
    } else if mentions(&["backgroundexecutionnotpermitted"]) {
        Error::new(Code::Background, text).with_hint("suspend the engine before the app leaves the foreground")
    } else if mentions(&["command buffer execution failed", "cuda error", "cudaerror", "cudnn", "cublas"])
        || (lower.contains("cuda") && lower.contains("failed"))
    {
        Error::new(Code::DeviceLost, text).with_hint("load the model again")
    } else {
        Error::internal(text)
    }
}

/// mlx-c ends its messages with the place in its source where it caught the exception.
fn without_location(message: &str) -> &str {
    match message.rsplit_once(" at ") {
        Some((text, place)) if place.contains(".cpp:") => text,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_codes() {
        let code = |message: &str| from_message(message).code();
        assert_eq!(code("[malloc] Unable to allocate 8 bytes. at /a b/ops.cpp:12"), Code::OutOfMemory);
        assert_eq!(code("… (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"), Code::OutOfMemory);
        assert_eq!(code("… (kIOGPUCommandBufferCallbackErrorBackgroundExecutionNotPermitted)"), Code::Background);
        assert_eq!(code("cudaGraphLaunch(graph, stream) failed: an illegal memory access"), Code::DeviceLost);
        assert_eq!(code("[matmul] Last dimension of first input"), Code::Internal);
        assert_eq!(from_message("[x] no. at /a b/ops.cpp:12").message(), "MLX: [x] no.");
    }
}
