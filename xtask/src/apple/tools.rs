//! What `cargo xtask apple-check` needs from the machine, checked before anything is fetched.

use std::path::PathBuf;
use std::process::Command;

use crate::rust_source;
use crate::sh::{self, Result};

/// The programs that were found.
pub struct Tools {
    /// A cargo whose compiler has its library's source.
    pub cargo: PathBuf,
    /// That compiler.
    pub rustc: PathBuf,
}

/// LLVM's tools, by Debian's names.
const LLVM: [(&str, &str); 4] =
    [("llvm-objdump", "llvm"), ("llvm-nm", "llvm"), ("llvm-size", "llvm"), ("ld64.lld-14", "lld")];

impl Tools {
    /// Finds what is needed, or names everything that is missing at once.
    pub fn find() -> Result<Self> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err("this is for Linux on x86-64; on a Mac use `cargo xtask xcframework`".into());
        }
        let mut missing = Vec::new();
        if let Err(error) = crate::mlx::needs::check() {
            missing.push(error.to_string());
        }
        for (tool, package) in LLVM {
            if !sh::succeeds(Command::new(tool).arg("--version")) {
                missing.push(format!("{tool} (Debian 12: {package})"));
            }
        }
        let rust = rust_source::find();
        if rust.is_none() {
            missing.push(rust_source::MISSING.to_owned());
        }
        match rust {
            Some((cargo, rustc)) if missing.is_empty() => Ok(Self { cargo, rustc }),
            _ => Err(format!("missing:\n  {}", missing.join("\n  ")).into()),
        }
    }
}
