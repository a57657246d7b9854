//! Loading the model that a subcommand works with.

use std::ops::ControlFlow;
use std::time::Instant;

use pocketmlx::{Engine, EngineOptions, LoadOptions, Model};

use crate::args::LoadArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::progress::Bar;

/// A model that is ready, and how long it took to get there.
pub struct Loaded {
    pub model: Model,
    pub load_ms: f64,
}

/// Loads the model of `args`. Ctrl-C stops it.
pub fn load(args: &LoadArgs) -> Result<Loaded, Failure> {
    load_with(args, args.engine_options(), args.load_options())
}

/// [`load`] with other options than those of `args`.
pub fn load_with(args: &LoadArgs, options: EngineOptions, load_options: LoadOptions) -> Result<Loaded, Failure> {
    interrupt::install()?;
    let busy = interrupt::busy();
    let mut bar = Bar::new();
    let started = Instant::now();
    let engine = Engine::new(options)?;
    let model = engine.load(&args.model.model, load_options, &mut |progress| {
        bar.loading(progress);
        if busy.hit() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if busy.hit() {
        return Err(Failure::Interrupted);
    }
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    tracing::info!(model = args.model.model, load_ms, "loaded");
    Ok(Loaded { model, load_ms })
}
