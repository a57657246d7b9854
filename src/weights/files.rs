//! The files of one model, in a folder or in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gguf::Gguf;
pub(crate) use super::map::Access;
use super::{Storage, map};
use crate::error::{Code, Error, Result};

/// The most bytes that [`ModelFiles::read`] takes in; the largest real tokenizer.json is near 40 MB.
const READ_LIMIT: u64 = 256 << 20;

/// The files of one model, by names relative to it (`config.json`, `additional_chat_templates/tools.jinja`).
///
/// Symbolic links are followed wherever they lead, because the hub's cache consists of them: who can write into the
/// user's folder is trusted with its links. Names read from inside a file are not; they must be plain file names.
#[derive(Clone)]
pub(crate) enum ModelFiles {
    /// A folder on disk.
    Folder(PathBuf),
    /// A model in memory.
    #[cfg_attr(not(any(test, feature = "demo")), expect(dead_code, reason = "nothing else is in memory yet"))]
    Memory(BTreeMap<String, Storage>),
    /// A GGUF file, which is the whole model; there are no files beside it.
    Gguf(Arc<Gguf>),
}

impl ModelFiles {
    /// What to call the model in messages.
    pub fn label(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Memory(_) => "demo".into(),
            Self::Gguf(gguf) => gguf.label().into(),
        }
    }

    /// What to call one of its files in messages.
    pub fn file_label(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Memory(_) => format!("demo: {name}"),
            Self::Gguf(gguf) => gguf.label().into(),
        }
    }

    /// The GGUF file, where the model is one.
    pub fn gguf(&self) -> Option<&Gguf> {
        match self {
            Self::Gguf(gguf) => Some(gguf),
            Self::Folder(_) | Self::Memory(_) => None,
        }
    }

    /// Whether there is a file of that name.
    pub fn exists(&self, name: &str) -> bool {
        match self {
            Self::Folder(folder) => is_relative(name) && folder.join(name).is_file(),
            Self::Memory(files) => files.contains_key(name),
            Self::Gguf(_) => false,
        }
    }

    /// A file's content, copied into memory; nothing when there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Storage>> {
        self.open(name, |path| {
            let mut bytes = Vec::new();
            let file = File::open(path).map_err(|e| Error::io(path, &e))?;
            let length = file.metadata().map_err(|e| Error::io(path, &e))?.len();
            if length > READ_LIMIT {
                let message = format!("{length} bytes are more than the {READ_LIMIT} that such a file may have");
                return Err(Error::corrupt(path.display(), message));
            }
            bytes
                .try_reserve_exact(length as usize + 1)
                .map_err(|_| Error::out_of_memory(format!("{}: no memory for {length} bytes", path.display())))?;
            // A file may grow while it is read.
            file.take(READ_LIMIT).read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
            Ok(Arc::new(bytes) as Storage)
        })
    }

    /// A file's content as a memory map; nothing when there is no such file.
    pub fn map(&self, name: &str, access: Access) -> Result<Option<Storage>> {
        self.open(name, |path| map::map(path, access))
    }

    /// The files directly in a subfolder, or in the model itself for `""`: sorted names that [`read`](Self::read)
    /// takes. A missing folder is empty.
    pub fn list(&self, subfolder: &str) -> Result<Vec<String>> {
        let prefix = if subfolder.is_empty() { String::new() } else { format!("{subfolder}/") };
        let mut names = Vec::new();
        match self {
            Self::Folder(folder) => {
                let folder = folder.join(subfolder);
                let entries = match fs::read_dir(&folder) {
                    Ok(entries) => entries,
                    Err(e) if e.kind() == ErrorKind::NotFound => return Ok(names),
                    Err(e) => return Err(Error::io(&folder, &e)),
                };
                for entry in entries {
                    let entry = entry.map_err(|e| Error::io(&folder, &e))?;
                    // A name that is not UTF-8 is none of ours.
                    if let Ok(name) = entry.file_name().into_string()
                        && entry.path().is_file()
                    {
                        names.push(format!("{prefix}{name}"));
                    }
                }
                names.sort();
            }
            Self::Memory(files) => {
                let inside = |name: &&String| name.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
                names.extend(files.keys().filter(inside).cloned());
            }
            Self::Gguf(_) => {}
        }
        Ok(names)
    }

    /// Looks a file up and opens it with `open` when it lies on disk.
    fn open(&self, name: &str, open: impl FnOnce(&Path) -> Result<Storage>) -> Result<Option<Storage>> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Memory(files) => return Ok(files.get(name).cloned()),
            Self::Gguf(_) => return Ok(None),
        };
        if !is_relative(name) {
            return Err(Error::invalid(format!("{name:?} is not the name of a model's file")));
        }
        let path = folder.join(name);
        match fs::metadata(&path) {
            // Opening a pipe would wait for ever.
            Ok(metadata) if !metadata.is_file() => Err(Error::corrupt(path.display(), "is not a regular file")),
            Ok(_) => open(&path).map(Some),
            Err(e) if e.kind() == ErrorKind::NotFound => match fs::read_link(&path) {
                Ok(target) => {
                    let message = format!("{} links to {}, which does not exist", path.display(), target.display());
                    Err(Error::new(Code::NotFound, message).with_hint("download the model again"))
                }
                Err(_) => Ok(None),
            },
            Err(e) => Err(Error::io(&path, &e)),
        }
    }
}

/// Whether a name can neither leave the folder that it is relative to nor mean something else on another system.
fn is_relative(name: &str) -> bool {
    name.split('/').all(is_plain_name)
}

/// Whether a name is that of a file in the same folder, on every system.
pub(super) fn is_plain_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | ':'))
}
