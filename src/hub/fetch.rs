//! One file, from a hub into the cache: locked, gone on with where an earlier try ended, checked, then renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::cache::{INCOMPLETE, create_parent};
use super::client::{Refusal, encode, network, pause};
use super::listing::RemoteFile;
use super::partial::Partial;
use super::repository::RepositoryId;
use super::retry::{self, TRIES};
use super::{Hub, disk};
use crate::error::{Error, Result};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// So many new bytes make a broken try count as a success.
const HEADWAY: u64 = 64 << 10;
/// How often content may come that does not match its hash.
const MISMATCHES: u32 = 2;
/// How often another process's download is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A download of a repository at a commit, as its threads share it.
pub(super) struct Transfer {
    pub hub: Hub,
    pub id: RepositoryId,
    pub commit: String,
    /// Bytes of this download's files that are there.
    pub done: AtomicU64,
    /// Bytes that came over the network.
    pub fetched: AtomicU64,
    pub stopped: AtomicBool,
}

impl Transfer {
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Bytes of a file that are still to come.
    pub fn missing(&self, file: &RemoteFile) -> u64 {
        let blob = self.hub.cache.blob(&self.id, &file.hash);
        if has(&blob, file.bytes) {
            return 0;
        }
        let held = fs::metadata(blob.with_extension(INCOMPLETE)).map_or(0, |metadata| metadata.len());
        file.bytes.saturating_sub(held)
    }

    /// Makes sure that a file is in the snapshot.
    ///
    /// # Errors
    /// As [`Hub::download`].
    pub fn file(&self, file: &RemoteFile) -> Result<()> {
        let blob = self.hub.cache.blob(&self.id, &file.hash);
        let mut counted = Counted { total: &self.done, own: 0 };
        // Held until a snapshot links the blob: what nothing links and nobody locks may be collected.
        let _lock = self.lock(file)?;
        if !has(&blob, file.bytes) {
            self.fetch(file, &blob, &mut counted)?;
        }
        counted.set(file.bytes);
        self.hub.cache.link(&self.id, &self.commit, file)
    }

