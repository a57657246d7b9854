//! Callbacks that outlive the call: the data that travels with them.

use std::ffi::c_void;
use std::ops::ControlFlow;

use crate::{Error, Result};

/// Releases `user_data` once the library is done with it. May be `NULL`.
pub type pmlx_destroy_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The meaning of a callback's answer: 0 goes on, 1 cancels.
pub(super) fn answer(value: i32, name: &str) -> Result<ControlFlow<()>> {
    match value {
        0 => Ok(ControlFlow::Continue(())),
        1 => Ok(ControlFlow::Break(())),
        _ => {
            Err(Error::invalid(format!("the {name} callback returned {value}"))
                .with_hint("return 0 to go on, 1 to cancel"))
        }
    }
}

/// `user_data` of a callback that outlives the call; destroyed exactly once, when dropped.
pub(super) struct UserData {
    pointer: *mut c_void,
    destroy: pmlx_destroy_fn,
}

// The header makes the host promise that its data may be used and destroyed on any thread.
unsafe impl Send for UserData {}
unsafe impl Sync for UserData {}

impl UserData {
    pub(super) fn new(pointer: *mut c_void, destroy: pmlx_destroy_fn) -> Self {
        Self { pointer, destroy }
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            unsafe { destroy(self.pointer) }
        }
    }
}
