//! The one thread that owns all models of the process. It never exits.
//!
//! MLX keeps streams, random state and caches by thread, so everything of a backend is made, used and dropped here.
//! The rest of the engine talks to it by sending closures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use once_cell::sync::OnceCell;

use super::budget::Budget;
use super::guard::guarded;
use super::job::Job;
use super::recipe::Recipe;
use super::slot::{LoadEvent, LoadReport, Slot, Stage, Turn};
use crate::error::{Code, Error, Result};

/// Handle of the worker thread.
pub(crate) struct Worker {
    commands: Sender<Command>,
}

enum Command {
    Run(Box<dyn FnOnce(&mut State) + Send>),
    Poke,
    /// Answer and do nothing any more.
    #[cfg(feature = "mlx")]
    Park(Sender<()>),
}

static WORKER: OnceCell<Worker> = OnceCell::new();

impl Worker {
    /// The worker of this process, started on first use.
    pub fn get() -> Result<&'static Self> {
        WORKER.get_or_try_init(|| {
            let (commands, receiver) = channel();
            std::thread::Builder::new()
                .name("pocketmlx".into())
                .stack_size(8 << 20)
                .spawn(move || run(&receiver))
                .map_err(|e| Error::internal(format!("the worker thread could not be started: {e}")))?;
            Ok(Self { commands })
        })
    }

    /// Runs `task` on the worker, after what was sent before.
    pub fn send(&self, task: impl FnOnce(&mut State) + Send + 'static) {
        // The receiver lives as long as the process.
        let _ = self.commands.send(Command::Run(Box::new(task)));
    }

    /// Runs `task` on the worker and waits for its result.
    pub fn call<T: Send + 'static>(&self, task: impl FnOnce(&mut State) -> T + Send + 'static) -> Result<T> {
        let (reply, result) = channel();
        self.send(move |state| {
            let _ = reply.send(task(state));
        });
        result.recv().map_err(|_| Error::internal("the worker thread failed while it served a call"))
    }

    /// Ends the worker's work for good, because the process ends: waits for its current step, though not for long.
    #[cfg(feature = "mlx")]
    pub fn park() {
        let Some(worker) = WORKER.get() else { return };
        let (reply, parked) = channel();
        let _ = worker.commands.send(Command::Park(reply));
        if parked.recv_timeout(PARK_TIMEOUT).is_err() {
            tracing::warn!("the process ends while a model computes");
        }
    }

    /// Makes the worker look at its generations again. Never blocks.
    pub fn poke(&self) {
        let _ = self.commands.send(Command::Poke);
    }
}

/// All models of the process, by id; a later model has a higher id.
#[derive(Default)]
pub(crate) struct State {
    models: BTreeMap<u64, Slot>,
}

/// How long the end of the process waits for a step to finish.
#[cfg(feature = "mlx")]
const PARK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

impl State {
    /// Takes a model in and loads it step by step.
    pub fn add_model(&mut self, id: u64, recipe: Arc<Recipe>, mut report: LoadReport) {
        self.make_room(&recipe.budget, recipe.weight_bytes);
        let loading = guarded("loading a model", || recipe.start_loading());
        match loading {
            Ok(loading) => {
                let stage = Stage::Loading(loading, Some(report));
                self.models.insert(id, Slot { recipe, stage, last_used: Instant::now(), pending: Vec::new() });
            }
            Err(error) => report(LoadEvent::End(Err(error))),
        }
    }

    /// Drops a model; its jobs end with an error.
    pub fn remove_model(&mut self, id: u64, budget: &Budget) {
        if let Some(mut slot) = self.models.remove(&id) {
            slot.fail_pending(&Error::new(Code::Cancelled, "the model was freed"));
            let dropped = guarded("freeing a model", move || {
                drop(slot);
                Ok(())
            });
            if let Err(error) = dropped {
                tracing::error!(%error, "freeing a model failed");
            }
        }
        budget.forget(id);
    }

