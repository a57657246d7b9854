//! `pocketmlx bench`

use pocketmlx::{EngineOptions, Error, Event, Model, Request, SessionOptions};
use serde::Serialize;
use serde_json::Value;

use crate::args::LoadArgs;
use crate::failure::Failure;
use crate::progress::Bar;
use crate::{interrupt, load, output};

/// Measure how fast a model reads and writes: one sequence, greedy, a warm-up run and then medians; prints JSON
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
    /// Accepted for likeness with the other subcommands; the output is JSON anyway
    #[arg(long)]
    json: bool,
}

/// What is printed: the keys of the peers' scripts.
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
}

/// One run's time to the first token and rate after it.
struct Run {
    ttft_seconds: f64,
    decode_tokens_per_second: f64,
}

pub fn run(args: Args) -> Result<(), Failure> {
    // Without kept states each run reads the whole prompt.
    let options = EngineOptions { prefix_cache_bytes: Some(0), ..args.load.engine_options() };
    let loaded = load::load_with(&args.load, options)?;
    let mut bar = Bar::new();
    let mut runs = Vec::new();
    for count in 0..=args.repeats {
        bar.step("measuring", count as usize, args.repeats as usize + 1);
        runs.push(measure(&loaded.model, args.prompt_tokens, args.new_tokens)?);
    }
    bar.clear();
    runs.remove(0);
    let ttft = median(runs.iter().map(|run| run.ttft_seconds));
    let info = loaded.model.info()?;
    output::json(&Report {
        engine: "pocketmlx",
        device: info["device"].clone(),
        prompt_tokens: args.prompt_tokens,
        new_tokens: args.new_tokens,
        load_seconds: round(loaded.load_ms / 1e3, 3),
        ttft_seconds: round(ttft, 4),
        prefill_tokens_per_second: round(f64::from(args.prompt_tokens) / ttft, 1),
        decode_tokens_per_second: round(median(runs.iter().map(|run| run.decode_tokens_per_second)), 2),
        peak_bytes: info["state"]["activity"]["peak_bytes"].clone(),
    })
}

fn measure(model: &Model, prompt_tokens: u32, new_tokens: u32) -> Result<Run, Failure> {
    let request = Request {
        max_tokens: Some(new_tokens as usize),
        temperature: Some(0.0),
        ignore_eos: Some(true),
        ..Request::prompt_ids(prompt(prompt_tokens))
    };
    let session = model.session(SessionOptions::default())?;
    let busy = interrupt::busy();
    let generation = session.start(request)?;
    busy.cancels(generation.canceller());
    // The engine's own clock: random ids need not make text, and events come with text.
    let mut end = None;
    while let Some(event) = generation.next_event()? {
        if let Event::Done(done) = event {
            end = Some(done);
        }
    }
    if busy.hit() {
        return Err(Failure::Interrupted);
    }
    match end {
        Some(done) if done.usage.completion_tokens == new_tokens as usize => Ok(Run {
            ttft_seconds: done.timings.ttft_ms / 1e3,
            decode_tokens_per_second: done.timings.decode_tokens_per_second,
        }),
        end => {
            let tokens = end.map_or(0, |done| done.usage.completion_tokens);
            Err(Error::internal(format!("{tokens} tokens came where {new_tokens} were asked for")).into())
        }
    }
}

/// The ids that the peers' scripts take.
fn prompt(tokens: u32) -> Vec<u32> {
    (0..u64::from(tokens)).map(|i| ((i * 7919 + 13) % 500) as u32).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_those_of_the_peers() {
        assert_eq!(prompt(4), [13, 432, 351, 270]);
        assert_eq!(prompt(u16::MAX.into()).len(), 65535);
    }

    #[test]
    fn medians_and_rounding() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([3.0, 1.0].into_iter()), 3.0);
        assert_eq!(round(1.23456, 3), 1.235);
    }
}
