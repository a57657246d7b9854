//! Runs of the command `pocketmlx`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::sh::{self, Result};

/// The command, built in release mode.
pub struct Ours {
    command: PathBuf,
}

/// A process as a whole.
pub struct Process {
    pub seconds: f64,
    pub peak_rss_bytes: f64,
}

impl Ours {
    pub fn build() -> Result<Self> {
        eprintln!("bench: building pocketmlx");
        let mut cargo = Command::new(sh::cargo());
        sh::run(cargo.current_dir(sh::root()).args(["build", "--release", "--bin", "pocketmlx"]))?;
        Ok(Self { command: sh::root().join("target/release/pocketmlx") })
    }

    /// `pocketmlx bench` on the CPU backend, one run after the warm-up.
    pub fn bench(&self, model: &Path, options: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.command);
        command.args(["bench", "--device", "cpu", "--repeats", "1", "--json", "-m"]).arg(model).args(options);
        Ok(serde_json::from_str(&sh::read(&mut command)?)?)
    }

    /// From the start of a process to the end of a generation of one token, and the most memory it held (Linux only).
    pub fn first_token(&self, model: &Path) -> Result<Process> {
        let began = Instant::now();
        let mut child = Command::new(&self.command)
            .args(["generate", "--device", "cpu", "--ids", "13,432,351,270", "--max-tokens", "1", "--json", "-m"])
            .arg(model)
            .stdout(Stdio::piped())
            .spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0.0f64;
        while child.try_wait()?.is_none() {
            if let Some(bytes) = std::fs::read_to_string(&status).ok().as_deref().and_then(high_water_mark) {
                peak = peak.max(bytes);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let seconds = began.elapsed().as_secs_f64();
        let mut text = String::new();
        child.stdout.take().ok_or("no stdout")?.read_to_string(&mut text)?;
        if !child.wait()?.success() || !text.contains("\"tokens\":[") {
            return Err(format!("pocketmlx generate failed: {text}").into());
        }
        Ok(Process { seconds, peak_rss_bytes: peak })
    }
}

/// `VmHWM` of /proc/PID/status in bytes.
fn high_water_mark(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kilobytes| kilobytes * 1024.0)
}
