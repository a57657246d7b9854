//! Progress of what takes long.

use std::ffi::{CString, c_char, c_void};
use std::ops::ControlFlow;

use super::callback::answer;
use crate::{Progress, Result, Stage};

/// Configuration and headers are read and checked.
pub const PMLX_STAGE_CHECK: i32 = 1;
/// Weights are taken over by the device.
pub const PMLX_STAGE_WEIGHTS: i32 = 2;
/// The tokenizer is read.
pub const PMLX_STAGE_TOKENIZER: i32 = 3;
/// Files are fetched from a hub.
pub const PMLX_STAGE_DOWNLOAD: i32 = 4;

const _: () = {
    assert!(PMLX_STAGE_CHECK == Stage::Check as i32);
    assert!(PMLX_STAGE_WEIGHTS == Stage::Weights as i32);
    assert!(PMLX_STAGE_TOKENIZER == Stage::Tokenizer as i32);
    assert!(PMLX_STAGE_DOWNLOAD == Stage::Download as i32);
};

/// How far a long operation has come. Borrowed: valid until the callback that got it returns.
#[repr(C)]
pub struct pmlx_progress {
    /// Bytes of this struct that the library filled in.
    pub struct_size: u32,
    /// `PMLX_STAGE_CHECK` and so on. Later versions may add stages.
    pub stage: i32,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 when not known.
    pub total: u64,
    /// The current rate.
    pub bytes_per_second: f64,
    /// What is being worked on, such as a file's name, with a NUL at the end. Never `NULL`.
    pub item: *const c_char,
    /// Bytes of `item`.
    pub item_len: usize,
}

/// Gets the progress of a long operation at least every 50 ms. Returns 0 to go on, 1 to cancel.
pub type pmlx_progress_fn = Option<unsafe extern "C" fn(user_data: *mut c_void, progress: *const pmlx_progress) -> i32>;

/// Runs `work`, whose reports go to the host.
///
/// # Errors
/// Those of `work`; `InvalidArgument` when the callback answers neither 0 nor 1.
pub(super) fn reported<T>(
    callback: pmlx_progress_fn,
    user_data: *mut c_void,
    work: impl FnOnce(&mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<T>,
) -> Result<T> {
    let mut refusal = None;
    let outcome = work(&mut |now| {
        let value = callback.map_or(0, |callback| show(now, |shown| unsafe { callback(user_data, shown) }));
        answer(value, "progress").unwrap_or_else(|error| {
            refusal = Some(error);
            ControlFlow::Break(())
        })
    });
    refusal.map_or(outcome, Err)
}

fn show<T>(now: &Progress, call: impl FnOnce(*const pmlx_progress) -> T) -> T {
    let item = CString::new(now.item.replace('\0', "\\0")).unwrap_or_default();
    call(&pmlx_progress {
        struct_size: size_of::<pmlx_progress>() as u32,
        stage: now.stage as i32,
        done: now.done,
        total: now.total,
        bytes_per_second: now.bytes_per_second,
        item: item.as_ptr(),
        item_len: item.as_bytes().len(),
    })
}
