//! Many generations in one process: no error, no growth.

#[path = "support/run.rs"]
mod run;
mod support;

use pocketmlx::{LoadOptions, Request};
use run::{Loaded, engine, ids, load_with, run, shared, some_ids};
use support::Fixture;

/// Resident bytes of this process.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The number of generations: 1,000, or what `POCKETMLX_SOAK` says.
fn rounds() -> usize {
    std::env::var("POCKETMLX_SOAK").ok().map_or(1000, |n| n.parse().unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn generations_leave_nothing_behind() {
    let loaded = match shared("models/stories260k") {
        Some(folder) => {
            let copy = tempfile::tempdir().unwrap();
            let model = load_with(&engine(), &folder, LoadOptions::default()).unwrap();
            Loaded { model, folder: copy }
        }
        None => Loaded::new(&Fixture::new("llama")),
    };
    let (mut settled, total) = (0, rounds());
    for round in 0..total {
        let request =
            Request { temperature: Some(0.9), seed: Some(round as u64), ..ids(&some_ids(4 + round % 40, round), 12) };
        let outcome = run(&loaded.session(), request).unwrap();
        assert_eq!(outcome.tokens.len(), 12, "round {round}");
        if round == 500.min(total / 2) {
            // The prefix cache holds all that it may by now.
            settled = resident();
        }
    }
    let grown = resident().saturating_sub(settled);
    assert!(grown < 2 << 20, "{grown} bytes more than after the first 500");
}
