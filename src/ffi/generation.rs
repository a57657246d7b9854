//! Generations: running answers, read by the host.

use std::ffi::c_void;
use std::ptr;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::callback::{UserData, pmlx_destroy_fn};
use super::convert::{Out, borrowed, free};
use super::error::pmlx_error;
use super::event::{Shown, pmlx_event};
use super::guard::{guard, guard_or};
use crate::{Code, Error, Event, Generation, Poll, Result};

/// No event yet.
pub const PMLX_POLL_PENDING: i32 = 0;
/// An event.
pub const PMLX_POLL_READY: i32 = 1;
/// All events were read.
pub const PMLX_POLL_FINISHED: i32 = 2;

/// Wakes the host's event loop.
pub type pmlx_ready_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A running answer. One thread at a time reads it; any thread may cancel it or wait for it with
/// `pmlx_generation_on_ready`.
pub struct pmlx_generation {
    generation: Generation,
    /// The event that the host looks at. Boxed, so that it stays where it is.
    last: Mutex<Option<Box<Shown>>>,
}

// Handles are used from any thread.
const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<crate::Engine>();
    any_thread::<crate::Model>();
    any_thread::<crate::Session>();
    any_thread::<pmlx_generation>();
};

impl pmlx_generation {
    pub(super) fn new(generation: Generation) -> Self {
        Self { generation, last: Mutex::new(None) }
    }

    fn read(&self) -> Result<MutexGuard<'_, Option<Box<Shown>>>> {
        self.last.try_lock().ok_or_else(|| {
            Error::new(Code::Busy, "another thread is reading this generation")
                .with_hint("read a generation from one thread at a time")
        })
    }
}

fn show(last: &mut Option<Box<Shown>>, event: Option<Event>) -> Result<*const pmlx_event> {
    *last = event.map(Shown::new).transpose()?.map(Box::new);
    Ok(last.as_deref().map_or(ptr::null(), Shown::event))
}

/// Waits for the next event. `out` gets `NULL` after the last one. After a failure, every later call fails in the same
/// way. `PMLX_BUSY` while another thread reads the same generation.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_generation_next(
    generation: *mut pmlx_generation,
    out: *mut *const pmlx_event,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let this = borrowed(generation, "generation")?;
        let out = Out::new(out, "out")?;
        let mut last = this.read()?;
        let event = this.generation.next_event()?;
        out.set(show(&mut last, event)?);
        Ok(())
    })
}

/// Like `pmlx_generation_next`, but waits `timeout_ms` at most (0: not at all). `state` gets `PMLX_POLL_READY`,
/// `_PENDING` or `_FINISHED`, and `out` an event or `NULL`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_generation_poll(
    generation: *mut pmlx_generation,
    timeout_ms: u32,
    out: *mut *const pmlx_event,
    state: *mut i32,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let this = borrowed(generation, "generation")?;
        let out = Out::new(out, "out")?;
        let out_state = Out::new(state, "state")?;
        let mut last = this.read()?;
        let (event, state) = match this.generation.poll(Duration::from_millis(timeout_ms.into()))? {
            Poll::Ready(event) => (Some(event), PMLX_POLL_READY),
            Poll::Pending => (None, PMLX_POLL_PENDING),
            Poll::Finished => (None, PMLX_POLL_FINISHED),
        };
        out.set(show(&mut last, event)?);
        out_state.set(state);
        Ok(())
    })
}

/// Calls `callback` once, when a read would not wait: at an event, the end, a failure, or when the generation is freed
/// or this function is called again. Then `destroy` is called once; when this function fails, only `destroy` is. Either
/// may happen on any thread, also on this one before this function returns. `callback` must return soon and call
/// nothing of this library: it wakes an event loop, which then reads with `pmlx_generation_poll`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_generation_on_ready(
    generation: *mut pmlx_generation,
    callback: pmlx_ready_fn,
    user_data: *mut c_void,
    destroy: pmlx_destroy_fn,
) -> *mut pmlx_error {
    let user_data = UserData::new(user_data, destroy);
    guard(|| unsafe {
        let this = borrowed(generation, "generation")?;
        let callback = callback.ok_or_else(|| Error::invalid("callback is NULL"))?;
        let wake = Wake { callback, user_data };
        this.generation.on_ready(Box::new(move || drop(wake)));
        Ok(())
    })
}

/// Wakes when dropped, because a wake-up that never comes would leave the host waiting for ever.
struct Wake {
    callback: unsafe extern "C" fn(user_data: *mut c_void),
    user_data: UserData,
}

impl Drop for Wake {
    fn drop(&mut self) {
        unsafe { (self.callback)(self.user_data.pointer()) }
    }
}

/// Ends the generation soon; its last event says "cancelled". Never blocks; may be called repeatedly, at any time, from
/// any thread. Does nothing for `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_generation_cancel(generation: *mut pmlx_generation) {
    guard_or((), || {
        if let Some(this) = unsafe { generation.as_ref() } {
            this.generation.cancel();
        }
    });
}

/// Cancels the generation and frees the handle; `NULL` is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_generation_free(generation: *mut pmlx_generation) {
    unsafe { free(generation) }
}