    /// Waits until no other process or thread fetches the same content. The lock is gone with the process that held it.
    fn lock(&self, file: &RemoteFile) -> Result<File> {
        let path = self.hub.cache.lock(&self.id, &file.hash);
        create_parent(&path)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|e| disk::failed(&path, &e))?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => pause(LOOK_AGAIN, &|| self.is_stopped())?,
                Err(TryLockError::Error(error)) => {
                    // Some network file systems have no locks; then two downloads at once are slower, not wrong.
                    tracing::warn!(path = %path.display(), %error, "downloads can't be locked here");
                    return Ok(lock);
                }
            }
        }
    }

    fn fetch(&self, file: &RemoteFile, blob: &Path, counted: &mut Counted<'_>) -> Result<()> {
        create_parent(blob)?;
        let mut partial = Partial::open(blob.with_extension(INCOMPLETE), file, &|| self.is_stopped())?;
        let (mut last, mut mismatches) = (None, 0);
        'endpoints: for endpoint in &self.hub.client.endpoints {
            let mut tried = 0;
            let mut validator = None;
            while tried < TRIES {
                tried += 1;
                let before = partial.length;
                counted.set(before);
                match self.attempt(endpoint, file, &mut partial, &mut validator, counted) {
                    Ok(()) if partial.matches() => return partial.finish(blob),
                    Ok(()) => {
                        mismatches += 1;
                        partial.restart()?;
                        last = Some(
                            Error::corrupt(self.name(file), format!("what {endpoint} sends does not match its hash"))
                                .with_hint("the repository or a proxy on the way is broken; nothing of it was kept"),
                        );
                        if mismatches >= MISMATCHES {
                            continue 'endpoints;
                        }
                    }
                    Err(Stop::Ours(error)) => return Err(error),
                    Err(Stop::Theirs(refusal)) => {
                        let Refusal { error, transient, retry_after, .. } = *refusal;
                        tracing::debug!(file = self.name(file), endpoint, tried, at = partial.length, %error, "a try failed");
                        if partial.length >= before.saturating_add(HEADWAY) {
                            tried = 0;
                        }
                        last = Some(error.context(self.name(file)));
                        if !transient {
                            continue 'endpoints;
                        }
                        if tried < TRIES {
                            pause(retry::wait(tried.max(1), retry_after.as_deref()), &|| self.is_stopped())?;
                        }
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::internal("a hub has no endpoint")))
    }

    fn name(&self, file: &RemoteFile) -> String {
        format!("{}: {}", self.id, file.name)
    }

    /// One request for what is missing of a file.
    fn attempt(
        &self,
        endpoint: &str,
        file: &RemoteFile,
        partial: &mut Partial,
        validator: &mut Option<String>,
        counted: &mut Counted<'_>,
    ) -> Result<(), Stop> {
        if partial.length == file.bytes {
            return Ok(());
        }
        let path: Vec<_> = file.name.split('/').map(encode).collect();
        let path = format!("/{}/resolve/{}/{}", self.id.id(), self.commit, path.join("/"));
        let mut headers = Vec::new();
        if partial.length > 0 {
            headers.push(("range".to_owned(), format!("bytes={}-", partial.length)));
            headers.extend(validator.take().map(|validator| ("if-range".to_owned(), validator)));
        }
        let response = match self.hub.client.get(endpoint, &path, headers) {
            Err(refusal) if refusal.status == Some(416) => {
                partial.restart()?;
                return Err(Stop::theirs("the server does not know the part that is missing"));
            }
            other => other?,
        };
        let encoding = response.header("content-encoding").unwrap_or("identity");
        if encoding != "identity" {
            return Err(Stop::theirs(format!("the server sends it compressed ({encoding}), which nobody asked for")));
        }
        *validator = response.header("etag").filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        if response.status == 206 {
            let range = response.header("content-range").unwrap_or("").to_owned();
            if !range.starts_with(&format!("bytes {}-", partial.length)) || !total_fits(&range, file.bytes) {
                let length = partial.length;
                partial.restart()?;
                return Err(Stop::theirs(format!("asked for bytes from {length}, the server sends {range:?}")));
            }
        } else if partial.length > 0 {
            // The server ignores ranges: all comes again.
            partial.restart()?;
        }
        let announced = response.header("content-length").and_then(|length| length.parse::<u64>().ok());
        if let Some(announced) =
            announced.filter(|announced| partial.length.checked_add(*announced) != Some(file.bytes))
        {
            let length = partial.length;
            partial.restart()?;
            return Err(Stop::theirs(format!(
                "the hub announced {} bytes, the server sends {announced} after {length}",
                file.bytes
            )));
        }
        let mut body = response.body;
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.is_stopped() {
                return Err(Stop::Ours(Error::cancelled()));
            }
            let read = match body.read(&mut chunk) {
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    return Err(Stop::theirs(format!(
                        "broke off after {} of {} bytes: {e}",
                        partial.length, file.bytes
                    )));
                }
            };
            if read == 0 {
                break;
            }
            if partial.length + read as u64 > file.bytes {
                partial.restart()?;
                return Err(Stop::theirs(format!("the server sends more than the {} bytes announced", file.bytes)));
            }
            partial.append(&chunk[..read])?;
            self.fetched.fetch_add(read as u64, Ordering::Relaxed);
            counted.set(partial.length);
        }
        if partial.length < file.bytes {
            return Err(Stop::theirs(format!("broke off after {} of {} bytes", partial.length, file.bytes)));
        }
        Ok(())
    }
}

/// Why a try ended.
enum Stop {
    /// Of ours: no other try helps.
    Ours(Error),
    /// Of the server.
    Theirs(Box<Refusal>),
}

impl Stop {
    fn theirs(message: impl Into<String>) -> Self {
        let error = network(message).with_hint("what came so far is kept; try again later");
        Self::Theirs(Box::new(Refusal { error, transient: true, retry_after: None, status: None }))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Theirs(Box::new(refusal))
    }
}

/// A file's share of the bytes that are there.
struct Counted<'a> {
    total: &'a AtomicU64,
    own: u64,
}

impl Counted<'_> {
    fn set(&mut self, bytes: u64) {
        // Wraps on purpose: less than before is taken off.
        self.total.fetch_add(bytes.wrapping_sub(self.own), Ordering::Relaxed);
        self.own = bytes;
    }
}

fn has(blob: &Path, bytes: u64) -> bool {
    fs::metadata(blob).is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes)
}

/// Whether the total of a `Content-Range` is the expected one or unknown.
fn total_fits(range: &str, bytes: u64) -> bool {
    range.rsplit_once('/').is_some_and(|(_, total)| total == "*" || total.parse() == Ok(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert!(total_fits("bytes 3-9/10", 10) && total_fits("bytes 3-9/*", 10));
        assert!(!total_fits("bytes 3-9/11", 10) && !total_fits("", 10));
    }
}
