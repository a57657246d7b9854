//! llama.cpp, from the source distribution of its Python binding, and mlx-lm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::sh::{self, Result};

/// The Python binding whose source distribution holds llama.cpp.
pub const LLAMA_CPP_PYTHON: &str = "llama-cpp-python==0.3.36";

/// A built `llama-bench`.
pub struct LlamaBench {
    command: PathBuf,
}

/// A Python with mlx-lm.
pub struct MlxLm {
    python: PathBuf,
}

/// Finds or builds `llama-bench`.
pub fn llama_bench(folder: &Path) -> Result<LlamaBench> {
    if let Some(command) = std::env::var_os("LLAMA_BENCH") {
        return Ok(LlamaBench { command: command.into() });
    }
    let command = folder.join("llama.cpp-build/bin/llama-bench");
    if !command.is_file() {
        build(folder)?;
    }
    Ok(LlamaBench { command })
}

fn build(folder: &Path) -> Result<()> {
    let (source, built) = (folder.join("llama.cpp"), folder.join("llama.cpp-build"));
    if !source.is_dir() {
        eprintln!("bench: fetching llama.cpp");
        let (venv, scratch) = (folder.join("venv"), folder.join("scratch"));
        sh::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let python = venv.join("bin/python");
        // The binding's own build system, which pip asks for its name and version.
        sh::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "scikit-build-core", "cmake"]))?;
        let mut download = Command::new(&python);
        let path = std::env::var("PATH").unwrap_or_default();
        download.env("PATH", format!("{}:{path}", venv.join("bin").display()));
        download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]);
        download.args(["--no-binary", "llama-cpp-python", LLAMA_CPP_PYTHON, "--dest"]).arg(&scratch);
        sh::run(&mut download)?;
        let archive = entry(&scratch, ".tar.gz")?;
        sh::run(Command::new("tar").arg("xzmf").arg(archive).arg("-C").arg(&scratch))?;
        let unpacked = fs::read_dir(&scratch)?.filter_map(|entry| Some(entry.ok()?.path())).find(|path| path.is_dir());
        fs::rename(unpacked.ok_or("the archive is empty")?.join("vendor/llama.cpp"), &source)?;
        fs::remove_dir_all(scratch)?;
    }
    eprintln!("bench: building llama.cpp, which takes some minutes");
    let cmake = folder.join("venv/bin/cmake");
    let mut configure = Command::new(if cmake.is_file() { cmake } else { "cmake".into() });
    configure.arg("-S").arg(&source).arg("-B").arg(&built).args(["-G", "Unix Makefiles"]);
    for option in ["CMAKE_BUILD_TYPE=Release", "GGML_NATIVE=ON", "BUILD_SHARED_LIBS=OFF", "LLAMA_CURL=OFF"] {
        configure.arg(format!("-D{option}"));
    }
    for option in ["LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_BUILD_SERVER"] {
        configure.arg(format!("-D{option}=OFF"));
    }
    sh::run(&mut configure)?;
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    sh::run(Command::new("make").arg("-C").arg(&built).args(["-j", &jobs, "llama-bench"]))
}

fn entry(folder: &Path, suffix: &str) -> Result<PathBuf> {
    let mut paths = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.find(|path| path.to_string_lossy().ends_with(suffix));
    found.ok_or_else(|| format!("nothing that ends with {suffix} in {}", folder.display()).into())
}

impl LlamaBench {
    /// Tokens per second of one run of one test, after a warm-up.
    pub fn run(&self, model: &Path, threads: usize, options: &[&str]) -> Result<f64> {
        let mut command = Command::new(&self.command);
        command.args(["-r", "1", "-o", "json", "-t", &threads.to_string(), "-m"]).arg(model).args(options);
        let tests: Value = serde_json::from_str(&sh::read(&mut command)?)?;
        tests[0]["avg_ts"].as_f64().ok_or_else(|| format!("llama-bench printed {tests}").into())
    }
}

/// mlx-lm, if REFERENCE_PYTHON names a Python that has it.
pub fn mlx_lm() -> Option<MlxLm> {
    let python = PathBuf::from(std::env::var_os("REFERENCE_PYTHON")?);
    sh::succeeds(Command::new(&python).args(["-c", "import mlx_lm"])).then_some(MlxLm { python })
}

impl MlxLm {
    /// What `benches/reference.py` prints.
    pub fn run(&self, model: &Path, prompt_tokens: usize, new_tokens: usize) -> Result<Value> {
        let mut command = Command::new(&self.python);
        // On a CPU mlx-lm would compile kernels at run time.
        command.env("MLX_DISABLE_COMPILE", "1").arg(sh::root().join("benches/reference.py")).arg(model);
        command.args([prompt_tokens.to_string(), new_tokens.to_string(), "1".to_owned()]);
        Ok(serde_json::from_str(&sh::read(&mut command)?)?)
    }
}
