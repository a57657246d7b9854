//! The folder that a conversion writes: new, or that of the same conversion, interrupted.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Code, Error, Result};

/// Says what is being converted here, until it is done.
const JOURNAL: &str = "conversion.incomplete.json";
/// The most bytes of a journal.
const MAX_JOURNAL: u64 = 4 << 20;
/// What the names of files that are being written end with.
const INCOMPLETE: &str = ".incomplete";

/// See above. Nobody else converts into the folder as long as this exists.
pub(super) struct Target {
    folder: PathBuf,
    /// Locked.
    _journal: File,
}

impl Target {
    /// Makes the folder, or goes on with it if `job` is what its journal says.
    pub fn open(folder: &Path, job: &Value) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        let path = folder.join(JOURNAL);
        let begun = path.is_file();
        if !begun && fs::read_dir(folder).map_err(|e| Error::io(folder, &e))?.next().is_some() {
            return Err(Error::invalid(format!("{}: the folder is there and not empty", folder.display()))
                .with_hint("name a new folder, or remove this one"));
        }
        let io = |e: std::io::Error| Error::io(&path, &e);
        let mut journal =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match journal.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Code::Busy, format!("{}: another process converts into it", folder.display()))
                    .with_hint("wait for it, or name another folder"));
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut text = String::new();
        (&mut journal).take(MAX_JOURNAL).read_to_string(&mut text).map_err(io)?;
        // Empty when the process ended before it wrote.
        if text.is_empty() {
            journal.write_all(job.to_string().as_bytes()).and_then(|()| journal.sync_all()).map_err(io)?;
        } else if serde_json::from_str::<Value>(&text).ok().as_ref() != Some(job) {
            return Err(another(folder, &text, job));
        }
        Ok(Self { folder: folder.to_owned(), _journal: journal })
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file by `write`, which gets the path to write to. It has its own name only when it is complete.
    pub fn put(&self, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let (path, incomplete) = (self.path(name), self.path(&format!("{name}{INCOMPLETE}")));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        }
        if let Err(error) = write(&incomplete) {
            // It is of no more use; what is left anyway will be written over.
            let _ = fs::remove_file(&incomplete);
            return Err(error);
        }
        fs::rename(&incomplete, &path).map_err(|e| Error::io(&path, &e))
    }

    /// [`put`](Self::put) of bytes.
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(name, |path| fs::write(path, bytes).map_err(|e| Error::io(path, &e)))
    }

    /// Ends the conversion: the folder is a model.
    pub fn finish(self) -> Result<()> {
        let path = self.path(JOURNAL);
        fs::remove_file(&path).map_err(|e| Error::io(&path, &e))
    }
}

/// The folder is that of another conversion.
fn another(folder: &Path, text: &str, job: &Value) -> Error {
    let begun: Value = serde_json::from_str(text).unwrap_or_default();
    let shown = |job: &Value| format!("{} with {}", job["source"], job["options"]);
    let message = match (begun["source"] == job["source"], begun["options"] == job["options"]) {
        (true, true) => format!("{}: the files of {} have changed since it was begun", folder.display(), job["source"]),
        _ => format!(
            "{}: the conversion of {} was begun here, not that of {}",
            folder.display(),
            shown(&begun),
            shown(job)
        ),
    };
    Error::invalid(message).with_hint("name a new folder, or remove this one")
}
