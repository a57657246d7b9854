//! `cargo xtask swift`: a Swift 6 toolchain for this machine, and programs run with it.

mod bridge;
pub mod tests;
pub mod toolchain;

use crate::sh::{self, Result};
use toolchain::Toolchain;

const USAGE: &str = "usage: cargo xtask swift [exec PROGRAM [ARGUMENT...]]";

/// Prepares the toolchain; with `exec`, runs a program of it in the current folder.
pub fn run(args: &[String]) -> Result<()> {
    match args {
        [] => {
            let toolchain = Toolchain::prepare()?;
            println!("{}", sh::read(toolchain.command("swift", &sh::root()).arg("--version"))?);
            println!("ready: {toolchain}");
            Ok(())
        }
        [verb, program, rest @ ..] if verb == "exec" => {
            let here = std::env::current_dir()?;
            if !here.starts_with(sh::root()) {
                return Err(format!("{} is outside of {}", here.display(), sh::root().display()).into());
            }
            let toolchain = Toolchain::prepare()?;
            match sh::stream(toolchain.command(program, &here).args(rest), |_| {})? {
                true => Ok(()),
                false => Err(format!("{program} failed").into()),
            }
        }
        _ => Err(USAGE.into()),
    }
}
