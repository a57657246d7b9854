//! GGUF files, versions 2 and 3, little endian: a header, metadata, a directory of tensors, their bytes.
//!
//! The format is that of ggml's `docs/gguf.md`. Everything is checked when a file is opened, because what follows slices
//! by these numbers.

use std::collections::BTreeMap;

mod block;
mod conversion;
mod cursor;
mod directory;
mod metadata;
pub(crate) mod names;
mod split;
mod tensor;
#[cfg(test)]
mod tests;
mod unpack;

use super::Storage;
use crate::error::{Code, Error, Result};
use cursor::Cursor;

pub(crate) use block::BlockType;
pub use conversion::Conversion;
pub(crate) use directory::Entry;
pub(crate) use metadata::{Array, Metadata, Value};
pub(crate) use tensor::Blocks;

const MAGIC: &[u8] = b"GGUF";
/// Where the file does not say.
const ALIGNMENT: u64 = 32;
/// The largest alignment taken; real files have 32.
const MAX_ALIGNMENT: u64 = 1 << 16;

/// An open file: metadata and directory checked, tensors read when somebody looks at them.
pub(crate) struct Gguf {
    label: String,
    /// Its files, and what they are called.
    storages: Vec<Storage>,
    labels: Vec<String>,
    metadata: Metadata,
    tensors: BTreeMap<String, Entry>,
}

impl Gguf {
    /// Opens the bytes of a file, which messages call `label`.
    ///
    /// # Errors
    /// `CorruptFile` naming what does not fit; `Unsupported` for another version, byte order or number format.
    pub fn parse(label: &str, storage: Storage) -> Result<Self> {
        let bytes = (*storage).as_ref();
        let mut cursor = Cursor::new(bytes);
        let named = |error: Error| error.context(label);
        let (tensors, keys) = header(&mut cursor).map_err(named)?;
        let metadata = Metadata::read(label, &storage, &mut cursor, keys).map_err(named)?;
        let alignment = alignment(&metadata)?;
        let tensors = directory::read(bytes, &mut cursor, tensors, alignment).map_err(named)?;
        let labels = vec![label.to_owned()];
        Ok(Self { label: label.to_owned(), storages: vec![storage], labels, metadata, tensors })
    }

    /// What to call the file in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What to call each of the files that the model consists of: their paths, if they are on disk.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// What the file says about its model.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Entry> {
        &self.tensors
    }

    /// The file that holds a tensor.
    pub(in crate::weights) fn storage(&self, entry: &Entry) -> &Storage {
        &self.storages[entry.file]
    }

    /// The blocks of a tensor.
    pub fn bytes(&self, entry: &Entry) -> &[u8] {
        &(**self.storage(entry)).as_ref()[entry.range.clone()]
    }
}

/// Magic and version; gives the numbers of tensors and keys.
fn header(cursor: &mut Cursor<'_>) -> Result<(usize, usize)> {
    let magic: [u8; 4] = cursor.array("the header")?;
    if magic != MAGIC {
        return Err(Error::new(
            Code::CorruptFile,
            format!("begins with {:?}, not GGUF", magic.escape_ascii().to_string()),
        )
        .with_hint("is it another format, or a page of a web server?"));
    }
    match cursor.u32("the version")? {
        2 | 3 => {}
        1 => {
            return Err(Error::unsupported("is GGUF of version 1; 2 and 3 are supported")
                .with_hint("convert the model anew with a current llama.cpp"));
        }
        version if version.swap_bytes() <= 0xff => {
            return Err(Error::unsupported("is a big-endian GGUF file").with_hint("take a little-endian one"));
        }
        version => return Err(Error::unsupported(format!("is GGUF of version {version}; 2 and 3 are supported"))),
    }
    let tensors = directory::count(cursor)?;
    Ok((tensors, Metadata::count(cursor)?))
}

fn alignment(metadata: &Metadata) -> Result<usize> {
    const KEY: &str = "general.alignment";
    match metadata.unsigned(KEY)?.unwrap_or(ALIGNMENT) {
        alignment if alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT => Ok(alignment as usize),
        alignment => Err(metadata.corrupt(KEY, format_args!("is {alignment}, not a power of 2 up to {MAX_ALIGNMENT}"))),
    }
}
