//! A Rust that can build its standard library from source, for systems that rustup has no library of here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sh;

/// What to say where there is none.
pub const MISSING: &str = "Rust's library as source (rustup component add rust-src; \
                           Debian 12: rustc-web, cargo-web, rust-web-src)";

/// A cargo and its rustc: ours, or Debian's.
pub fn find() -> Option<(PathBuf, PathBuf)> {
    let ours = (PathBuf::from(sh::cargo()), PathBuf::from("rustc"));
    let debian = (PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc"));
    [ours, debian].into_iter().find(|(_, rustc)| {
        let sysroot = sh::read(Command::new(rustc).args(["--print", "sysroot"])).unwrap_or_default();
        !sysroot.is_empty() && Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").exists()
    })
}
