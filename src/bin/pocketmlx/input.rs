//! What to work on: text from the command line or stdin, or a whole request from a file.

use std::io::{self, IsTerminal, Read};
use std::path::Path;

use pocketmlx::{Code, Error, Message, Request};

use crate::failure::Failure;

/// The text given, or what comes in on stdin without its last line end. Empty text is an error.
pub fn text(given: Option<String>, name: &str) -> Result<String, Failure> {
    let text = match given {
        Some(text) => text,
        None if io::stdin().is_terminal() => {
            return Err(Failure::usage(&format!("no {name}"), "give it as an argument or on stdin"));
        }
        None => {
            let mut text = utf8(stdin()?, "stdin")?;
            let end = text.strip_suffix('\n').map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
            text.truncate(end);
            text
        }
    };
    if text.is_empty() {
        return Err(Error::invalid(format!("the {name} is empty")).with_hint("give at least one character").into());
    }
    Ok(text)
}

/// Reads a whole request from a file, or from stdin when `path` is `-`.
pub fn request(path: &str) -> Result<Request, Failure> {
    let (json, name) = match path {
        "-" => (stdin()?, "stdin"),
        path => (std::fs::read(path).map_err(|e| Error::io(Path::new(path), &e))?, path),
    };
    Ok(Request::from_json(&json).map_err(|e| e.context(name))?)
}

/// `flags` where they are given, `file` for the rest and for what to continue.
pub fn merge(flags: Request, file: Request) -> Request {
    let mut request = flags.or(&file);
    request.messages = file.messages;
    request.transcript = file.transcript;
    request.prompt = file.prompt;
    request.prompt_ids = file.prompt_ids;
    request
}

/// Puts the system message first, in place of the one that is there.
pub fn set_system(request: &mut Request, system: Option<&str>) -> Result<(), Failure> {
    let Some(system) = system else { return Ok(()) };
    let Some(messages) = request.messages.as_mut().or(request.transcript.as_mut()) else {
        return Err(Failure::usage("--system needs messages", "plain prompts and ids have no system message"));
    };
    let replaced = usize::from(messages.first().is_some_and(|m| m.role == "system"));
    messages.splice(..replaced, [Message::new("system", system)]);
    Ok(())
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|e| Error::new(Code::Io, format!("stdin: {e}")))?;
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>, name: &str) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::invalid(format!("{name} is not UTF-8: wrong at byte {at}")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_text_is_taken_as_it_is() {
        assert_eq!(text(Some(" a\n".to_owned()), "prompt").unwrap(), " a\n");
        assert!(
            matches!(text(Some(String::new()), "prompt"), Err(Failure::Failed(e)) if e.message().contains("empty"))
        );
    }

    #[test]
    fn wrong_utf8_is_placed() {
        assert!(matches!(utf8(b"ab\xff".to_vec(), "stdin"), Err(Failure::Failed(e)) if e.message().contains("byte 2")));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = Request { max_tokens: Some(5), seed: Some(1), ..Request::prompt("x") };
        let flags = Request { max_tokens: Some(9), ..Request::default() };
        let merged = merge(flags, file);
        assert_eq!(merged, Request { max_tokens: Some(9), seed: Some(1), ..Request::prompt("x") });
    }

    #[test]
    fn a_system_message_is_put_first_or_replaced() {
        let mut request = Request::user("hi");
        set_system(&mut request, Some("a")).unwrap();
        set_system(&mut request, Some("b")).unwrap();
        assert_eq!(request.messages, Some(vec![Message::new("system", "b"), Message::new("user", "hi")]));
        assert!(set_system(&mut Request::prompt("x"), None).is_ok());
        assert!(matches!(set_system(&mut Request::prompt("x"), Some("a")), Err(Failure::Usage(_))));
    }
}
