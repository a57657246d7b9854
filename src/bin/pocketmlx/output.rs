//! stdout for results, stderr for everything else.

use std::fmt::Display;
use std::io::{self, ErrorKind, StdoutLock, Write};

use pocketmlx::{Code, Error};
use serde::Serialize;

use crate::failure::Failure;

/// Locked stdout that writes through at once.
pub struct Output {
    stdout: StdoutLock<'static>,
    at_line_start: bool,
}

impl Output {
    pub fn new() -> Self {
        Self { stdout: io::stdout().lock(), at_line_start: true }
    }

    /// Writes `text` and flushes it.
    pub fn write(&mut self, text: &str) -> Result<(), Failure> {
        if !text.is_empty() {
            self.at_line_start = text.ends_with('\n');
            self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush()).map_err(failed)?;
        }
        Ok(())
    }

    /// Ends the line that was begun, if any.
    pub fn end_line(&mut self) -> Result<(), Failure> {
        if self.at_line_start { Ok(()) } else { self.write("\n") }
    }
}

/// Writes `text` to stdout as it is.
pub fn text(text: &str) -> Result<(), Failure> {
    Output::new().write(text)
}

/// Writes one line of JSON to stdout.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line =
        serde_json::to_string(value).map_err(|e| Error::internal(format!("output does not fit into JSON: {e}")))?;
    line.push('\n');
    text(&line)
}

/// Writes a line to stderr. A closed stderr is no reason to fail.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes an error and its hint to stderr.
pub fn complain(error: &Error) {
    note(format_args!("error: {error}"));
    if !error.hint().is_empty() {
        note(format_args!("hint: {}", error.hint()));
    }
}

fn failed(error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Error::new(Code::Io, format!("stdout: {error}")).into(),
    }
}
