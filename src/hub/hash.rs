//! The hashes that a hub announces.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::listing::Hash;
use crate::error::{Error, Result};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Computes what a hub calls a file's hash.
pub(super) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    /// For content of `length` bytes.
    pub fn new(hash: &Hash, length: u64) -> Self {
        match hash {
            Hash::Sha256(_) => Self::Sha256(Sha256::new()),
            // git-hash-object: the header is part of what is hashed.
            Hash::Git(_) => Self::Git(Sha1::new_with_prefix(format!("blob {length}\0"))),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    /// Takes in the first `length` bytes of a file; `tick` hears how many it has.
    pub fn read(&mut self, path: &Path, length: u64, tick: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let mut file = File::open(path).map_err(|e| Error::io(path, &e))?;
        let mut chunk = vec![0; CHUNK];
        let mut done = 0;
        while done < length {
            let wanted = CHUNK.min(usize::try_from(length - done).unwrap_or(CHUNK));
            file.read_exact(&mut chunk[..wanted]).map_err(|e| Error::io(path, &e))?;
            self.update(&chunk[..wanted]);
            done += wanted as u64;
            tick(done)?;
        }
        Ok(())
    }

    pub fn matches(&self, hash: &Hash) -> bool {
        let bytes = match self {
            Self::Sha256(hasher) => hasher.clone().finalize().to_vec(),
            Self::Git(hasher) => hasher.clone().finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == hash.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_sha256() {
        // `printf 'hello\n' | git hash-object --stdin`, and sha256sum of the same.
        let git = Hash::Git("ce013625030ba8dba906f756967f9e9ca394464a".into());
        let sha = Hash::Sha256("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".into());
        for hash in [git, sha] {
            let mut hasher = Hasher::new(&hash, 6);
            hasher.update(b"hel");
            assert!(!hasher.matches(&hash));
            hasher.update(b"lo\n");
            assert!(hasher.matches(&hash));
        }
    }
}
