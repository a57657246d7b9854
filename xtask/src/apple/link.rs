//! The dynamic library for macOS, linked on Linux.
//!
//! Zig brings macOS's libSystem and its own libc++. Frameworks it does not have: `xtask/apple/system.txt` says which of
//! their symbols may be used, and becomes the files that linkers read in place of frameworks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cargo::{INSTALL_NAME, exported};
use super::mlx::Mlx;
use crate::sh::{self, Result};

const SYSTEM: &str = include_str!("../../apple/system.txt");

/// Where the library looks for libmlx: beside it, in the framework.
pub const LIBRARIES: &str = "@loader_path/Libraries";

/// The libraries that were linked.
pub struct Linked {
    /// By Zig: every symbol is resolved, but Zig exports all that is global.
    pub resolved: PathBuf,
    /// By LLVM's linker: only what the header declares is exported, but it is not told where symbols come from.
    pub hidden: PathBuf,
}

/// Links the archive in both ways.
pub fn link(home: &Path, archive: &Path, mlx: &Mlx) -> Result<Linked> {
    let system = home.join("system");
    let libraries = write_system(&system)?;
    let resolved = home.join("libpocketmlx.dylib");
    let mut zig = Command::new(&mlx.zig);
    zig.args([
        "cc",
        "-target",
        "aarch64-macos.14.0",
        "-dynamiclib",
        "-Wl,-S",
        "-Wl,-dead_strip",
        "-Wl,-headerpad_max_install_names",
    ]);
    zig.arg(format!("-Wl,-force_load,{}", archive.display())).arg(format!("-Wl,-install_name,{INSTALL_NAME}"));
    zig.arg(format!("-Wl,-rpath,{LIBRARIES}"));
    zig.arg("-F").arg(&system).arg("-L").arg(&system).arg("-L").arg(&mlx.library).args(["-lmlx", "-lc++"]);
    sh::run(zig.args(&libraries).arg("-o").arg(&resolved))?;

    let exports = home.join("exports.txt");
    fs::write(&exports, exported()?.join("\n") + "\n")?;
    let hidden = home.join("libpocketmlx-hidden.dylib");
    let mut lld = Command::new("ld64.lld-14");
    lld.args(["-dylib", "-arch", "arm64", "-platform_version", "macos", "14.0", "14.0", "-dead_strip"]);
    lld.args(["-undefined", "dynamic_lookup", "-install_name", INSTALL_NAME, "-force_load"]).arg(archive);
    lld.arg("-exported_symbols_list").arg(&exports);
    sh::run(lld.arg("-o").arg(&hidden))?;
    Ok(Linked { resolved, hidden })
}

/// Writes a text-based stub for each system library; gives the flags that name them.
fn write_system(folder: &Path) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    for (name, path, symbols) in parse(SYSTEM)? {
        let file = match name.strip_suffix(".framework") {
            Some(framework) => {
                flags.extend(["-framework".to_owned(), framework.to_owned()]);
                folder.join(&name).join(format!("{framework}.tbd"))
            }
            None => {
                flags.push(format!("-l{}", name.trim_start_matches("lib")));
                folder.join(format!("{name}.tbd"))
            }
        };
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        let text = format!(
            "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: '{path}'\nexports:\n  \
             - targets: [ arm64-macos ]\n    symbols: [ {} ]\n...\n",
            symbols.join(", ")
        );
        fs::write(file, text)?;
    }
    Ok(flags)
}

/// Libraries with their install names and symbols.
fn parse(text: &str) -> Result<Vec<(String, String, Vec<String>)>> {
    let mut libraries: Vec<(String, String, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.split_once(' '), libraries.last_mut()) {
            (Some((name, path)), _) => libraries.push((name.to_owned(), path.to_owned(), Vec::new())),
            (None, Some((_, _, symbols))) => symbols.push(line.to_owned()),
            (None, None) => return Err(format!("system.txt begins with the symbol {line}").into()),
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::{SYSTEM, parse};

    #[test]
    fn system_libraries_are_read() {
        let libraries = parse(SYSTEM).unwrap();
        assert!(libraries.iter().all(|(_, path, symbols)| path.starts_with('/') && !symbols.is_empty()));
        assert!(libraries.iter().any(|(name, ..)| name == "CoreFoundation.framework"));
        assert!(parse("_symbol\n").is_err());
    }
}
