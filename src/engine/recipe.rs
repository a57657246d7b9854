//! How to load a model, kept so that an idle one can be unloaded and loaded again.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::budget::Budget;
use super::device::Compute;
use super::options::LoadOptions;
use super::runner::Runner;
use super::scheduler::Scheduler;
#[cfg(feature = "mlx")]
use super::worker::Worker;
use crate::arch::spec::Spec;
use crate::backend::cpu::Cpu;
use crate::backend::profile::Profiled;
use crate::backend::{Backend, Precision};
use crate::error::Result;
use crate::nn::Builder;
use crate::weights::{ModelFiles, Tensors};

/// All that it takes to load a model.
pub(crate) struct Recipe {
    /// The model's id in the worker.
    pub id: u64,
    /// Its configuration.
    pub spec: Arc<Spec>,
    /// Its files.
    pub files: ModelFiles,
    /// The checkpoint as it was opened and checked; taken by the first load.
    pub tensors: Mutex<Option<Arc<Tensors>>>,
    /// Options of the load.
    pub options: LoadOptions,
    /// In what precision it computes.
    pub precision: Precision,
    /// The longest sequence.
    pub context_length: usize,
    /// What computes.
    pub compute: Compute,
    /// The engine's memory budget.
    pub budget: Arc<Budget>,
    /// Weights and work memory, as reserved in the budget.
    pub weight_bytes: u64,
    /// When to give the weights back.
    pub idle_unload: Option<Duration>,
    /// The most bytes of kept states.
    pub prefix_cache_bytes: Option<u64>,
    /// Set while the engine is suspended.
    pub suspended: Arc<AtomicBool>,
    /// Set when the load is not wanted any more.
    pub cancelled: AtomicBool,
}

/// A load under way, advanced in small steps.
pub(crate) trait Loading {
    /// Loads the next piece; gives the model after the last one.
    fn step(&mut self) -> Result<Option<Box<dyn Runner>>>;

    /// Pieces loaded, of all.
    fn progress(&self) -> (usize, usize);
}

impl Recipe {
    /// What the user called the model.
    pub fn label(&self) -> String {
        self.files.label()
    }

    /// Whether nothing may be computed for now.
    pub fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Acquire)
    }

    /// Begins to load. Called on the worker.
    pub fn start_loading(self: &Arc<Self>) -> Result<Box<dyn Loading>> {
        let opened = self.tensors.lock().take();
        let tensors = match opened {
            Some(tensors) => tensors,
            None => Arc::new(Tensors::open(&self.files)?),
        };
        let precision = self.precision;
        match &self.compute {
            Compute::Cpu(threads) => {
                let backend = Cpu::new(threads.pool()?, precision, self.options.kv_bits)?;
                let bandwidth = self.options.profile.then(|| backend.read_bytes_per_second()).transpose()?;
                Ok(self.start_on(backend, bandwidth, tensors))
            }
            #[cfg(feature = "mlx")]
            Compute::Mlx(device) => {
                let backend = crate::backend::mlx::Mlx::new(*device, precision, self.options.kv_bits, Worker::park)?;
                Ok(self.start_on(backend, None, tensors))
            }
        }
    }

    fn start_on<B: Backend>(
        self: &Arc<Self>,
        backend: B,
        read_bytes_per_second: Option<f64>,
        tensors: Arc<Tensors>,
    ) -> Box<dyn Loading> {
        if self.options.profile {
            BackendLoading::start(self, Profiled::new(backend, read_bytes_per_second), tensors)
        } else {
            BackendLoading::start(self, backend, tensors)
        }
    }
}

/// A load onto one backend.
struct BackendLoading<B: Backend> {
    recipe: Arc<Recipe>,
    backend: Rc<B>,
    builder: Builder<B>,
    done: usize,
}

impl<B: Backend> BackendLoading<B> {
    fn start(recipe: &Arc<Recipe>, backend: B, tensors: Arc<Tensors>) -> Box<dyn Loading> {
        let backend = Rc::new(backend);
        let builder = Builder::new(Rc::clone(&backend), Arc::clone(&recipe.spec), tensors);
        Box::new(Self { recipe: Arc::clone(recipe), backend, builder, done: 0 })
    }
}

impl<B: Backend> Loading for BackendLoading<B> {
    fn step(&mut self) -> Result<Option<Box<dyn Runner>>> {
        if self.recipe.cancelled.load(Ordering::Relaxed) {
            return Err(crate::error::Error::cancelled());
        }
        let decoder = self.builder.step()?;
        self.done += 1;
        Ok(decoder.map(|decoder| {
            Box::new(Scheduler::new(Rc::clone(&self.backend), decoder, &self.recipe)) as Box<dyn Runner>
        }))
    }

    fn progress(&self) -> (usize, usize) {
        (self.done, self.builder.steps())
    }
}
