//! Messages for the host's own log.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::{Mutex, RwLock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

use super::callback::{UserData, pmlx_destroy_fn};
use super::error::pmlx_error;
use super::guard::guard;
use crate::{Code, Error, Result};

/// Nothing.
pub const PMLX_LOG_OFF: i32 = 0;
/// Failures.
pub const PMLX_LOG_ERROR: i32 = 1;
/// And what may be wrong.
pub const PMLX_LOG_WARN: i32 = 2;
/// And what happens now and then, such as a model being loaded.
pub const PMLX_LOG_INFO: i32 = 3;
/// And what happens in a generation.
pub const PMLX_LOG_DEBUG: i32 = 4;
/// And everything else.
pub const PMLX_LOG_TRACE: i32 = 5;

/// Gets one message, with a NUL at its end, valid until it returns. Called on any thread, also on several at once; it
/// must return soon and call nothing of this library.
pub type pmlx_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char, len: usize)>;

/// Sends the library's messages up to `level` to `callback`, in place of the one set before; `NULL` switches them off.
/// `destroy` is called exactly once, on any thread and whatever this function returns: when another callback was set and
/// the last call of this one has returned. `PMLX_BUSY` when the process already sends its `tracing` events elsewhere.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_set_log(
    level: i32,
    callback: pmlx_log_fn,
    user_data: *mut c_void,
    destroy: pmlx_destroy_fn,
) -> *mut pmlx_error {
    let user_data = UserData::new(user_data, destroy);
    guard(|| {
        if !(PMLX_LOG_OFF..=PMLX_LOG_TRACE).contains(&level) {
            return Err(Error::invalid(format!("level is {level}; it must be 0 (off) to 5 (trace)")));
        }
        match callback {
            Some(callback) if level != PMLX_LOG_OFF => {
                install()?;
                replace(level, Some(Arc::new(Sink { callback, user_data })));
            }
            _ => replace(PMLX_LOG_OFF, None),
        }
        Ok(())
    })
}

struct Sink {
    callback: unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char, len: usize),
    user_data: UserData,
}

static LEVEL: AtomicI32 = AtomicI32::new(PMLX_LOG_OFF);
static SINK: RwLock<Option<Arc<Sink>>> = RwLock::new(None);

fn replace(level: i32, sink: Option<Arc<Sink>>) {
    let old = {
        let mut current = SINK.write();
        LEVEL.store(level, Ordering::Relaxed);
        std::mem::replace(&mut *current, sink)
    };
    // Outside the lock, because this may call the host's `destroy`.
    drop(old);
}

/// Makes the bridge the process's subscriber, once: `tracing` knows no way back.
fn install() -> Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if !*installed {
        set_global_default(Bridge).map_err(|_| {
            Error::new(Code::Busy, "the process already has a global tracing subscriber")
                .with_hint("read the messages of the target pocketmlx from that one")
        })?;
        *installed = true;
    }
    Ok(())
}

struct Bridge;

impl Subscriber for Bridge {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level may change later, so that no answer may be kept.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(*metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn event(&self, event: &Event<'_>) {
        thread_local!(static CALLING: Cell<bool> = const { Cell::new(false) });
        // What a callback causes in spite of its contract must not call it again without end.
        let first = CALLING.try_with(|calling| !calling.replace(true)).unwrap_or(false);
        if first {
            // A message is not worth a panic in what it reports on.
            let _ = catch_unwind(AssertUnwindSafe(|| deliver(event)));
            let _ = CALLING.try_with(|calling| calling.set(false));
        }
    }

    // Messages stand alone; spans are not followed.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn deliver(event: &Event<'_>) {
    let Some(sink) = SINK.read().clone() else { return };
    let mut line = Line(event.metadata().target().to_owned());
    line.0.push(':');
    event.record(&mut line);
    let len = line.0.len();
    line.0.push('\0');
    let level = number(*event.metadata().level());
    unsafe { (sink.callback)(sink.user_data.pointer(), level, line.0.as_ptr().cast(), len) }
}

/// `target: message key=value …`
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

fn number(level: Level) -> i32 {
    match level {
        Level::ERROR => PMLX_LOG_ERROR,
        Level::WARN => PMLX_LOG_WARN,
        Level::INFO => PMLX_LOG_INFO,
        Level::DEBUG => PMLX_LOG_DEBUG,
        Level::TRACE => PMLX_LOG_TRACE,
    }
}
