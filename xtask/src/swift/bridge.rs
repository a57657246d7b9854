//! The example that binds Rust to Swift with swift-bridge, built and run.

use std::process::Command;

use super::tests::Bench;
use crate::sh::{self, Result};

/// Builds the example with cargo and swiftc and reads what it says; gives the number of programs.
pub fn run(bench: &Bench) -> Result<u64> {
    let folder = bench.root.join("examples/swift-bridge");
    // A folder of its own: cargo would put this build's libraries in the place of others.
    let target = bench.root.join("target/swift-bridge");
    let mut cargo = Command::new(sh::cargo());
    sh::run(cargo.current_dir(&folder).args(["build", "--quiet", "--target-dir"]).arg(&target))?;
    let program = bench.output.join("bridge");
    let mut swiftc = bench.command("swiftc", &folder);
    swiftc.args(["-swift-version", "6", "-import-objc-header", "bridging-header.h"]);
    swiftc.args(["Sources/main.swift", ".build/SwiftBridgeCore.swift", ".build/pocket-bridge/pocket-bridge.swift"]);
    swiftc.arg("-L").arg(target.join("debug")).arg("-lpocket_bridge").arg("-o").arg(&program);
    sh::run(&mut swiftc)?;
    let said = sh::read(&mut bench.command(&program.to_string_lossy(), &folder))?;
    // The answer to the second question, which needs the first.
    match said.rsplit("> ").next().is_some_and(|answer| answer.contains("Ada")) {
        true => Ok(1),
        false => Err(format!("examples/swift-bridge said {said:?}").into()),
    }
}
