//! `cargo xtask bench`: ours and the peers', side by side. The work is in a binary of its own, since it needs a
//! plotting crate that nothing else does.

use std::process::Command;

use crate::sh::{self, Result};

/// Builds and runs the bench with the arguments after the verb.
pub fn run(args: &[String]) -> Result<()> {
    let mut command = Command::new(sh::cargo());
    command.current_dir(sh::root()).args(["run", "--quiet", "--profile=xtask", "--package=xtask"]);
    command.args(["--bin=bench", "--features=bench", "--"]).args(args);
    if sh::stream(&mut command, |_| {})? { Ok(()) } else { Err("the bench failed".into()) }
}
