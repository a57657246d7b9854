//! Ctrl-C: the first one stops what is going on and keeps what there is so far, the second one ends the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pocketmlx::{Canceller, Error};

use crate::failure::Failure;

/// What a Ctrl-C would stop.
struct State {
    busy: bool,
    hit: bool,
    canceller: Option<Canceller>,
}

static STATE: Mutex<State> = Mutex::new(State { busy: false, hit: false, canceller: None });

/// Takes over Ctrl-C. Where nothing is [`busy`] it goes on to end the process.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(on_ctrl_c).map_err(|e| Error::internal(format!("Ctrl-C could not be taken over: {e}")).into())
}

/// Until the guard is dropped, the first Ctrl-C is remembered instead of ending the process.
pub fn busy() -> Busy {
    *state() = State { busy: true, hit: false, canceller: None };
    Busy(())
}

/// See [`busy`].
pub struct Busy(());

impl Busy {
    /// Whether Ctrl-C was pressed.
    pub fn hit(&self) -> bool {
        state().hit
    }

    /// What Ctrl-C cancels from now on; at once when it was pressed already.
    pub fn cancels(&self, canceller: Canceller) {
        let mut state = state();
        if state.hit {
            canceller.cancel();
        }
        state.canceller = Some(canceller);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *state() = State { busy: false, hit: false, canceller: None };
    }
}

fn on_ctrl_c() {
    let mut state = state();
    if !state.busy || state.hit {
        std::process::exit(130);
    }
    state.hit = true;
    if let Some(canceller) = &state.canceller {
        canceller.cancel();
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
