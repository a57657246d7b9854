//! What a line typed in a talk means.

/// The commands, for `/help` and `--help`.
pub const HELP: &str = "\
Commands in a talk:
  /reset      forget the talk and begin anew
  /save FILE  write the talk to FILE as JSON; `--request FILE` takes it
  /help       list the commands
  /exit       leave; so does Ctrl-D
Ctrl-C stops an answer and keeps the talk.";

/// A line's meaning.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Nothing,
    Say(&'a str),
    Reset,
    Save(&'a str),
    Help,
    Exit,
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    /// A line that begins with `/` is a command, any other one a message.
    pub fn parse(line: &'a str) -> Self {
        let text = line.trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        if !line.starts_with('/') {
            return Self::Say(text);
        }
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match (name, rest.trim()) {
            ("/reset", "") => Self::Reset,
            ("/save", path) => Self::Save(path),
            ("/help", "") => Self::Help,
            ("/exit", "") => Self::Exit,
            ("/reset" | "/help" | "/exit", _) => Self::Unknown(text),
            _ => Self::Unknown(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        for (line, command) in [
            ("", Command::Nothing),
            ("  ", Command::Nothing),
            ("hello there ", Command::Say("hello there")),
            (" /reset", Command::Say("/reset")),
            ("/reset", Command::Reset),
            ("/save  my talk.json ", Command::Save("my talk.json")),
            ("/save", Command::Save("")),
            ("/help", Command::Help),
            ("/exit ", Command::Exit),
            ("/exit now", Command::Unknown("/exit now")),
            ("/quit it", Command::Unknown("/quit")),
            ("/", Command::Unknown("/")),
        ] {
            assert_eq!(Command::parse(line), command, "{line:?}");
        }
    }
}
