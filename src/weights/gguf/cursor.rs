//! Little-endian numbers and strings, read one after the other, never past the end.

use std::ops::Range;

use crate::error::{Code, Error, Result};

/// A position in the bytes of a file.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let range = self.skip(N as u64, what)?;
        self.bytes[range].try_into().map_err(|_| Error::internal("a range of the wrong length"))
    }

    /// Where the next `length` bytes are; goes on behind them.
    pub fn skip(&mut self, length: u64, what: &str) -> Result<Range<usize>> {
        let Some(length) = usize::try_from(length).ok().filter(|&length| length <= self.left()) else {
            let message = format!("{what} takes {length} bytes, but only {} are left", self.left());
            return Err(Error::new(Code::CorruptFile, message).with_hint("the file is cut short; download it again"));
        };
        let start = self.position;
        self.position += length;
        Ok(start..self.position)
    }

    /// Where the text of a string is: its length, then its bytes.
    pub fn string(&mut self, what: &str) -> Result<Range<usize>> {
        let length = self.u64(what)?;
        self.skip(length, what)
    }

    /// A number of things of at least `least` bytes each, all of which must fit into what is left.
    pub fn count(&mut self, most: u64, least: usize, what: &str) -> Result<usize> {
        let count = self.u64(what)?;
        let fits = count <= most && count.checked_mul(least as u64).is_some_and(|bytes| bytes <= self.left() as u64);
        usize::try_from(count).ok().filter(|_| fits).ok_or_else(|| {
            let message = format!("{what} is {count}, which {} bytes can't hold or is above {most}", self.left());
            Error::new(Code::CorruptFile, message)
        })
    }
}
