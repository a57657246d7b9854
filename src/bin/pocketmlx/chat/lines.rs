//! Where the lines of a talk come from: an editor at a terminal, plain stdin otherwise.

use std::io::{self, BufRead, IsTerminal, StdinLock};

use pocketmlx::{Code, Error};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::failure::Failure;

const PROMPT: &str = "> ";

/// Where lines come from.
pub enum Lines {
    Editor(Box<DefaultEditor>),
    Plain(StdinLock<'static>),
}

/// What came.
pub enum Line {
    Text(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// Ctrl-D, or the end of the script.
    End,
}

impl Lines {
    /// The editor draws on stdout, so it takes a terminal at both ends.
    pub fn open() -> Result<Self, Failure> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(Self::Plain(io::stdin().lock()));
        }
        Ok(Self::Editor(Box::new(DefaultEditor::new().map_err(|e| failed(&e))?)))
    }

    /// Whether someone types.
    pub fn interactive(&self) -> bool {
        matches!(self, Self::Editor(_))
    }

    /// Waits for the next line.
    pub fn read(&mut self) -> Result<Line, Failure> {
        match self {
            Self::Editor(editor) => match editor.readline(PROMPT) {
                Ok(line) => {
                    // The history is a convenience: a line that does not fit into it is still a line.
                    let _ = editor.add_history_entry(&line);
                    Ok(Line::Text(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(failed(&error)),
            },
            Self::Plain(stdin) => {
                let mut line = Vec::new();
                match stdin.read_until(b'\n', &mut line) {
                    Ok(0) => Ok(Line::End),
                    Ok(_) => String::from_utf8(line)
                        .map(Line::Text)
                        .map_err(|_| Error::invalid("a line on stdin is not UTF-8").into()),
                    Err(error) => Err(failed(&error)),
                }
            }
        }
    }
}

fn failed(error: &impl std::fmt::Display) -> Failure {
    Error::new(Code::Io, format!("stdin: {error}")).into()
}
