//! The bounded channel that carries a generation's events from the worker to its reader.
//!
//! The worker never waits: it asks [`Channel::has_room`] before it computes more for a generation, so a slow reader
//! slows only its own generation. The bound is soft by the few events that one token may cause.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::event::Event;

/// Events held for a reader before its generation pauses.
const CAPACITY: usize = 64;

/// One generation's events.
pub(crate) struct Channel {
    state: Mutex<State>,
    changed: Condvar,
    cancelled: AtomicBool,
    poke: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    end: Option<Result<()>>,
    wake: Option<Box<dyn FnOnce() + Send>>,
}

/// What [`Generation::poll`](crate::Generation::poll) found.
#[derive(Debug, Clone, PartialEq)]
pub enum Poll {
    /// The next event.
    Ready(Event),
    /// Nothing yet.
    Pending,
    /// All events have been read.
    Finished,
}

impl Channel {
    /// `poke` makes the worker look at its generations again.
    pub fn new(poke: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), cancelled: AtomicBool::new(false), poke }
    }

    /// Whether the worker may compute more for this generation.
    pub fn has_room(&self) -> bool {
        self.state.lock().events.len() < CAPACITY
    }

    /// Adds an event. Progress that nobody has read yet is replaced by newer progress.
    pub fn push(&self, event: Event) {
        let mut state = self.state.lock();
        match (state.events.back_mut(), &event) {
            (Some(last @ Event::Prompt { .. }), Event::Prompt { .. }) => *last = event,
            _ => state.events.push_back(event),
        }
        self.notify(state);
    }

    /// Ends the channel; only the first end counts.
    pub fn end(&self, end: Result<()>) {
        let mut state = self.state.lock();
        state.end.get_or_insert(end);
        self.notify(state);
    }

    /// Wakes readers; the host's callback runs outside the lock, because it may call back.
    fn notify(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        self.changed.notify_all();
        let wake = state.wake.take();
        drop(state);
        if let Some(wake) = wake {
            wake();
        }
    }

    /// The next event, waiting for it until `deadline` at most (for ever when absent).
    pub fn next(&self, deadline: Option<Instant>) -> Result<Poll> {
        let mut state = self.state.lock();
        loop {
            if let Some(event) = state.events.pop_front() {
                let had_no_room = state.events.len() + 1 == CAPACITY;
                drop(state);
                if had_no_room {
                    (self.poke)();
                }
                return Ok(Poll::Ready(event));
            }
            match &state.end {
                Some(Ok(())) => return Ok(Poll::Finished),
                Some(Err(error)) => return Err(error.clone()),
                None => {}
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() && state.events.is_empty() {
                        return match &state.end {
                            Some(Err(error)) => Err(error.clone()),
                            Some(Ok(())) => Ok(Poll::Finished),
                            None => Ok(Poll::Pending),
                        };
                    }
                }
            }
        }
    }

    /// Calls `wake` once, when there is an event or the end; at once if that is so already. Replaces an earlier one.
    pub fn on_ready(&self, wake: Box<dyn FnOnce() + Send>) {
        let mut state = self.state.lock();
        if state.events.is_empty() && state.end.is_none() {
            let replaced = state.wake.replace(wake);
            drop(state);
            drop(replaced);
        } else {
            drop(state);
            wake();
        }
    }

    /// Asks the worker to end the generation. Any thread, never blocks.
    pub fn cancel(&self) {
        if !self.cancelled.swap(true, Ordering::Relaxed) {
            (self.poke)();
        }
    }

    /// Whether the host has asked to end the generation.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Waits until the channel has ended; `false` after `timeout`.
    pub fn wait_ended(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.end.is_none() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return state.end.is_some();
            }
        }
        true
    }

    /// The error for work that ended before it had an end of its own.
    pub fn abandon(&self) {
        self.end(Err(Error::internal("the engine dropped a generation")));
    }
}
