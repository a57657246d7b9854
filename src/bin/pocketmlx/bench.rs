//! `pocketmlx bench`

mod measure;
mod profile;

use pocketmlx::{EngineOptions, LoadOptions};
use serde::Serialize;
use serde_json::Value;

use crate::args::LoadArgs;
use crate::failure::Failure;
use crate::progress::Bar;
use crate::{load, output};
use measure::{Load, measure, median};

/// Measure how fast a model reads and writes: greedy, a warm-up run and then medians; prints JSON
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens to generate; at least 2, so that there is time between them
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    new_tokens: u32,
    /// Runs that count
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Sessions that run at the same time, each with a prompt of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    sessions: u32,
    /// Say what prefill and decode spend their time on, operation by operation
    #[arg(long)]
    profile: bool,
    /// Accepted for likeness with the other subcommands; the output is JSON anyway
    #[arg(long)]
    json: bool,
}

/// What is printed: the keys of the peers' scripts, then what was asked for beyond them.
#[derive(Serialize)]
struct Report {
    engine: &'static str,
    device: Value,
    prompt_tokens: u32,
    new_tokens: u32,
    load_seconds: f64,
    ttft_seconds: f64,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
    peak_bytes: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
    /// New tokens of all sessions over the time from the first start to the last end, prefill included.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_tokens_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<profile::Report>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    // Without kept states each run reads the whole prompt.
    let options = EngineOptions { prefix_cache_bytes: Some(0), ..args.load.engine_options() };
    let load_options = LoadOptions { profile: args.profile, ..args.load.load_options() };
    let loaded = load::load_with(&args.load, options, load_options)?;
    let work = Load { prompt_tokens: args.prompt_tokens, new_tokens: args.new_tokens, sessions: args.sessions };

    let mut bar = Bar::new();
    let mut runs = Vec::new();
    for count in 0..=args.repeats {
        bar.step("measuring", count as usize, args.repeats as usize + 1);
        runs.push(measure(&loaded.model, work)?);
    }
    let profile = args.profile.then(|| profile::take(&loaded.model, work, args.repeats)).transpose()?;
    bar.clear();
    runs.remove(0);

    let several = args.sessions > 1;
    let ttft = median(runs.iter().map(|run| run.ttft_seconds));
    let info = loaded.model.info()?;
    output::json(&Report {
        engine: "pocketmlx",
        device: info["device"].clone(),
        prompt_tokens: args.prompt_tokens,
        new_tokens: args.new_tokens,
        load_seconds: round(loaded.load_ms / 1e3, 3),
        ttft_seconds: round(ttft, 4),
        prefill_tokens_per_second: round(f64::from(args.prompt_tokens) * f64::from(args.sessions) / ttft, 1),
        decode_tokens_per_second: round(median(runs.iter().map(|run| run.decode_tokens_per_second)), 2),
        peak_bytes: info["state"]["activity"]["peak_bytes"].clone(),
        sessions: several.then_some(args.sessions),
        total_tokens_per_second: several.then(|| round(median(runs.iter().map(|run| run.total_tokens_per_second)), 2)),
        profile,
    })
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    #[test]
    fn rounding() {
        assert_eq!(super::round(1.23456, 3), 1.235);
    }
}
