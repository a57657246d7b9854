//! A whole model: what it holds at one commit, first its descriptions, then its weights, several files at once.

use std::collections::VecDeque;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::fetch::Transfer;
use super::listing::{self, INDEX, RemoteFile};
use super::repository::RepositoryId;
use super::{Hub, HubProgress, disk};
use crate::error::{Code, Error, Result};
use crate::event::{Progress, Stage};

/// Files that are fetched at the same time.
const CONNECTIONS: usize = 4;
/// How often the caller hears of progress.
const REPORT_EVERY: Duration = Duration::from_millis(50);
/// Room that is left on the disk.
const SPARE: u64 = 64 << 20;

/// [`Hub::download`].
pub(super) fn run(
    hub: &Hub,
    id: &RepositoryId,
    check: &dyn Fn(&Path) -> Result<()>,
    progress: &mut HubProgress<'_>,
) -> Result<PathBuf> {
    let cached = hub.cache.complete_snapshot(id)?;
    if hub.offline {
        return cached.ok_or_else(|| {
            Error::new(Code::NotFound, format!("{id} is not in the cache {}", hub.cache.root().display()))
                .with_hint("HF_HUB_OFFLINE keeps it from being fetched")
        });
    }
    let mut report = Report { progress, item: id.to_string(), began: Instant::now(), total: 0 };
    let stopped = Arc::new(AtomicBool::new(false));
    let listing = {
        let (client, id, stopped) = (Arc::clone(&hub.client), id.clone(), Arc::clone(&stopped));
        let ask = move || listing::fetch(&client, &id, &|| stopped.load(Ordering::Relaxed));
        report.wait(ask)
    };
    // A listing that nobody waits for any longer tries no more.
    stopped.store(true, Ordering::Relaxed);
    let listing = match (listing, cached) {
        (Ok(listing), _) => listing,
        (Err(error), Some(cached)) if error.code() == Code::Network => {
            tracing::warn!(model = %id, %error, "the hub can't be asked; what is in the cache is used");
            return Ok(cached);
        }
        (Err(error), _) => return Err(error),
    };
    let transfer = Arc::new(Transfer {
        hub: hub.clone(),
        id: id.clone(),
        commit: listing.commit.clone(),
        done: AtomicU64::new(0),
        fetched: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    });
    let _held = hub.cache.hold(id)?;
    let snapshot = hub.cache.snapshot(id, &listing.commit);
    if let Some(files) = listing.gguf(id)? {
        report.total = files.iter().map(|file| file.bytes).sum();
        make_room(&transfer, &files)?;
        report.files(&transfer, &files)?;
        hub.cache.set_commit(id, &listing.commit)?;
        return Ok(snapshot.join(&files[0].name));
    }
    let descriptions = listing.descriptions();
    report.total = descriptions.iter().map(|file| file.bytes).sum();
    make_room(&transfer, &descriptions)?;
    report.files(&transfer, &descriptions)?;
    let folder = snapshot;
    check(&folder)?;
    let index = descriptions.iter().any(|file| file.name == INDEX).then(|| {
        let path = folder.join(INDEX);
        fs::read(&path).map_err(|e| Error::io(&path, &e))
    });
    let weights = listing.weights(id, index.transpose()?.as_deref())?;
    report.total += weights.iter().map(|file| file.bytes).sum::<u64>();
    make_room(&transfer, &weights)?;
    report.files(&transfer, &weights)?;
    hub.cache.set_commit(id, &listing.commit)?;
    Ok(folder)
}

/// Refuses what will not fit, before anything is fetched.
fn make_room(transfer: &Transfer, files: &[RemoteFile]) -> Result<()> {
    let root = transfer.hub.cache.root();
    fs::create_dir_all(root).map_err(|e| disk::failed(root, &e))?;
    let missing: u64 = files.iter().map(|file| transfer.missing(file)).sum();
    // Not every file system tells.
    let Ok(free) = fs4::available_space(root) else { return Ok(()) };
    if missing > 0 && missing.saturating_add(SPARE) > free {
        let message = format!("{}: {missing} bytes are to come, {free} are free in {}", transfer.id, root.display());
        return Err(Error::new(Code::Io, message)
            .with_hint("make room with `pocketmlx gc` or `pocketmlx remove`, or set HF_HUB_CACHE to another disk"));
    }
    Ok(())
}

struct Report<'a, 'b> {
    progress: &'a mut HubProgress<'b>,
    item: String,
    began: Instant,
    total: u64,
}

impl Report<'_, '_> {
    /// Tells how far it is; an error when the caller cancels.
    fn tell(&mut self, done: u64, fetched: u64) -> Result<()> {
        let bytes_per_second = fetched as f64 / self.began.elapsed().as_secs_f64().max(1e-6);
        let (total, item) = (self.total, self.item.clone());
        match (self.progress)(&Progress { stage: Stage::Download, done, total, bytes_per_second, item }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::cancelled().context("downloading")),
        }
    }

    /// Runs something on a thread of its own, and reports meanwhile that nothing is there yet.
    fn wait<T: Send + 'static>(&mut self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (results, inbox) = channel();
        spawn(move || {
            // The caller may have given up.
            let _ = results.send(work());
        })?;
        loop {
            match inbox.recv_timeout(REPORT_EVERY) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => self.tell(0, 0)?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::internal("a download ended without a result"));
                }
            }
        }
    }

    /// Fetches files, the largest first, several at once.
    fn files(&mut self, transfer: &Arc<Transfer>, files: &[RemoteFile]) -> Result<()> {
        let mut queue: Vec<_> = files.to_vec();
        queue.sort_by_key(|file| std::cmp::Reverse(file.bytes));
        let queue = Arc::new(Mutex::new(VecDeque::from(queue)));
        let (results, inbox) = channel();
        for _ in 0..CONNECTIONS.min(files.len()) {
            let (transfer, queue, results) = (Arc::clone(transfer), Arc::clone(&queue), results.clone());
            spawn(move || {
                while let Some(file) = { queue.lock().pop_front() } {
                    let result = transfer.file(&file);
                    // After a failure, or when the caller has given up, nobody wants the rest.
                    if results.send((file.name, result)).is_err() || transfer.is_stopped() {
                        return;
                    }
                }
            })?;
        }
        drop(results);
        let outcome = self.collect(transfer, &inbox, files.len());
        if outcome.is_err() {
            // Ends the threads, which nobody waits for.
            transfer.stopped.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Takes in the results of `left` files, and reports meanwhile.
    fn collect(&mut self, transfer: &Transfer, inbox: &Receiver<(String, Result<()>)>, mut left: usize) -> Result<()> {
        while left > 0 {
            match inbox.recv_timeout(REPORT_EVERY) {
                Ok((name, result)) => {
                    result?;
                    self.item = name;
                    left -= 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::internal("a download ended without a result"));
                }
            }
            self.tell(transfer.done.load(Ordering::Relaxed), transfer.fetched.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = thread::Builder::new().name("pocketmlx-hub".into()).spawn(work);
    spawned.map(drop).map_err(|e| Error::internal(format!("a thread for a download could not be started: {e}")))
}
