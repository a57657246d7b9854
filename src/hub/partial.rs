//! A blob while it comes.
//!
//! It is named by the hash of what it is to hold, so what an earlier process left is gone on with without asking whether
//! the file has changed since (`If-Range`): a changed file has another hash and another name. Whatever a server sends, only
//! content of the announced hash gets the blob's name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::disk;
use super::hash::Hasher;
use super::listing::{Hash, RemoteFile};
use crate::error::{Error, Result};

/// So many new bytes are sent on to the disk while more come, so that little is left to wait for at the end.
const FLUSH: usize = 8 << 20;

/// A blob that is not whole yet.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    /// Bytes that are there.
    pub length: u64,
    hasher: Hasher,
    hash: Hash,
    whole: u64,
    unflushed: usize,
    flushing: Option<JoinHandle<io::Result<()>>>,
}

impl Partial {
    /// Opens what there is and reads it for its hash.
    pub fn open(path: PathBuf, remote: &RemoteFile, stopped: &dyn Fn() -> bool) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| disk::failed(&path, &e))?;
        let length = file.metadata().map_err(|e| Error::io(&path, &e))?.len();
        let (hash, whole) = (remote.hash.clone(), remote.bytes);
        let mut partial =
            Self { hasher: Hasher::new(&hash, whole), path, file, length, hash, whole, unflushed: 0, flushing: None };
        if length > whole {
            partial.restart()?;
            return Ok(partial);
        }
        partial
            .hasher
            .read(&partial.path, length, &mut |_| if stopped() { Err(Error::cancelled()) } else { Ok(()) })?;
        partial.file.seek(SeekFrom::Start(length)).map_err(|e| Error::io(&partial.path, &e))?;
        Ok(partial)
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| disk::failed(&self.path, &e))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.unflushed += bytes.len();
        if self.unflushed >= FLUSH && self.flushing.as_ref().is_none_or(JoinHandle::is_finished) {
            self.flushed()?;
            self.unflushed = 0;
            let file = self.file.try_clone().map_err(|e| disk::failed(&self.path, &e))?;
            // Without a thread, the end takes longer.
            self.flushing = thread::Builder::new().name("pocketmlx-disk".into()).spawn(move || file.sync_data()).ok();
        }
        Ok(())
    }

    /// Waits for the disk. What failed is told once to those who share a file, so it is never dropped.
    fn flushed(&mut self) -> Result<()> {
        match self.flushing.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(disk::failed(&self.path, &error)),
            Some(Err(_)) => Err(Error::internal("a thread that waited for the disk panicked")),
        }
    }

    pub fn restart(&mut self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|e| disk::failed(&self.path, &e))?;
        self.length = 0;
        self.hasher = Hasher::new(&self.hash, self.whole);
        Ok(())
    }

    /// Whether what is there is what the hub announced.
    pub fn matches(&self) -> bool {
        self.hasher.matches(&self.hash)
    }

    /// The name of a blob is given to whole, checked content only.
    pub fn finish(mut self, blob: &Path) -> Result<()> {
        self.flushed()?;
        self.file.sync_all().map_err(|e| disk::failed(&self.path, &e))?;
        fs::rename(&self.path, blob).map_err(|e| disk::failed(blob, &e))
    }
}
