//! Saving a transcript.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use pocketmlx::{Error, Message, Request};

/// Writes the messages as a request whose `transcript` they are, so that `--request` takes the file back.
///
/// The file is written beside `path` first and renamed, so that a failure leaves what was there.
pub fn save(path: &Path, messages: Vec<Message>) -> Result<(), Error> {
    let request = Request { transcript: Some(messages), ..Request::default() };
    let mut json = serde_json::to_vec_pretty(&request)
        .map_err(|e| Error::internal(format!("the transcript does not fit into JSON: {e}")))?;
    json.push(b'\n');
    if path.file_name().is_none() || path.is_dir() {
        return Err(Error::invalid(format!("{:?} is not the name of a file", path.display())));
    }
    let (temporary, mut file) = create_beside(path)?;
    let written = file.write_all(&json).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::io(path, &e)
    })
}

/// A new file in the folder of `path`; one that exists is never touched.
fn create_beside(path: &Path) -> Result<(PathBuf, File), Error> {
    let process = std::process::id();
    for attempt in 0..100 {
        let temporary = path.with_file_name(format!(".pocketmlx-{process}-{attempt}.tmp"));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(path, &e)),
        }
    }
    Err(Error::io(path, &std::io::ErrorKind::AlreadyExists.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_transcript_is_a_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.json");
        fs::write(&path, "old").unwrap();
        let messages = vec![Message::new("user", "hi"), Message { partial: true, ..Message::new("assistant", "he") }];
        save(&path, messages.clone()).unwrap();
        assert_eq!(Request::from_json(&fs::read(&path).unwrap()).unwrap().transcript, Some(messages));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(save(&folder.path().join("none/talk.json"), vec![]).is_err());
        assert!(save(folder.path(), vec![]).is_err());
        assert!(save(Path::new(""), vec![]).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
