//! `cargo xtask neon-test`: the CPU backend's tests as an ARM program, in an emulator.

use std::path::Path;
use std::process::Command;

use crate::rust_source;
use crate::sh::{self, Result};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// The libraries of Debian's cross compiler.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Processors to be: one with all that the kernels can use, and one with NEON alone.
const PROCESSORS: [&str; 2] = ["max", "cortex-a53"];

/// Runs the tests on each processor; says so and succeeds when what is needed is missing.
pub fn run(args: &[String]) -> Result<()> {
    if !args.is_empty() {
        return Err(format!("unknown arguments {args:?}; usage: cargo xtask neon-test").into());
    }
    if let Err(missing) = check() {
        println!("skipped: {missing}");
        return Ok(());
    }
    for processor in PROCESSORS {
        println!("-- on {processor}");
        let mut cargo = cargo()?;
        cargo.args(["test", "--lib", "--target", TARGET, "backend::cpu"]);
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
        let runner = format!("{EMULATOR} -cpu {processor} -L {LIBRARIES}");
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        let mut passed = 0;
        let succeeded = sh::stream(&mut cargo, |line| passed += usize::from(line.ends_with("... ok")))?;
        if !succeeded || passed == 0 {
            return Err(format!("{passed} tests passed on {processor}, and not all did").into());
        }
    }
    Ok(())
}

/// Fails with what is missing and where it comes from.
pub fn check() -> Result<()> {
    for (program, package) in [(LINKER, "gcc-aarch64-linux-gnu"), (EMULATOR, "qemu-user")] {
        if !sh::succeeds(Command::new(program).arg("--version")) {
            return Err(format!("{program} is not installed (Debian: {package})").into());
        }
    }
    if !Path::new(LIBRARIES).join("lib").exists() {
        return Err(format!("there is no {LIBRARIES}/lib (Debian: libc6-dev-arm64-cross)").into());
    }
    cargo().map(drop)
}

/// A cargo that builds for ARM: with rustup's library, or with one from source.
fn cargo() -> Result<Command> {
    let libraries = sh::read(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(&libraries).exists() {
        return Ok(Command::new(sh::cargo()));
    }
    let (program, rustc) = rust_source::find()
        .ok_or_else(|| format!("missing: rustup target add {TARGET}, or {}", rust_source::MISSING))?;
    let mut cargo = Command::new(program);
    cargo.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_unwind,test");
    cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    // Its own folder: the other compiler's results stay.
    cargo.env("CARGO_TARGET_DIR", sh::root().join("target/neon"));
    Ok(cargo)
}
