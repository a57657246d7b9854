//! Memory maps of checkpoint files; the only unsafe code of this module.

use std::fs::File;
#[cfg(unix)]
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::{Bytes, Storage};
use crate::error::{Error, Result};

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// All of it is read soon: the system is asked to read ahead.
    Load,
    /// Only headers are looked at.
    Probe,
}

/// Maps a regular file into memory. Files on the disk stay mapped when they are deleted or replaced by a rename; one
/// that another process truncates or overwrites in place meanwhile takes this process down or changes the weights,
/// which no check can prevent.
pub(super) fn map(path: &Path, access: Access) -> Result<Storage> {
    let file = File::open(path).map_err(|e| Error::io(path, &e))?;
    let length = file.metadata().map_err(|e| Error::io(path, &e))?.len();
    if isize::try_from(length).is_err() {
        return Err(Error::out_of_memory(format!(
            "{}: {length} bytes are more than the address space of this machine",
            path.display()
        )));
    }
    if length == 0 {
        return Ok(Arc::new([0u8; 0]));
    }
    // SAFETY: the map is private to this process and never written to. That nobody truncates the file is beyond what
    // a process can enforce; the docs above say so.
    let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, &e))?;
    if access == Access::Load {
        read_ahead(&map);
    }
    Ok(Arc::new(Map(map)))
}

/// A file in memory.
struct Map(Mmap);

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Bytes for Map {
    #[cfg(unix)]
    fn release(&self, range: Range<usize>) {
        use memmap2::UncheckedAdvice;
        if range.end <= self.0.len() {
            // SAFETY: the map is of a file and never written to, so that its pages come back with the same bytes.
            let _ = unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}

#[cfg(unix)]
fn read_ahead(map: &Mmap) {
    // Advice may be refused, which changes nothing but speed.
    let _ = map.advise(memmap2::Advice::WillNeed);
}

#[cfg(not(unix))]
fn read_ahead(_: &Mmap) {}
