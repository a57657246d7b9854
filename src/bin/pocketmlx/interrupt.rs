//! Ctrl-C: the first one stops what is going on and keeps what there is so far, the second one ends the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pocketmlx::Error;

use crate::failure::Failure;

/// What a Ctrl-C would stop.
struct State {
    busy: bool,
    hit: bool,
    cancel: Option<Box<dyn Fn() + Send>>,
}

static STATE: Mutex<State> = Mutex::new(State { busy: false, hit: false, cancel: None });

/// Takes over Ctrl-C. Where nothing is [`busy`] it goes on to end the process.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(on_ctrl_c).map_err(|e| Error::internal(format!("Ctrl-C could not be taken over: {e}")).into())
}

/// Until the guard is dropped, the first Ctrl-C is remembered instead of ending the process.
pub fn busy() -> Busy {
    *state() = State { busy: true, hit: false, cancel: None };
    Busy(())
}

/// See [`busy`].
pub struct Busy(());

impl Busy {
    /// Whether Ctrl-C was pressed.
    pub fn hit(&self) -> bool {
        state().hit
    }

    /// What Ctrl-C does from now on; at once when it was pressed already.
    pub fn cancels(&self, cancel: impl Fn() + Send + 'static) {
        let mut state = state();
        if state.hit {
            cancel();
        }
        state.cancel = Some(Box::new(cancel));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *state() = State { busy: false, hit: false, cancel: None };
    }
}

fn on_ctrl_c() {
    let mut state = state();
    if !state.busy || state.hit {
        std::process::exit(130);
    }
    state.hit = true;
    if let Some(cancel) = &state.cancel {
        cancel();
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
