//! Running the built binary.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

/// A run that ended.
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its stdout, after checking that it succeeded.
    pub fn succeeded(self) -> String {
        assert_eq!(self.status, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }

    /// Its stderr, after checking that it failed with `status` and printed nothing on stdout.
    pub fn failed(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// `pocketmlx` with arguments, not started yet; nothing of this process's terminal or variables reaches it.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pocketmlx"));
    command.args(args).env_remove("POCKETMLX_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end with an empty stdin.
pub fn run(args: &[&str]) -> Ran {
    command(args).output().unwrap().into()
}

/// Runs to the end with `stdin` as input.
pub fn run_with(args: &[&str], stdin: &[u8]) -> Ran {
    let mut child: Child = command(args).stdin(Stdio::piped()).spawn().unwrap();
    // A command that fails early reads nothing: then the pipe is closed, which is not this test's matter.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap().into()
}
