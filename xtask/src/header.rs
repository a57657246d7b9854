//! `cargo xtask header`: the C header, generated, committed and checked.

use std::fs;
use std::process::Command;

use crate::sh::{self, Result};

const HEADER: &str = "include/pocketmlx.h";

/// Writes the header; with `--check`, fails when the committed one differs.
pub fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask header [--check]".into()),
    };
    let text = sh::read(Command::new(sh::cargo()).current_dir(sh::root()).args([
        "run",
        "--quiet",
        "--profile=xtask",
        "--package=xtask",
        "--bin=header-text",
        "--features=cbindgen",
    ]))?;
    let path = sh::root().join(HEADER);
    // Reading trims white space.
    let text = text + "\n";
    if !check {
        return Ok(fs::write(path, text)?);
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    let mut lines = committed.lines().zip(text.lines()).enumerate();
    if let Some((line, (old, new))) = lines.find(|(_, (old, new))| old != new) {
        return Err(format!("{HEADER}:{}: is\n  {old}\nbut src/ffi says\n  {new}\n{HELP}", line + 1).into());
    }
    if committed.len() != text.len() {
        return Err(format!("{HEADER} and src/ffi differ in length\n{HELP}").into());
    }
    Ok(())
}

const HELP: &str = "run `cargo xtask header` and commit the result";
