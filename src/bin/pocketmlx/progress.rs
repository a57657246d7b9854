//! Progress bars, on stderr when it is a terminal and only for what takes a while.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
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
            Stage::Download if progress.total > 0 => return self.download(progress),
            Stage::Download => "asking the hub",
            _ => "loading",
        };
        const BYTES: &str = "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}";
        self.show(BYTES, what, progress.done, progress.total);
    }

    /// Shows how far a conversion has come.
    pub fn converting(&mut self, progress: &Progress) {
        const BYTES: &str = "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}";
        match progress.stage {
            Stage::Weights => self.show(BYTES, "converting", progress.done, progress.total),
            _ => self.loading(progress),
        }
    }

    fn download(&mut self, progress: &Progress) {
        const BYTES: &str = "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}, {prefix}";
        self.show(BYTES, "downloading", progress.done, progress.total);
        let Some(bar) = &self.bar else { return };
        let rate = progress.bytes_per_second;
        let left = progress.total.saturating_sub(progress.done) as f64 / rate.max(1.0);
        let left =
            if rate > 0.0 { HumanDuration(Duration::from_secs_f64(left.min(1e6))).to_string() } else { "…".into() };
        bar.set_prefix(format!("{}/s, {left} left, {}", crate::size::format(rate as u64), progress.item));
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
        if self.bar.as_ref().is_none_or(|bar| bar.message() != what) {
            self.clear();
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = if total == 0 { "{msg}…" } else { template };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bar =
                Some(bar.with_style(style.progress_chars("█▌ ")).with_message(what.to_owned()).with_position(done));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