    /// Hands a job to a model.
    pub fn start(&mut self, model: u64, job: Job) {
        let Some(slot) = self.models.get_mut(&model) else {
            job.fail(Error::internal(format!("model {model} is not loaded")));
            return;
        };
        slot.last_used = Instant::now();
        match &mut slot.stage {
            Stage::Ready(runner) => {
                if let Err(error) = guarded("starting a generation", || {
                    runner.add(job);
                    Ok(())
                }) {
                    slot.poison(error);
                }
            }
            Stage::Poisoned(error) => job.fail(error.clone()),
            Stage::Loading(..) => slot.pending.push(job),
            Stage::Unloaded => {
                slot.pending.push(job);
                let recipe = Arc::clone(&slot.recipe);
                self.make_room(&recipe.budget, recipe.weight_bytes);
                self.reload(model, &recipe);
            }
        }
    }

    fn reload(&mut self, model: u64, recipe: &Arc<Recipe>) {
        let Some(slot) = self.models.get_mut(&model) else { return };
        match guarded("loading a model again", || recipe.start_loading()) {
            Ok(loading) => slot.stage = Stage::Loading(loading, None),
            Err(error) => slot.fail_pending(&error),
        }
    }

    /// Drops states kept for later prompts of an engine's models until `bytes` more fit.
    fn make_room(&mut self, budget: &Arc<Budget>, bytes: u64) {
        for slot in self.models.values_mut().filter(|slot| Arc::ptr_eq(&slot.recipe.budget, budget)) {
            if budget.fits(bytes) {
                return;
            }
            if let Stage::Ready(runner) = &mut slot.stage {
                runner.trim();
            }
        }
    }

    /// Drops all that the engine's models can do without; gives the bytes freed.
    pub fn trim(&mut self, budget: &Arc<Budget>) -> u64 {
        let before = budget.used();
        for slot in self.models.values_mut().filter(|slot| Arc::ptr_eq(&slot.recipe.budget, budget)) {
            if let Stage::Ready(runner) = &mut slot.stage {
                runner.trim();
            }
        }
        before.saturating_sub(budget.used())
    }

    /// Waits until nothing of the engine's models computes.
    pub fn synchronize(&mut self, budget: &Arc<Budget>) -> Result<()> {
        for slot in self.models.values_mut().filter(|slot| Arc::ptr_eq(&slot.recipe.budget, budget)) {
            if let Stage::Ready(runner) = &mut slot.stage {
                runner.synchronize()?;
            }
        }
        Ok(())
    }

    /// What the engine's models are doing, for `info`.
    pub fn describe(&self, budget: &Arc<Budget>) -> Vec<serde_json::Value> {
        let own = self.models.iter().filter(|(_, slot)| Arc::ptr_eq(&slot.recipe.budget, budget));
        own.map(|(id, slot)| slot.describe(*id)).collect()
    }

    /// What one model is doing.
    pub fn describe_model(&self, id: u64) -> Option<serde_json::Value> {
        self.models.get(&id).map(|slot| slot.describe(id))
    }

    /// Waits for what the devices compute, says so, and never comes back: nothing is dropped any more.
    #[cfg(feature = "mlx")]
    fn park(&mut self, reply: &Sender<()>) -> ! {
        for slot in self.models.values_mut() {
            if let Stage::Ready(runner) = &mut slot.stage
                && let Err(error) = guarded("ending the process", || runner.synchronize())
            {
                tracing::error!(%error, "a model could not end its work");
            }
        }
        let _ = reply.send(());
        loop {
            std::thread::park();
        }
    }

    /// One turn: a step of every model that has work. Gives how long to wait for commands before the next one.
    fn turn(&mut self) -> Turn {
        let mut turn = Turn::Idle;
        for slot in self.models.values_mut() {
            turn = turn.sooner(slot.turn());
        }
        turn
    }
}

fn run(commands: &Receiver<Command>) {
    let mut state = State::default();
    let mut turn = Turn::Idle;
    loop {
        let first = match turn {
            Turn::Now => commands.try_recv().ok(),
            Turn::Idle => commands.recv().ok(),
            Turn::At(at) => commands.recv_timeout(at.saturating_duration_since(Instant::now())).ok(),
        };
        for command in first.into_iter().chain(std::iter::from_fn(|| commands.try_recv().ok())) {
            match command {
                Command::Poke => {}
                Command::Run(task) => {
                    let done = guarded("serving a call", || {
                        task(&mut state);
                        Ok(())
                    });
                    if let Err(error) = done {
                        tracing::error!(%error, "a call to the worker failed");
                    }
                }
                #[cfg(feature = "mlx")]
                Command::Park(reply) => state.park(&reply),
            }
        }
        turn = state.turn();
    }
}
