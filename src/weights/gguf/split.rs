//! Models in several files, `NAME-00001-of-00003.gguf` and so on, as llama.cpp's `gguf-split` writes them: the first
//! one has the metadata, and each some of the tensors.

use std::path::Path;

use super::{Gguf, names};
use crate::error::{Code, Error, Result};
use crate::weights::map::{self, Access};
use crate::weights::shown;

/// The most files of a model.
const MAX_FILES: u64 = 999;
const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";

impl Gguf {
    /// Opens a file on disk, and those that go with it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); `NotFound` when a file is missing; `InvalidArgument` for another than the first one.
    pub fn open(path: &Path) -> Result<Self> {
        let mut first = Self::open_one(path)?;
        let count = first.metadata.unsigned(COUNT)?.unwrap_or(1);
        if count <= 1 {
            return Ok(first);
        }
        if count > MAX_FILES {
            return Err(first.metadata.corrupt(COUNT, format_args!("is {count}; at most {MAX_FILES} are read")));
        }
        if first.metadata.unsigned(NUMBER)?.unwrap_or(0) != 0 {
            return Err(Error::invalid(format!("{}: is not the first of {count} files", path.display()))
                .with_hint(format!("name the file that ends with -00001-of-{count:05}.gguf")));
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parts = names::parts(name);
        if parts.len() as u64 != count {
            return Err(Error::invalid(format!("{}: is the first of {count} files, but not named so", path.display()))
                .with_hint(format!("rename it: such names end with -00001-of-{count:05}.gguf")));
        }
        for (number, part) in (1..).zip(parts).skip(1) {
            let path = path.with_file_name(part);
            if !path.is_file() {
                return Err(Error::new(
                    Code::NotFound,
                    format!("{}: this part of the model is missing", path.display()),
                )
                .with_hint(format!("the model consists of {count} files; download all of them")));
            }
            let part = Self::open_one(&path)?;
            if part.metadata.unsigned(NUMBER)? != Some(number - 1) || part.metadata.unsigned(COUNT)? != Some(count) {
                return Err(Error::corrupt(part.label(), format_args!("is not part {number} of {count}")));
            }
            first.add(part)?;
        }
        Ok(first)
    }

    fn open_one(path: &Path) -> Result<Self> {
        Self::parse(&path.display().to_string(), map::map(path, Access::Probe)?)
    }

    /// Takes the tensors of another file over.
    fn add(&mut self, part: Self) -> Result<()> {
        let offset = self.storages.len();
        self.storages.extend(part.storages);
        self.labels.extend(part.labels);
        for (name, mut entry) in part.tensors {
            entry.file += offset;
            if self.tensors.contains_key(&name) {
                return Err(Error::corrupt(part.label, format_args!("{} is in an earlier part, too", shown(&name))));
            }
            self.tensors.insert(name, entry);
        }
        Ok(())
    }
}
