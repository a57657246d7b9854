//! What is measured, and the measuring.

use std::path::PathBuf;

use serde_json::Value;

use super::models::{self, Format, Pair};
use super::ours::Ours;
use super::peers::{LlamaBench, MlxLm};
use super::record::Record;
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
    /// Where it stands in the table.
    pub place: usize,
    pub name: String,
    pub unit: String,
    /// What the other side is.
    pub peer: String,
    pub ours: Vec<f64>,
    pub theirs: Vec<f64>,
    pub goal: String,
}

/// Samples of short rows, and of long ones.
const SAMPLES: usize = 7;
const QUICK_SAMPLES: usize = 3;
const LONG_SAMPLES: usize = 3;

const TOKENS_PER_SECOND: &str = "tokens/s";
const PREFILL: &str = "prefill_tokens_per_second";
const DECODE: &str = "decode_tokens_per_second";

/// Which rows a run measures.
pub struct Selection {
    pub quick: bool,
    /// Parts of names; none for all. `profile` is one, too.
    pub only: Vec<String>,
}

impl Selection {
    pub fn has(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    fn samples(&self) -> usize {
        if self.quick { QUICK_SAMPLES } else { SAMPLES }
    }
}

/// Measures all selected rows and keeps each as it ends. Within a row both sides take turns, and every other time the
/// peer begins.
pub fn measure(context: &Context, selection: &Selection, record: &mut Record) -> Result<()> {
    let writing = ["--prompt-tokens", "8", "--new-tokens", "64"];
    let writes = ["-p", "0", "-n", "64"];
    for (place, (bits, format, goal)) in
        [("4-bit", Format::Q4, "≥ 1.0, aim 1.05"), ("8-bit", Format::Q8, ""), ("bf16", Format::Bf16, "")]
            .into_iter()
            .enumerate()
    {
        let row = Row::new(place, &format!("decode {bits}"), "llama.cpp", goal);
        versus(context, selection, record, row, format, selection.samples(), [&writing, &writes])?;
    }
    for (place, length) in [128, 512, 8192, 16384, 32768].into_iter().enumerate() {
        let long = length > 512;
        let (samples, goal) = if long { (1, "") } else { (selection.samples(), "≥ 1.0, aim 1.2") };
        if long && selection.quick {
            continue;
        }
        let tokens = length.to_string();
        let ours = ["--prompt-tokens", &tokens, "--new-tokens", "2"];
        // The warm-up reads the whole prompt, which is minutes here and changes little.
        let theirs = ["-p", &tokens, "-n", "0", "--no-warmup"];
        let theirs = if long { &theirs[..] } else { &theirs[..4] };
        let row = Row::new(10 + place, &format!("prefill {length} 4-bit"), "llama.cpp", goal);
        versus(context, selection, record, row, Format::Q4, samples, [&ours, theirs])?;
    }
    let deep = ["--prompt-tokens", "4096", "--new-tokens", "32"];
    if !selection.quick {
        let row = Row::new(20, "decode 4-bit at 4,096 tokens", "llama.cpp", "");
        let theirs = ["-p", "0", "-n", "32", "-d", "4096"];
        versus(context, selection, record, row, Format::Q4, LONG_SAMPLES, [&deep, &theirs])?;
        let shallow = ["--prompt-tokens", "128", "--new-tokens", "32"];
        let row = Row::new(21, "decode 4-bit at 4,096 tokens, beside 128", "ours at 128", "≥ 0.8");
        alone(context, selection, record, row, [&deep, &shallow])?;
    }
    let one = ["--prompt-tokens", "128", "--new-tokens", "64", "--sessions", "1"];
    let eight = ["--prompt-tokens", "128", "--new-tokens", "64", "--sessions", "8"];
    let row = Row::new(22, "8 sessions, decode of all together", "one session", "≥ 2.5");
    alone(context, selection, record, row, [&eight, &one])?;
    processes(context, selection, record)?;
    beside_mlx_lm(context, selection, record)
}

/// A row beside llama.cpp: the options of `pocketmlx bench` and those of `llama-bench`.
fn versus(
    context: &Context,
    selection: &Selection,
    record: &mut Record,
    mut row: Row,
    format: Format,
    samples: usize,
    [ours, theirs]: [&[&str]; 2],
) -> Result<()> {
    if !selection.has(&row.name) {
        return Ok(());
    }
    let pair = context.pair(format)?;
    let key = if row.name.starts_with("prefill") { PREFILL } else { DECODE };
    row.take_turns(
        samples,
        || number(&context.ours.bench(&pair.mlx, ours)?, key),
        || context.llama.run(&pair.gguf, threads(), theirs),
    )?;
    record.put(row)
}

/// A row that compares us with ourselves.
fn alone(
    context: &Context,
    selection: &Selection,
    record: &mut Record,
    mut row: Row,
    [ours, base]: [&[&str]; 2],
) -> Result<()> {
    if !selection.has(&row.name) {
        return Ok(());
    }
    let model = context.pair(Format::Q4)?.mlx;
    let decode = |options: &[&str]| number(&context.ours.bench(&model, options)?, DECODE);
    row.take_turns(LONG_SAMPLES, || decode(ours), || decode(base))?;
    record.put(row)
}

/// The rows of a whole process: its first token, and its memory.
fn processes(context: &Context, selection: &Selection, record: &mut Record) -> Result<()> {
    if !selection.has("process start to first token") {
        return Ok(());
    }
    let pair = context.pair(Format::Q4)?;
    let mut seconds = Row::new(30, "process start to first token, 4-bit", "", "≤ 0.5 s").unit("s");
    let mut memory = Row::new(31, "peak resident memory, 4-bit", "weights", "≤ 1.15 + 150 MB").unit("MB");
    memory.theirs = vec![std::fs::metadata(pair.mlx.join("model.safetensors"))?.len() as f64 / 1e6];
    for _ in 0..selection.samples() {
        let process = context.ours.first_token(&pair.mlx)?;
        seconds.ours.push(process.seconds);
        memory.ours.push(process.peak_rss_bytes / 1e6);
    }
    record.put(seconds)?;
    record.put(memory)
}

fn beside_mlx_lm(context: &Context, selection: &Selection, record: &mut Record) -> Result<()> {
    let mut row = Row::new(40, "decode 4-bit, mlx-lm on MLX's CPU device", "mlx-lm", "");
    let Some(mlx_lm) = context.mlx_lm.as_ref().filter(|_| !selection.quick && selection.has(&row.name)) else {
        return Ok(());
    };
    let model = context.pair(Format::Q4)?.mlx;
    let short = ["--prompt-tokens", "4", "--new-tokens", "4"];
    row.take_turns(
        1,
        || number(&context.ours.bench(&model, &short)?, DECODE),
        || number(&mlx_lm.run(&model, 4, 4)?, DECODE),
    )?;
    record.put(row)
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
    fn new(place: usize, name: &str, peer: &str, goal: &str) -> Self {
        let [name, unit, peer, goal] = [name, TOKENS_PER_SECOND, peer, goal].map(str::to_owned);
        Self { place, name, unit, peer, ours: Vec::new(), theirs: Vec::new(), goal }
    }

    fn unit(self, unit: &str) -> Self {
        Self { unit: unit.to_owned(), ..self }
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
