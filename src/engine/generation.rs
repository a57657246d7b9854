//! A running generation, as its host sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Channel, Poll};
use super::model::Model;
use crate::error::Result;
use crate::event::Event;

/// A running generation: a stream of [`Event`]s that is pulled. Dropping it cancels.
pub struct Generation {
    channel: Arc<Channel>,
    /// Keeps the model loaded.
    _model: Model,
}

/// Cancels a generation from anywhere.
#[derive(Clone)]
pub struct Canceller {
    channel: Arc<Channel>,
}

impl Canceller {
    /// Asks the generation to end; its last event has the finish reason `Cancelled`. Any thread, never blocks.
    pub fn cancel(&self) {
        self.channel.cancel();
    }
}

impl Generation {
    pub(super) fn new(channel: Arc<Channel>, model: Model) -> Self {
        Self { channel, _model: model }
    }

    /// The next event, waiting for it; nothing after the last one.
    ///
    /// # Errors
    /// What ended the generation; the same on every later call.
    pub fn next_event(&self) -> Result<Option<Event>> {
        match self.channel.next(None)? {
            Poll::Ready(event) => Ok(Some(event)),
            Poll::Pending | Poll::Finished => Ok(None),
        }
    }

    /// The next event if it comes within `timeout`.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub fn poll(&self, timeout: Duration) -> Result<Poll> {
        self.channel.next(Some(Instant::now() + timeout))
    }

    /// Calls `wake` once, as soon as [`poll`](Self::poll) would not be pending: at once on this thread, or later on the
    /// worker, which it must not hold up. A second call replaces a `wake` that was not called yet.
    pub fn on_ready(&self, wake: Box<dyn FnOnce() + Send>) {
        self.channel.on_ready(wake);
    }

    /// Asks the generation to end; its last event has the finish reason `Cancelled`. Any thread, never blocks.
    pub fn cancel(&self) {
        self.channel.cancel();
    }

    /// A handle that cancels this generation.
    pub fn canceller(&self) -> Canceller {
        Canceller { channel: Arc::clone(&self.channel) }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.channel.cancel();
    }
}

impl Iterator for Generation {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().transpose()
    }
}
