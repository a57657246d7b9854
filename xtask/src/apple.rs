//! `cargo xtask apple-check`: what can be built, linked and looked at for Apple's systems without a Mac.
//!
//! The crate is compiled for macOS, iOS and the iOS Simulator with a standard library built from source. For macOS it is
//! linked as well, against the MLX of Apple's own wheel, and put into a framework as it is shipped. LLVM's tools then
//! say what is inside.

mod cargo;
pub mod framework;
mod inspect;
mod link;
mod mlx;
mod plan;
mod table;
pub mod target;
mod tools;
pub mod xcframework;

use std::fs::{self, File};
use std::time::Instant;

use crate::sh::{self, Result};
use table::Table;
use target::{IOS, IOS_SIMULATOR, MACOS};
use tools::Tools;

/// Runs the verb with the arguments after it.
pub fn run(args: &[String]) -> Result<()> {
    if !args.is_empty() {
        return Err(format!("unknown arguments {args:?}; usage: cargo xtask apple-check").into());
    }
    let tools = Tools::find()?;
    let home = sh::root().join("target/apple-check");
    fs::create_dir_all(&home)?;
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;

    let mut table = Table::default();
    let mlx = timed("MLX for macOS", || mlx::prepare(&home))?;
    let build = cargo::Build { tools: &tools, home: &home, mlx: &mlx };
    let archive = timed(MACOS.triple, || build.archive(&MACOS, "release"))?;
    inspect::archive(&mut table, &MACOS, &archive)?;
    let linked = timed("link for macOS", || link::link(&home, &archive, &mlx))?;
    inspect::dylib(&mut table, &MACOS, &linked)?;
    // That these are not optimised saves minutes and changes nothing that can be seen in an archive.
    for target in [&IOS, &IOS_SIMULATOR] {
        let archive = timed(target.triple, || build.archive(target, "xtask"))?;
        inspect::archive(&mut table, target, &archive)?;
    }
    let xcframework = timed("xcframework", || framework::lay_out(&home, &linked.resolved, &mlx.library))?;
    inspect::xcframework(&mut table, &xcframework)?;
    table.needs_mac(&[
        "running anything; code signing, notarization",
        "linking the iOS and simulator slices (their system libraries come with Xcode)",
        "MLX for iOS, and mlx.metallib compiled for it",
        "tests on a device, in the simulator, in an app",
    ]);
    table.finish()
}

/// Fails with what is missing, before anything is fetched or built.
pub fn check() -> Result<()> {
    Tools::find().map(drop)
}

fn timed<T>(what: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let result = body().map_err(|error| format!("{what}: {error}"))?;
    println!("{what}: {:.0} s", began.elapsed().as_secs_f64());
    Ok(result)
}
