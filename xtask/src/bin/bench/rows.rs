//! What is measured, and the measuring.

use std::path::PathBuf;

use serde_json::Value;

use super::models::{self, Format, Pair};
use super::ours::Ours;
use super::peers::{LlamaBench, MlxLm};
use super::sh::{self, Result};

/// Who takes part.
pub struct Context {
    pub ours: Ours,
    pub llama: LlamaBench,
    pub mlx_lm: Option<MlxLm>,
    /// Where models are kept.
    pub folder: PathBuf,
}

/// One line of the table.
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    /// What the other side is.
    pub peer: &'static str,
    pub ours: Vec<f64>,
    pub theirs: Vec<f64>,
    pub goal: &'static str,
}

/// Samples of short rows, and of long ones.
const SAMPLES: usize = 7;
const QUICK_SAMPLES: usize = 3;
const LONG_SAMPLES: usize = 3;

const TOKENS_PER_SECOND: &str = "tokens/s";

/// Measures all selected rows. Within a row both sides take turns, and every other time the peer begins.
pub fn measure(context: &Context, quick: bool, selected: impl Fn(&str) -> bool) -> Result<Vec<Row>> {
    let samples = if quick { QUICK_SAMPLES } else { SAMPLES };
    let mut rows = Vec::new();
    let mut versus = |name: &str, goal, format, samples, ours: &[&str], key: &str, theirs: &[&str]| -> Result<()> {
        if selected(name) {
            let pair = context.pair(format)?;
            let mut row = Row::new(name, TOKENS_PER_SECOND, "llama.cpp", goal);
            row.take_turns(
                samples,
                || number(&context.ours.bench(&pair.mlx, ours)?, key),
                || context.llama.run(&pair.gguf, threads(), theirs),
            )?;
            rows.push(row);
        }
        Ok(())
    };
    let (prefill, decode) = ("prefill_tokens_per_second", "decode_tokens_per_second");
    let writing = ["--prompt-tokens", "8", "--new-tokens", "64"];
    let writes = ["-p", "0", "-n", "64"];
    versus("decode 4-bit", "≥ 1.0, aim 1.05", Format::Q4, samples, &writing, decode, &writes)?;
    versus("decode 8-bit", "", Format::Q8, samples, &writing, decode, &writes)?;
    versus("decode bf16", "", Format::Bf16, samples, &writing, decode, &writes)?;
    let mut lengths = vec![128, 512];
    if !quick {
        lengths.extend([8192, 16384, 32768]);
    }
    for length in lengths {
        let (count, goal) = if length <= 512 { (samples, "≥ 1.0, aim 1.2") } else { (1, "") };
        let tokens = length.to_string();
        let reading = ["--prompt-tokens", &tokens, "--new-tokens", "2"];
        versus(
            &format!("prefill {length} 4-bit"),
            goal,
            Format::Q4,
            count,
            &reading,
            prefill,
            &["-p", &tokens, "-n", "0"],
        )?;
    }
    if !quick {
        let deep = ["--prompt-tokens", "4096", "--new-tokens", "32"];
        let deep_theirs = ["-p", "0", "-n", "32", "-d", "4096"];
        versus("decode 4-bit at 4,096 tokens", "", Format::Q4, LONG_SAMPLES, &deep, decode, &deep_theirs)?;
    }
    rows.extend(alone(context, quick, samples, &selected)?);
    Ok(rows)
}

