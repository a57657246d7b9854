//! One model as the worker holds it: loading, ready, given back while idle, or failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guard::guarded;
use super::job::Job;
use super::recipe::{Loading, Recipe};
use super::runner::Runner;
use crate::error::{Error, Result};

/// A model as the worker holds it.
pub(super) struct Slot {
    pub recipe: Arc<Recipe>,
    pub stage: Stage,
    pub last_used: Instant,
    /// Jobs that wait for the weights.
    pub pending: Vec<Job>,
}

pub(super) enum Stage {
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

/// When the loop has to look again without a command.
pub(super) enum Turn {
    Now,
    At(Instant),
    Idle,
}

impl Turn {
    pub fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::At(a), Self::At(b)) => Self::At(a.min(b)),
            (Self::At(at), Self::Idle) | (Self::Idle, Self::At(at)) => Self::At(at),
            (Self::Idle, Self::Idle) => Self::Idle,
        }
    }
}

impl Slot {
    pub fn turn(&mut self) -> Turn {
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
    pub fn poison(&mut self, error: Error) {
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

    pub fn fail_pending(&mut self, error: &Error) {
        self.pending.drain(..).for_each(|job| job.fail(error.clone()));
    }

    pub fn describe(&self, id: u64) -> serde_json::Value {
        let (state, activity) = match &self.stage {
            Stage::Loading(..) => ("loading", None),
            Stage::Ready(runner) => ("ready", Some(runner.describe())),
            Stage::Unloaded => ("unloaded", None),
            Stage::Poisoned(_) => ("failed", None),
        };
        serde_json::json!({ "id": id, "source": self.recipe.label(), "state": state, "activity": activity })
    }
}
