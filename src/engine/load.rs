//! Loading a model: checked and opened on the caller's thread, the tokenizer read beside it, the weights taken over by
//! the worker in small steps.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::handle::{Engine, next_model_id};
use super::model::Model;
use super::options::LoadOptions;
use super::probe::DEFAULT_CONTEXT;
use super::recipe::Recipe;
use super::slot::LoadEvent;
use super::text::Text;
use super::worker::Worker;
use crate::arch;
use crate::backend::KvBits;
use crate::error::{Code, Error, Result};
use crate::event::{Progress, Stage};
use crate::source::{self, ModelFiles};
use crate::weights::{self, Tensors};

/// How often the caller hears of progress, at least.
const REPORT_EVERY: Duration = Duration::from_millis(40);

/// The longest context that may be asked for.
const MAX_CONTEXT: usize = 1 << 24;

/// Hears of progress; `Break` cancels.
pub(crate) type ProgressFn<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

enum Message {
    Weights(LoadEvent),
    Text(Box<Result<Text>>),
}

impl Engine {
    /// Loads a model. `progress` is called on this thread, at least every 50 ms while it takes longer; `Break` cancels.
    ///
    /// `source` is a folder with an MLX checkpoint, a `.gguf` file, `demo`, or with feature `hub` also `owner/name` or
    /// `owner/name@revision` of a hub, or `owner/name:Q4_K_M` or `owner/name/FILE.gguf` of its GGUF files, which is fetched
    /// unless it is in the cache.
    ///
    /// # Errors
    /// `NotFound`, `CorruptFile` or `Unsupported` naming the file and the value; `OutOfMemory` when the weights exceed
    /// the memory limit, before they are read; `Suspended`; `Cancelled`.
    pub fn load(&self, source: &str, options: LoadOptions, progress: &mut ProgressFn<'_>) -> Result<Model> {
        let mut report = Reporter::new(progress, source);
        report.now(Stage::Check, 0, 0)?;
        if self.is_suspended() {
            return Err(suspended());
        }
        let files = report.fetch(source)?;
        let spec = Arc::new(arch::spec(&files)?);
        let context_length = context_length(&options, &spec)?;
        report.now(Stage::Check, 0, 0)?;

        let (messages, inbox) = channel();
        let texts = messages.clone();
        let text_files = files.clone();
        let eos_ids = spec.eos_ids.clone();
        std::thread::Builder::new()
            .name("pocketmlx-text".into())
            .spawn(move || {
                let text = super::guard::guarded("reading the tokenizer", || Text::read(&text_files, &eos_ids));
                // The caller may have given up.
                let _ = texts.send(Message::Text(Box::new(text)));
            })
            .map_err(|e| Error::internal(format!("a thread to read the tokenizer could not be started: {e}")))?;

        let tensors = Arc::new(Tensors::open(&files)?);
        weights::check_names(&spec, &tensors)?;
        for conversion in tensors.conversions()? {
            let weights::gguf::Conversion { from, to, tensors, relative_error, .. } = conversion;
            tracing::info!(from, to, tensors, relative_error, "blocks of a GGUF file are converted");
        }
        report.now(Stage::Check, 0, 0)?;

        let numbers = self.shared.compute.numbers(options.precision, &spec, &tensors);
        let precision = numbers.precision;
        let kv_cache = super::kv::describe(&self.shared.compute, &spec, precision, options.kv_bits);
        if options.kv_bits.is_some_and(|bits| bits != KvBits::Sixteen) && kv_cache["quantized_layers"] == 0 {
            tracing::warn!(%kv_cache, model = files.label(), "no cache of this model is quantized: kv_bits has no effect");
        }
        let id = next_model_id();
        let activations = self.shared.compute.activations(numbers, options.kv_bits);
        let work = arch::memory(&spec, context_length.min(DEFAULT_CONTEXT), activations, |_| 0).work;
        let weight_bytes = self.shared.compute.weight_bytes(&spec, &tensors) + work;
        self.shared.budget.reserve_weights(id, &files.label(), weight_bytes)?;
        let recipe = Arc::new(Recipe {
            id,
            spec,
            files,
            tensors: Mutex::new(Some(tensors)),
            options,
            precision,
            context_length,
            compute: self.shared.compute.clone(),
            budget: Arc::clone(&self.shared.budget),
            weight_bytes,
            idle_unload: self.shared.options.idle_unload_seconds.map(Duration::from_secs),
            prefix_cache_bytes: self.shared.options.prefix_cache_bytes,
            suspended: Arc::clone(&self.shared.suspended),
            cancelled: AtomicBool::new(false),
        });
        let loading = Arc::clone(&recipe);
        Worker::get()?.send(move |state| {
            state.add_model(
                id,
                loading,
                Box::new(move |event| {
                    // The caller may have given up.
                    let _ = messages.send(Message::Weights(event));
                }),
            );
        });
        // From here on, dropping `handle` frees the model again.
        let mut handle = PendingModel { recipe: Some(recipe) };
        let text = wait(&inbox, &mut report, weight_bytes)?;
        let recipe = handle.recipe.take().ok_or_else(|| Error::internal("a model was loaded twice"))?;
        let device = recipe.compute.device().name();
        tracing::info!(model = recipe.label(), device, weight_bytes, context_length, "a model is ready");
        Ok(Model::new(self.clone(), recipe, Arc::new(text)))
    }
}