/// Rows that compare us with ourselves, or with mlx-lm.
fn alone(context: &Context, quick: bool, samples: usize, selected: &impl Fn(&str) -> bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let total = |options: &[&str], key: &str| -> Result<f64> {
        number(&context.ours.bench(&context.pair(Format::Q4)?.mlx, options)?, key)
    };
    let decode = "decode_tokens_per_second";
    if selected("8 sessions") {
        let mut row = Row::new("8 sessions, decode of all together", TOKENS_PER_SECOND, "one session", "≥ 2.5");
        let (prompt, new) = (["--prompt-tokens", "128"], ["--new-tokens", "64"]);
        let (one, eight) = ([prompt, new].concat(), [prompt, new, ["--sessions", "8"]].concat());
        row.take_turns(samples.min(LONG_SAMPLES), || total(&eight, decode), || total(&one, decode))?;
        rows.push(row);
    }
    if !quick && selected("decode 4-bit at 4,096 tokens beside 128") {
        let mut row = Row::new("decode 4-bit at 4,096 tokens", TOKENS_PER_SECOND, "ours at 128", "≥ 0.8");
        let deep = ["--prompt-tokens", "4096", "--new-tokens", "32"];
        let shallow = ["--prompt-tokens", "128", "--new-tokens", "32"];
        row.take_turns(LONG_SAMPLES, || total(&deep, decode), || total(&shallow, decode))?;
        rows.push(row);
    }
    if selected("process start to first token") {
        let pair = context.pair(Format::Q4)?;
        let mut seconds = Row::new("process start to first token, 4-bit", "s", "", "≤ 0.5 s");
        let mut memory = Row::new("peak resident memory, 4-bit", "MB", "weights", "≤ 1.15 + 150 MB");
        memory.theirs = vec![std::fs::metadata(pair.mlx.join("model.safetensors"))?.len() as f64 / 1e6];
        for _ in 0..samples {
            let process = context.ours.first_token(&pair.mlx)?;
            seconds.ours.push(process.seconds);
            memory.ours.push(process.peak_rss_bytes / 1e6);
        }
        rows.extend([seconds, memory]);
    }
    if let Some(mlx_lm) = context.mlx_lm.as_ref().filter(|_| !quick && selected("decode beside mlx-lm")) {
        let pair = context.pair(Format::Q4)?;
        let mut row = Row::new("decode 4-bit, mlx-lm on MLX's CPU device", TOKENS_PER_SECOND, "mlx-lm", "");
        let short = ["--prompt-tokens", "4", "--new-tokens", "4"];
        row.take_turns(1, || total(&short, decode), || number(&mlx_lm.run(&pair.mlx, 4, 4)?, decode))?;
        rows.push(row);
    }
    Ok(rows)
}

/// What prefill and decode spend their time on.
pub fn profile(context: &Context) -> Result<Value> {
    let options = ["--prompt-tokens", "512", "--new-tokens", "64", "--profile"];
    Ok(context.ours.bench(&context.pair(Format::Q4)?.mlx, &options)?["profile"].take())
}

impl Context {
    fn pair(&self, format: Format) -> Result<Pair> {
        models::prepare(&self.folder, format, &sh::root().join("assets/demo"))
    }
}

impl Row {
    fn new(name: &str, unit: &'static str, peer: &'static str, goal: &'static str) -> Self {
        Self { name: name.to_owned(), unit, peer, ours: Vec::new(), theirs: Vec::new(), goal }
    }

    fn take_turns(
        &mut self,
        samples: usize,
        mut ours: impl FnMut() -> Result<f64>,
        mut theirs: impl FnMut() -> Result<f64>,
    ) -> Result<()> {
        eprint!("bench: {}", self.name);
        for turn in 0..samples {
            if turn % 2 == 0 {
                self.ours.push(ours()?);
                self.theirs.push(theirs()?);
            } else {
                self.theirs.push(theirs()?);
                self.ours.push(ours()?);
            }
            eprint!(" {:.1}/{:.1}", self.ours[turn], self.theirs[turn]);
        }
        eprintln!();
        Ok(())
    }

    /// The median of the ratios of turns: what is slow for both sides at a time cancels out.
    pub fn ratio(&self) -> Option<f64> {
        if self.theirs.is_empty() {
            return None;
        }
        let pairs = self.ours.iter().zip(self.theirs.iter().cycle());
        Some(median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>()))
    }
}

/// The middle value, the upper one of two.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(report: &Value, key: &str) -> Result<f64> {
    report[key].as_f64().ok_or_else(|| format!("{key} is missing in {report}").into())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
