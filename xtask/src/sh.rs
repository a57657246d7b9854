//! Running other programs, with errors that say what was run and what it answered.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Results of xtask: the message is all that anybody looks at.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The folder of the repository: that of the xtask which cargo runs now, not of where it was compiled.
pub fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// Runs a command quietly; when it fails, the error holds the command line and what it printed.
pub fn run(command: &mut Command) -> Result<()> {
    read(command).map(drop)
}

/// Runs a command and returns its standard output, without the white space around it.
pub fn read(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    let stdout = String::from_utf8_lossy(&stdout).trim().to_owned();
    if status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&stderr);
    Err(format!("{} failed ({status})\n{stdout}\n{}", line(command), stderr.trim_end()).into())
}

/// Runs a command whose standard output is shown and also given to `line`, line by line; `false` when it fails.
pub fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| cannot_start(command, &error))?;
    for text in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let text = text?;
        println!("{text}");
        line(&text);
    }
    Ok(child.wait()?.success())
}

/// The cargo that runs this.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Whether a command can be started and succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    read(command).is_ok()
}

fn cannot_start(command: &Command, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{} is not installed", command.get_program().to_string_lossy()),
        _ => format!("cannot run {}: {error}", line(command)),
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
