//! What `cargo xtask mlx` needs from the machine, checked before anything is fetched.

use std::fs;
use std::process::Command;

use crate::sh::{self, Result};

/// glibc of the oldest system that the built libmlx runs on.
const GLIBC: (u32, u32) = (2, 35);

/// The programs that were found.
pub struct Tools {
    /// A C++ compiler that knows C++20.
    pub cxx: String,
}

/// Finds what is needed, or names everything that is missing at once.
pub fn check() -> Result<Tools> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        return Err("this is for Linux on x86-64 with glibc; on a Mac mlx-sys builds MLX by itself".into());
    }
    let mut missing = Vec::new();
    if !sh::succeeds(Command::new("python3").arg("--version")) {
        missing.push("python3 (Debian: python3, python3-pip)".to_owned());
    } else if !sh::succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
        missing.push("pip for python3 (Debian: python3-pip)".to_owned());
    }
    let cxx = compiler()?;
    if cxx.is_none() {
        missing.push("a C++20 compiler: g++ 12 or clang++ 14, or $CXX (Debian: g++)".to_owned());
    }
    if !sh::succeeds(Command::new("ar").arg("--version")) {
        missing.push("ar (Debian: binutils)".to_owned());
    }
    let glibc = sh::read(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_default();
    if version(&glibc).is_none_or(|have| have < GLIBC) {
        let (major, minor) = GLIBC;
        missing.push(format!("glibc {major}.{minor} or newer (Debian 12 has 2.36; here: {glibc:?})"));
    }
    match cxx {
        Some(cxx) if missing.is_empty() => Ok(Tools { cxx }),
        _ => Err(format!("missing:\n  {}", missing.join("\n  ")).into()),
    }
}

/// The first compiler that takes a C++20 header.
fn compiler() -> Result<Option<String>> {
    let probe = std::env::temp_dir().join(format!("pocketmlx-probe-{}.cpp", std::process::id()));
    fs::write(&probe, "#include <concepts>\n#include <span>\nstatic_assert(std::integral<int>);\n")?;
    let own = std::env::var("CXX").ok();
    let names = own.into_iter().chain(["g++", "clang++", "c++"].map(str::to_owned));
    let found = names
        .into_iter()
        .find(|name| sh::succeeds(Command::new(name).args(["-std=c++20", "-fsyntax-only"]).arg(&probe)));
    fs::remove_file(&probe)?;
    Ok(found)
}

/// The number in `glibc 2.36`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_whitespace().last()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
