//! The library as C programs get it: shared, static, and what the static one must be linked with.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sh::{self, Result};

/// A built library.
pub struct Library {
    /// Where both libraries are.
    pub folder: PathBuf,
    /// The shared library.
    pub shared: PathBuf,
    /// The static library.
    pub archive: PathBuf,
    /// What `--print native-static-libs` says.
    pub native_libraries: Vec<String>,
}

impl Library {
    /// Builds it as it is shipped: with the demo model and downloads, without the command.
    ///
    /// Cargo gives shared libraries of all features the same file, and may take one for another that it built before.
    /// All builds have both, so that nobody gets one without them.
    pub fn build(features: Option<&str>, release: bool) -> Result<Self> {
        let mut cargo = Command::new(sh::cargo());
        cargo.current_dir(sh::root()).args([
            "rustc",
            "--lib",
            "--crate-type=cdylib,staticlib",
            "--no-default-features",
        ]);
        cargo.args(["--message-format=json", "--quiet"]);
        cargo.args(["--features", "demo,hub"]).args(features.iter().flat_map(|list| ["--features", list]));
        cargo.args(release.then_some("--release"));
        cargo.args(["--", "--print=native-static-libs"]);
        let mut child = cargo.stdout(Stdio::piped()).spawn()?;
        let mut files = Vec::new();
        let mut native_libraries = None;
        for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
            // rustc prints some lines of its own.
            let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
            if message["reason"] == "compiler-artifact" && message["target"]["name"] == "pocketmlx" {
                let names = message["filenames"].as_array().into_iter().flatten();
                files.extend(names.filter_map(Value::as_str).map(PathBuf::from));
            }
            let text = message["message"]["message"].as_str().unwrap_or_default();
            if let Some(libraries) = text.strip_prefix("native-static-libs: ") {
                native_libraries = Some(libraries.split_whitespace().map(str::to_owned).collect());
            } else if message["message"]["level"] == "error" {
                eprint!("{}", message["message"]["rendered"].as_str().unwrap_or(text));
            }
        }
        if !child.wait()?.success() {
            return Err("the library does not build".into());
        }
        // Copies, because the next cargo command may build others.
        let folder = super::output_folder()?;
        let take = |extension: &str| -> Result<PathBuf> {
            let file = files.iter().find(|file| file.extension().is_some_and(|e| e == extension));
            let file = file.ok_or_else(|| format!("cargo built no .{extension}"))?;
            let copy = folder.join(format!("libpocketmlx.{extension}"));
            fs::copy(file, &copy)?;
            Ok(copy)
        };
        let shared = take(if cfg!(target_os = "macos") { "dylib" } else { "so" })?;
        let archive = take("a")?;
        let native_libraries = native_libraries.ok_or("rustc named no native libraries")?;
        Ok(Self { shared, archive, native_libraries, folder })
    }

    /// The shared library exports what the header declares, and nothing else; gives the number of functions.
    pub fn check_exports(&self) -> Result<usize> {
        let header = fs::read_to_string(sh::root().join("include/pocketmlx.h"))?;
        let declared: BTreeSet<_> = header
            .match_indices("pmlx_")
            .map(|(at, _)| header[at..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
            .filter(|name| header.contains(&format!("{name}(")))
            .map(str::to_owned)
            .collect();
        let exported = self.exported()?;
        let list = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let foreign = list(exported.difference(&declared).collect());
        if !foreign.is_empty() {
            return Err(format!("{} exports more than the header declares: {foreign}", self.shared.display()).into());
        }
        let missing = list(declared.difference(&exported).collect());
        if !missing.is_empty() {
            return Err(format!("{} does not export {missing}", self.shared.display()).into());
        }
        Ok(exported.len())
    }

    fn exported(&self) -> Result<BTreeSet<String>> {
        let mut nm = Command::new("nm");
        if cfg!(target_os = "macos") {
            nm.args(["-g", "-U", "-P"]);
        } else {
            nm.args(["-D", "--defined-only", "-P"]);
        }
        let symbols = sh::read(nm.arg(&self.shared))?;
        let name = |line: &str| line.split_whitespace().next().map(|name| name.trim_start_matches('_').to_owned());
        Ok(symbols.lines().filter_map(name).collect())
    }
}
