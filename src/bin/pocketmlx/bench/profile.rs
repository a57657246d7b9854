//! `--profile`: what the engine measured of each operation, by phase and token.

use std::collections::BTreeMap;

use pocketmlx::{Error, Model};
use serde::{Deserialize, Serialize};

use super::measure::{Load, measure};
use super::round;
use crate::failure::Failure;

/// What is printed.
#[derive(Serialize)]
pub struct Report {
    /// What the device can read from memory; absent where that isn't measured.
    read_bytes_per_second: Option<f64>,
    prefill: Phase,
    decode: Phase,
}

/// The operations of prefill or decode, the longest first.
#[derive(Serialize)]
struct Phase {
    milliseconds_per_token: f64,
    operations: Vec<Operation>,
}

#[derive(Serialize)]
struct Operation {
    name: String,
    calls_per_token: f64,
    milliseconds_per_token: f64,
    /// Of the phase's time.
    share: f64,
    /// Weights and cached keys and values read.
    bytes_per_token: f64,
    bytes_per_second: f64,
    /// Bytes per second over what the device can read.
    share_of_roofline: Option<f64>,
}

/// What the engine counts, since the load.
#[derive(Clone, Deserialize)]
struct Counts {
    read_bytes_per_second: Option<f64>,
    prefill: Operations,
    decode: Operations,
}

type Operations = BTreeMap<String, Count>;

#[derive(Clone, Copy, Default, Deserialize)]
struct Count {
    calls: f64,
    seconds: f64,
    bytes: f64,
}

impl Counts {
    fn of(model: &Model) -> Result<Self, Failure> {
        let mut info = model.info()?;
        let counts = info["state"]["activity"]["profile"].take();
        serde_json::from_value(counts).map_err(|e| Error::internal(format!("the engine's profile: {e}")).into())
    }
}

/// What `now` has more than `before`.
fn added(now: &Operations, before: &Operations) -> Operations {
    let added = |(name, now): (&String, &Count)| {
        let then = before.get(name).copied().unwrap_or_default();
        let count =
            Count { calls: now.calls - then.calls, seconds: now.seconds - then.seconds, bytes: now.bytes - then.bytes };
        (name.clone(), count)
    };
    now.iter().map(added).collect()
}

/// Runs the load some more times and reports what the engine counted meanwhile.
pub fn take(model: &Model, load: Load, repeats: u32) -> Result<Report, Failure> {
    let before = Counts::of(model)?;
    for _ in 0..repeats {
        measure(model, load)?;
    }
    let after = Counts::of(model)?;
    let bandwidth = after.read_bytes_per_second;
    let tokens = |each: u32| f64::from(each) * f64::from(load.sessions) * f64::from(repeats);
    Ok(Report {
        read_bytes_per_second: bandwidth,
        prefill: phase(added(&after.prefill, &before.prefill), tokens(load.prompt_tokens), bandwidth),
        decode: phase(added(&after.decode, &before.decode), tokens(load.new_tokens - 1), bandwidth),
    })
}

fn phase(counts: Operations, tokens: f64, bandwidth: Option<f64>) -> Phase {
    let seconds: f64 = counts.values().map(|count| count.seconds).sum();
    let ran = counts.into_iter().filter(|(_, count)| count.calls > 0.0 && count.seconds > 0.0);
    let operation = |(name, count): (String, Count)| {
        let rate = count.bytes / count.seconds;
        Operation {
            name,
            calls_per_token: round(count.calls / tokens, 3),
            milliseconds_per_token: round(count.seconds * 1e3 / tokens, 4),
            share: round(count.seconds / seconds, 3),
            bytes_per_token: (count.bytes / tokens).round(),
            bytes_per_second: rate.round(),
            share_of_roofline: bandwidth.filter(|_| count.bytes > 0.0).map(|bandwidth| round(rate / bandwidth, 3)),
        }
    };
    let mut operations: Vec<_> = ran.map(operation).collect();
    operations.sort_by(|a, b| b.share.total_cmp(&a.share));
    Phase { milliseconds_per_token: round(seconds * 1e3 / tokens, 4), operations }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_per_token() {
        let count = |calls, seconds, bytes| Count { calls, seconds, bytes };
        let counts = [
            ("attention".to_owned(), count(20.0, 0.5, 0.0)),
            ("logits".to_owned(), count(10.0, 1.5, 3e9)),
            ("unused".to_owned(), count(0.0, 0.0, 0.0)),
        ];
        let phase = phase(counts.into(), 10.0, Some(4e9));
        assert_eq!(phase.milliseconds_per_token, 200.0);
        let [logits, attention] = &phase.operations[..] else { panic!("{} operations", phase.operations.len()) };
        assert_eq!((logits.name.as_str(), attention.name.as_str()), ("logits", "attention"));
        assert_eq!((logits.calls_per_token, logits.milliseconds_per_token, logits.share), (1.0, 150.0, 0.75));
        assert_eq!((logits.bytes_per_token, logits.bytes_per_second), (3e8, 2e9));
        assert_eq!(logits.share_of_roofline, Some(0.5));
        assert_eq!(attention.share_of_roofline, None);
    }
}
