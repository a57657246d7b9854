//! `cargo xtask fuzz`: many mutated model files, the same on every run (`tests/fuzz.rs`).

use std::process::Command;

use crate::sh::{self, Result};

/// Inputs of each format.
const COUNT: &str = "100000";

/// Runs the inputs and says how many there were of each format.
pub fn run(args: &[String]) -> Result<()> {
    let count = match args {
        [] => COUNT,
        [count] if count.parse::<u64>().is_ok() => count,
        other => return Err(format!("unknown arguments {other:?}; usage: cargo xtask fuzz [COUNT]").into()),
    };
    let mut cargo = Command::new(sh::cargo());
    cargo.args(["test", "--test", "fuzz", "--", "--nocapture", "--test-threads", "1"]).env("POCKETMLX_FUZZ", count);
    let mut formats = 0;
    let passed = sh::stream(&mut cargo, |line| formats += usize::from(line.contains(&format!(": {count} inputs, "))))?;
    if !passed || formats < 3 {
        return Err(format!("{formats} formats were tried, and not all passed").into());
    }
    Ok(())
}