/// Waits for weights and tokenizer, reporting progress.
fn wait(inbox: &Receiver<Message>, report: &mut Reporter<'_, '_>, bytes: u64) -> Result<Text> {
    let (mut text, mut loaded) = (None, false);
    let mut done = 0;
    loop {
        match inbox.recv_timeout(REPORT_EVERY) {
            Ok(Message::Text(read)) => text = Some((*read)?),
            Ok(Message::Weights(LoadEvent::Step(step, of))) => done = bytes / of.max(1) as u64 * step as u64,
            Ok(Message::Weights(LoadEvent::End(end))) => {
                end?;
                loaded = true;
                done = bytes;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("the load ended without a result"));
            }
        }
        let stage = if loaded { Stage::Tokenizer } else { Stage::Weights };
        if loaded && let Some(text) = text.take() {
            report.now(stage, bytes, bytes)?;
            return Ok(text);
        }
        report.sometimes(stage, done, bytes)?;
    }
}

/// Frees a model on the worker if its load does not come to an end.
struct PendingModel {
    recipe: Option<Arc<Recipe>>,
}

impl Drop for PendingModel {
    fn drop(&mut self) {
        if let Some(recipe) = self.recipe.take() {
            recipe.cancelled.store(true, Ordering::Relaxed);
            free(&recipe);
        }
    }
}

/// Frees a model on the worker, after what it is doing.
pub(super) fn free(recipe: &Recipe) {
    let (id, budget) = (recipe.id, Arc::clone(&recipe.budget));
    match Worker::get() {
        Ok(worker) => worker.send(move |state| state.remove_model(id, &budget)),
        Err(error) => tracing::error!(%error, "a model could not be freed"),
    }
}

/// Calls the host's progress function.
struct Reporter<'a, 'b> {
    progress: &'a mut ProgressFn<'b>,
    item: String,
    began: Instant,
    last: Instant,
}

impl<'a, 'b> Reporter<'a, 'b> {
    fn new(progress: &'a mut ProgressFn<'b>, item: &str) -> Self {
        let now = Instant::now();
        Self { progress, item: item.to_owned(), began: now, last: now }
    }

    /// The model's files, fetched from a hub where they have to be, but not for an architecture that is not known.
    #[cfg(feature = "hub")]
    fn fetch(&mut self, source: &str) -> Result<ModelFiles> {
        source::fetch(source, &|files| arch::spec(files).map(drop), self.progress)
    }

    #[cfg(not(feature = "hub"))]
    fn fetch(&mut self, source: &str) -> Result<ModelFiles> {
        source::resolve(source)
    }

    fn sometimes(&mut self, stage: Stage, done: u64, total: u64) -> Result<()> {
        if self.last.elapsed() < REPORT_EVERY { Ok(()) } else { self.now(stage, done, total) }
    }

    fn now(&mut self, stage: Stage, done: u64, total: u64) -> Result<()> {
        self.last = Instant::now();
        let bytes_per_second = done as f64 / self.began.elapsed().as_secs_f64().max(1e-6);
        let progress = Progress { stage, done, total, bytes_per_second, item: self.item.clone() };
        match (self.progress)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::cancelled().context("loading")),
        }
    }
}

fn context_length(options: &LoadOptions, spec: &arch::spec::Spec) -> Result<usize> {
    match options.context_length {
        None => Ok(spec.context_length),
        Some(length) if (2..=MAX_CONTEXT).contains(&length) => Ok(length),
        Some(length) => Err(Error::invalid(format!("context_length is {length}; it must be 2 to {}", MAX_CONTEXT))),
    }
}

/// The error for work that an engine refuses while it is suspended.
pub(super) fn suspended() -> Error {
    Error::new(Code::Suspended, "the engine is suspended").with_hint("call resume first")
}
