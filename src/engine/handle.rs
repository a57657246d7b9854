//! An engine: a device, a memory budget, and the models loaded under them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::budget::Budget;
use super::device::Compute;
use super::options::EngineOptions;
use super::worker::Worker;
use crate::error::{Code, Error, Result};

/// Runs models. All engines of a process share one worker thread; each has a device and a memory budget of its own.
///
/// Cheap to clone; clones are the same engine. It lives until it and all its models, sessions and generations are
/// dropped, in any order.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

/// What an engine's models share.
pub(super) struct Shared {
    pub options: EngineOptions,
    pub compute: Compute,
    pub budget: Arc<Budget>,
    pub suspended: Arc<AtomicBool>,
}

static NEXT_MODEL: AtomicU64 = AtomicU64::new(1);

/// An id for a model that no other in the process has had.
pub(super) fn next_model_id() -> u64 {
    NEXT_MODEL.fetch_add(1, Ordering::Relaxed)
}

impl Engine {
    /// An engine on the device that the options ask for.
    ///
    /// # Errors
    /// `Unsupported` when the device is not there; `InvalidArgument` for numbers out of range.
    pub fn new(options: EngineOptions) -> Result<Self> {
        let compute = Compute::choose(&options)?;
        let limit = match options.memory_limit_bytes {
            Some(0) => {
                return Err(Error::invalid("memory_limit_bytes is 0").with_hint("leave it out for the default"));
            }
            Some(limit) => limit,
            None => super::memory::default_limit(),
        };
        Worker::get()?;
        let shared = Shared { options, compute, budget: Arc::new(Budget::new(limit)), suspended: Arc::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Device, memory, versions and loaded models, as JSON.
    pub fn info(&self) -> Result<Value> {
        let budget = Arc::clone(&self.shared.budget);
        let models = Worker::get()?.call(move |state| state.describe(&budget))?;
        Ok(json!({
            "version": crate::VERSION,
            "device": self.shared.compute.device().name(),
            "threads": self.shared.compute.threads(),
            "memory_limit_bytes": self.shared.budget.limit(),
            "memory_used_bytes": self.shared.budget.used(),
            "suspended": self.is_suspended(),
            "models": models,
        }))
    }

    /// Pauses all generations and refuses new ones. Returns when nothing computes any more.
    ///
    /// Apps call this before the system takes the GPU away from them.
    ///
    /// # Errors
    /// `Busy` when the device is not idle within `timeout`; the engine is suspended all the same.
    pub fn suspend(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        self.shared.suspended.store(true, Ordering::Release);
        let budget = Arc::clone(&self.shared.budget);
        let (reply, idle) = std::sync::mpsc::channel();
        Worker::get()?.send(move |state| {
            // Nobody listens after the timeout.
            let _ = reply.send(state.synchronize(&budget));
        });
        idle.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or_else(|_| {
            Err(Error::new(Code::Busy, format!("the device is not idle after {} ms", timeout.as_millis()))
                .with_hint("the engine is suspended; wait longer or call resume"))
        })
    }

    /// Ends a suspension; paused generations go on.
    pub fn resume(&self) -> Result<()> {
        self.shared.suspended.store(false, Ordering::Release);
        Worker::get()?.poke();
        Ok(())
    }

    /// Drops what can be computed again: states kept for later prompts, and buffers. Gives the bytes freed.
    pub fn trim(&self) -> Result<u64> {
        let budget = Arc::clone(&self.shared.budget);
        Worker::get()?.call(move |state| state.trim(&budget))
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.shared.suspended.load(Ordering::Acquire)
    }
}
