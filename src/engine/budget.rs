//! What the models of an engine may take of the machine's memory.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// An engine's memory budget: a limit, and what each model uses of it.
pub(crate) struct Budget {
    limit: u64,
    used: Mutex<BTreeMap<u64, Use>>,
}

#[derive(Clone, Copy, Default)]
struct Use {
    weights: u64,
    caches: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, used: Mutex::default() }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes used by all models.
    pub fn used(&self) -> u64 {
        self.used.lock().values().map(|u| u.weights + u.caches).sum()
    }

    /// Whether `more` bytes fit.
    pub fn fits(&self, more: u64) -> bool {
        self.used().saturating_add(more) <= self.limit
    }

    /// Reserves a model's weights and work memory before it is loaded.
    ///
    /// # Errors
    /// `OutOfMemory` with the numbers when the weights of all models would not fit. Caches don't count: they give way.
    pub fn reserve_weights(&self, model: u64, label: &str, bytes: u64) -> Result<()> {
        let mut used = self.used.lock();
        let others: u64 = used.values().map(|u| u.weights).sum();
        if others.saturating_add(bytes) > self.limit {
            return Err(Error::out_of_memory(format!(
                "{label} needs {bytes} bytes for weights and work; of the memory limit of {} bytes, {others} are taken by other models",
                self.limit
            ))
            .with_hint("raise memory_limit_bytes, free another model, or choose a smaller or more strongly quantized model"));
        }
        used.insert(model, Use { weights: bytes, caches: 0 });
        Ok(())
    }

    /// Notes what a model's caches take.
    pub fn set_caches(&self, model: u64, bytes: u64) {
        if let Some(own) = self.used.lock().get_mut(&model) {
            own.caches = bytes;
        }
    }

    /// Bytes that a model's caches may take beside everything else.
    pub fn cache_limit(&self, model: u64) -> u64 {
        let used = self.used.lock();
        let total: u64 = used.values().map(|u| u.weights + u.caches).sum();
        let own = used.get(&model).map_or(0, |u| u.caches);
        self.limit.saturating_sub(total - own)
    }

    /// A model was freed.
    pub fn forget(&self, model: u64) {
        self.used.lock().remove(&model);
    }
}
