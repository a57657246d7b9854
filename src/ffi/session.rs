//! Sessions.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;

use super::callback::answer;
use super::convert::{Out, array, borrowed, free, options, text};
use super::error::pmlx_error;
use super::event::{Shown, pmlx_event_fn};
use super::generation::pmlx_generation;
use super::guard::{guard, guard_or};
use super::model::pmlx_model;
use super::text::pmlx_string;
use crate::{Error, Event, Request, Result, Session, SessionOptions};

/// A transcript plus defaults. One generation runs in it at a time.
pub struct pmlx_session(Session);

/// Bytes that a request names by their index, such as an image. None are supported yet: pass `NULL` and 0.
#[repr(C)]
pub struct pmlx_blob {
    /// The bytes.
    pub data: *const u8,
    /// Their number.
    pub len: usize,
}

/// Makes a session. `options` is JSON: "instructions" (the system message), "transcript" (messages to start from),
/// "tools", "defaults" (of requests).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_session_new(
    model: *mut pmlx_model,
    options: *const c_char,
    options_len: usize,
    out: *mut *mut pmlx_session,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let model = borrowed(model, "model")?;
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_session(model.0.session(SessionOptions::from_json(json)?)?));
        Ok(())
    })
}

/// Starts a generation and returns at once; it is read with `pmlx_generation_next`. `PMLX_BUSY` while another one of
/// this session runs.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_session_start(
    session: *mut pmlx_session,
    request: *const c_char,
    request_len: usize,
    blobs: *const pmlx_blob,
    n: usize,
    out: *mut *mut pmlx_generation,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let session = borrowed(session, "session")?;
        let request = text(request, request_len, "request")?;
        no_blobs(blobs, n)?;
        let out = Out::new(out, "out")?;
        let generation = session.0.start(Request::from_json(request.as_bytes())?)?;
        out.give(pmlx_generation::new(generation));
        Ok(())
    })
}

/// Starts a generation and calls `callback` with each of its events on this thread; returns after the last. When
/// `callback` returns 1, or something else cancels the generation, that is no failure: the last event says "cancelled".
/// After returning 1, `callback` is called once more, with that event. An answer other than 0 and 1 cancels, and this
/// function fails with `PMLX_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_session_generate(
    session: *mut pmlx_session,
    request: *const c_char,
    request_len: usize,
    blobs: *const pmlx_blob,
    n: usize,
    callback: pmlx_event_fn,
    user_data: *mut c_void,
) -> *mut pmlx_error {
    guard(|| unsafe {
        // A clone, because the callback may free the handle.
        let session = borrowed(session, "session")?.0.clone();
        let request = text(request, request_len, "request")?;
        no_blobs(blobs, n)?;
        let callback = callback.ok_or_else(|| Error::invalid("callback is NULL"))?;
        let generation = session.start(Request::from_json(request.as_bytes())?)?;
        let mut cancelled = false;
        while let Some(event) = generation.next_event()? {
            if cancelled && !matches!(event, Event::Done(_)) {
                continue;
            }
            let shown = Shown::new(event)?;
            match answer(callback(user_data, shown.event()), "event") {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => {
                    cancelled = true;
                    generation.cancel();
                }
                Err(error) => {
                    generation.cancel();
                    // Read to its end, so that the session is free again when this returns.
                    while let Ok(Some(_)) = generation.next_event() {}
                    return Err(error);
                }
            }
        }
        Ok(())
    })
}

unsafe fn no_blobs(blobs: *const pmlx_blob, n: usize) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    unsafe { array(blobs, n, "blobs") }?;
    Err(Error::unsupported(format!("{n} blobs with a request")).with_hint("this version takes text only"))
}

/// Cancels what runs or waits in the session; its last event says "cancelled". Never blocks; does nothing when nothing
/// runs, or for `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_session_cancel(session: *mut pmlx_session) {
    guard_or((), || {
        if let Some(session) = unsafe { session.as_ref() } {
            session.0.cancel();
        }
    });
}

/// The transcript as a JSON list of messages. An answer that was cancelled has "partial": true.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_session_history(
    session: *mut pmlx_session,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let session = borrowed(session, "session")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_string::json(&session.0.history())?);
        Ok(())
    })
}

/// A second session with the same transcript and defaults; both go their own ways from here.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_session_fork(session: *mut pmlx_session, out: *mut *mut pmlx_session) -> *mut pmlx_error {
    guard(|| unsafe {
        let session = borrowed(session, "session")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_session(session.0.fork()?));
        Ok(())
    })
}

/// Keeps the first `messages` messages of the transcript and forgets the rest.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_session_rewind(session: *mut pmlx_session, messages: usize) -> *mut pmlx_error {
    guard(|| unsafe { borrowed(session, "session")?.0.rewind(messages) })
}

/// Frees the handle; `NULL` is allowed. A generation that runs in it keeps running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_session_free(session: *mut pmlx_session) {
    unsafe { free(session) }
}
