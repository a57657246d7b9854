//! The one thread that owns all models of the process. It never exits.
//!
//! MLX keeps streams, random state and caches by thread, so everything of a backend is made, used and dropped here.
//! The rest of the engine talks to it by sending closures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

use super::budget::Budget;
use super::guard::guarded;
use super::job::Job;
use super::recipe::{Loading, Recipe};
use super::runner::Runner;
use crate::error::{Code, Error, Result};

/// Handle of the worker thread.
pub(crate) struct Worker {
    commands: Sender<Command>,
}

enum Command {
    Run(Box<dyn FnOnce(&mut State) + Send>),
    Poke,
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

/// A model as the worker holds it.
struct Slot {
    recipe: Arc<Recipe>,
    stage: Stage,
    last_used: Instant,
    /// Jobs that wait for the weights.
    pending: Vec<Job>,
}

enum Stage {
    Loading(Box<dyn Loading>, Option<LoadReport>),
    Ready(Box<dyn Runner>),
    /// Idle for so long that the weights were given back; the next job loads them again.
    Unloaded,
    /// A panic went through the model's state.
    Poisoned(Error),
}

/// Hears how a load goes: pieces done of all, then the end.
pub(crate) type LoadReport = Box<dyn FnMut(LoadEvent) + Send>;

/// What a [`LoadReport`] hears.
pub(crate) enum LoadEvent {
    /// Pieces done of all.
    Step(usize, usize),
    /// The end.
    End(Result<()>),
}

/// How long one turn of the loop may spend on loading while others stream.
const LOAD_SLICE: Duration = Duration::from_millis(20);

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

    /// One turn: a step of every model that has work. Gives how long to wait for commands before the next one.
    fn turn(&mut self) -> Turn {
        let mut turn = Turn::Idle;
        for slot in self.models.values_mut() {
            turn = turn.sooner(slot.turn());
        }
        turn
    }
}

/// When the loop has to look again without a command.
enum Turn {
    Now,
    At(Instant),
    Idle,
}

impl Turn {
    fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::At(a), Self::At(b)) => Self::At(a.min(b)),
            (Self::At(at), Self::Idle) | (Self::Idle, Self::At(at)) => Self::At(at),
            (Self::Idle, Self::Idle) => Self::Idle,
        }
    }
}

impl Slot {
    fn turn(&mut self) -> Turn {
        if self.recipe.is_suspended() {
            if let Stage::Ready(runner) = &mut self.stage {
                runner.reap();
            }
            return Turn::Idle;
        }
        match &mut self.stage {
            Stage::Loading(..) => {
                self.load_slice();
                Turn::Now
            }
            Stage::Ready(runner) => {
                if !runner.has_work() {
                    return self.unload_when_idle();
                }
                self.last_used = Instant::now();
                if let Err(error) = guarded("running a model", || runner.step()) {
                    self.poison(error);
                }
                Turn::Now
            }
            Stage::Unloaded | Stage::Poisoned(_) => Turn::Idle,
        }
    }

    fn load_slice(&mut self) {
        let Stage::Loading(loading, report) = &mut self.stage else { return };
        let began = Instant::now();
        let end = loop {
            match guarded("loading a model", || loading.step()) {
                Ok(None) => {
                    let (done, total) = loading.progress();
                    if let Some(report) = report {
                        report(LoadEvent::Step(done, total));
                    }
                    if began.elapsed() > LOAD_SLICE {
                        return;
                    }
                }
                Ok(Some(runner)) => break Ok(runner),
                Err(error) => break Err(error),
            }
        };
        let report = report.take();
        let result = match end {
            Ok(mut runner) => {
                self.pending.drain(..).for_each(|job| runner.add(job));
                self.stage = Stage::Ready(runner);
                Ok(())
            }
            Err(error) => {
                self.stage = Stage::Unloaded;
                self.fail_pending(&error);
                Err(error)
            }
        };
        self.last_used = Instant::now();
        if let Some(mut report) = report {
            report(LoadEvent::End(result));
        }
    }

    fn unload_when_idle(&mut self) -> Turn {
        let Some(after) = self.recipe.idle_unload else { return Turn::Idle };
        let due = self.last_used + after;
        if Instant::now() < due {
            return Turn::At(due);
        }
        tracing::info!(model = self.recipe.label(), "unloading an idle model");
        self.stage = Stage::Unloaded;
        Turn::Idle
    }

    /// Keeps a model whose state may be broken from being used again.
    fn poison(&mut self, error: Error) {
        tracing::error!(%error, model = self.recipe.label(), "the model is not used any more");
        if let Stage::Ready(runner) = &mut self.stage {
            runner.fail_all(&error);
        }
        let broken = std::mem::replace(&mut self.stage, Stage::Poisoned(error.clone()));
        if guarded("dropping a failed model", move || {
            drop(broken);
            Ok(())
        })
        .is_err()
        {
            tracing::error!("dropping the failed model failed, too");
        }
        self.fail_pending(&error);
    }

    fn fail_pending(&mut self, error: &Error) {
        self.pending.drain(..).for_each(|job| job.fail(error.clone()));
    }

    fn describe(&self, id: u64) -> serde_json::Value {
        let (state, activity) = match &self.stage {
            Stage::Loading(..) => ("loading", None),
            Stage::Ready(runner) => ("ready", Some(runner.describe())),
            Stage::Unloaded => ("unloaded", None),
            Stage::Poisoned(_) => ("failed", None),
        };
        serde_json::json!({ "id": id, "source": self.recipe.label(), "state": state, "activity": activity })
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
            if let Command::Run(task) = command {
                let done = guarded("serving a call", || {
                    task(&mut state);
                    Ok(())
                });
                if let Err(error) = done {
                    tracing::error!(%error, "a call to the worker failed");
                }
            }
        }
        turn = state.turn();
    }
}
