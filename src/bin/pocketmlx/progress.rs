//! Progress bars, on stderr when it is a terminal and only for what takes a while.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pocketmlx::{Progress, Stage};

/// Work that takes less than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// A bar that appears when it is needed and is gone when dropped.
pub struct Bar {
    started: Instant,
    terminal: bool,
    bar: Option<ProgressBar>,
}

impl Bar {
    pub fn new() -> Self {
        Self { started: Instant::now(), terminal: io::stderr().is_terminal(), bar: None }
    }

    /// Shows how far loading a model has come.
    pub fn loading(&mut self, progress: &Progress) {
        let what = match progress.stage {
            Stage::Check => "checking",
            Stage::Weights => "loading weights",
            Stage::Tokenizer => "reading the tokenizer",
            _ => "loading",
        };
        const BYTES: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
        self.show(BYTES, what, progress.done, progress.total);
    }

    /// Shows how much of a prompt is processed.
    pub fn prompt(&mut self, done: usize, total: usize) {
        self.show("{msg} [{bar:30}] {pos}/{len} tokens", "reading the prompt", done as u64, total as u64);
    }

    /// Shows that step `done` of `total` is under way.
    pub fn step(&mut self, what: impl Display, done: usize, total: usize) {
        self.show("{msg} [{bar:30}] {pos}/{len}", &what.to_string(), done as u64, total as u64);
    }

    /// Takes the bar away so that text can be written.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, template: &str, what: &str, done: u64, total: u64) {
        if !self.terminal || self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        if bar.message() != what {
            let template = if total == 0 { "{msg}…" } else { template };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("█▌ "));
            }
            bar.set_message(what.to_owned());
        }
        bar.set_length(total);
        bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
