//! The crate for Apple's systems, with a standard library built from source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::mlx::Mlx;
use super::target::Target;
use super::tools::Tools;
use crate::sh::{self, Result};

/// What the framework calls its library.
pub const INSTALL_NAME: &str = "@rpath/CPocketMLX.framework/Versions/A/CPocketMLX";

/// What builds need.
pub struct Build<'a> {
    /// Compilers.
    pub tools: &'a Tools,
    /// Where everything is made.
    pub home: &'a Path,
    /// MLX for macOS.
    pub mlx: &'a Mlx,
}

impl Build<'_> {
    /// The archive, with all that the crate needs but the system and libmlx.
    pub fn archive(&self, target: &Target, profile: &str) -> Result<PathBuf> {
        sh::run(&mut self.cargo(target, "staticlib", profile))?;
        Ok(self.home.join("cargo").join(target.triple).join(profile).join("libpocketmlx.a"))
    }

    fn cargo(&self, target: &Target, kind: &str, profile: &str) -> Command {
        let mut cargo = Command::new(&self.tools.cargo);
        cargo.current_dir(sh::root()).args(["rustc", "--quiet", "-Zbuild-std=std,panic_unwind", "--lib"]);
        cargo.args(["--target", target.triple, "--crate-type", kind, "--profile", profile, "--no-default-features"]);
        cargo.args(["--features", target.features, "--config"]).arg(&self.mlx.config);
        cargo.arg("--target-dir").arg(self.home.join("cargo"));
        cargo.env("RUSTC", &self.tools.rustc).env("RUSTC_BOOTSTRAP", "1").env(target.deployment, target.minimum);
        // What the cargo that runs this tells its children would reach the other one.
        cargo.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        cargo.env("CARGO_ENCODED_RUSTFLAGS", without_paths().join("\x1f"));
        cargo
    }
}

/// Flags that keep the paths of this machine out of what is built.
fn without_paths() -> Vec<String> {
    let mut flags = vec![format!("--remap-path-prefix={}=pocketmlx", sh::root().display())];
    flags.extend(home().map(|home| format!("--remap-path-prefix={}=cargo", home.display())));
    flags
}

/// Where cargo keeps what it downloads.
pub fn home() -> Option<PathBuf> {
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    own.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// The symbols that the header declares, as the linker calls them.
pub fn exported() -> Result<Vec<String>> {
    let header = fs::read_to_string(sh::root().join("include/pocketmlx.h"))?;
    let name = |at: usize| header[at..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let mut names: Vec<String> = header
        .match_indices("pmlx_")
        .map(|(at, _)| name(at))
        .filter(|name| header.contains(&format!("{name}(")))
        .map(|name| format!("_{name}"))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}
