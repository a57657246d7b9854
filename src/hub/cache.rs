//! The cache, laid out as Python's `huggingface_hub` lays it out, so that each finds what the other fetched:
//!
//! ```text
//! models--owner--name/
//!   blobs/<hash>              contents; <hash>.incomplete while they come
//!   snapshots/<commit>/…      relative links to blobs, by the paths of the repository
//!   refs/<revision>           the commit of a branch or tag
//! .locks/models--owner--name/<hash>.lock
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::gguf;
use super::hash::Hasher;
use super::listing::{Hash, INDEX, RemoteFile};
use super::repository::{RepositoryId, is_commit};
use super::{HubProgress, disk};
use crate::error::{Code, Error, Result};
use crate::event::{Progress, Stage};
use crate::weights::gguf::names;

/// The end of the name of a half-done blob.
pub(super) const INCOMPLETE: &str = "incomplete";

/// A folder of models.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// A model in the cache.
#[derive(Debug, Clone, Serialize)]
pub struct CachedModel {
    /// `owner/name`.
    pub id: String,
    /// Bytes of all its blobs, each counted once, half-done ones included.
    pub bytes: u64,
    /// Its snapshots.
    pub revisions: Vec<CachedRevision>,
    /// When one of its files was last read or written, as far as the file system tells.
    /// In JSON, seconds since 1970.
    #[serde(serialize_with = "seconds")]
    pub last_used: SystemTime,
    /// Where it lies.
    pub path: PathBuf,
}

/// A snapshot in the cache.
#[derive(Debug, Clone, Serialize)]
pub struct CachedRevision {
    /// The commit's hash.
    pub commit: String,
    /// Branches and tags that led there.
    pub references: Vec<String>,
    /// Whether all is there that a run needs.
    pub complete: bool,
    /// Paths of GGUF models that are there with all of their parts, by their first one.
    pub gguf: Vec<String>,
    /// The folder with the model's files.
    pub path: PathBuf,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// `owner/name`.
    pub id: String,
    /// Bytes that the file system has back.
    pub bytes: u64,
    /// Whether nothing of the model is left.
    pub whole: bool,
}

impl Cache {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn repository(&self, id: &RepositoryId) -> PathBuf {
        self.root.join(id.folder())
    }

    pub fn snapshot(&self, id: &RepositoryId, commit: &str) -> PathBuf {
        self.repository(id).join("snapshots").join(commit)
    }

    pub fn blob(&self, id: &RepositoryId, hash: &Hash) -> PathBuf {
        self.repository(id).join("blobs").join(hash.hex())
    }

    pub fn lock(&self, id: &RepositoryId, hash: &Hash) -> PathBuf {
        self.locks(id).join(format!("{}.lock", hash.hex()))
    }

    fn locks(&self, id: &RepositoryId) -> PathBuf {
        self.root.join(".locks").join(id.folder())
    }

    /// Says that something of a model is being fetched, until the file is dropped. Several downloads may say so.
    pub fn hold(&self, id: &RepositoryId) -> Result<File> {
        let path = self.locks(id).join("download.lock");
        create_parent(&path)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| disk::failed(&path, &e))?;
        if let Err(error) = file.lock_shared() {
            tracing::warn!(path = %path.display(), %error, "downloads can't be locked here");
        }
        Ok(file)
    }

    /// The commit that a revision was last seen at.
    pub fn commit(&self, id: &RepositoryId) -> Result<Option<String>> {
        if id.is_pinned() {
            return Ok(Some(id.revision().to_owned()));
        }
        let path = self.repository(id).join("refs").join(id.revision());
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|commit| is_commit(commit))),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(Error::io(&path, &e)),
        }
    }

    /// Remembers the commit of a revision.
    pub fn set_commit(&self, id: &RepositoryId, commit: &str) -> Result<()> {
        if id.is_pinned() {
            return Ok(());
        }
        let path = self.repository(id).join("refs").join(id.revision());
        create_parent(&path)?;
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let written = fs::write(&part, commit).and_then(|()| fs::rename(&part, &path));
        written.map_err(|e| disk::failed(&path, &e))
    }

    /// The folder of a revision when all is there that a run needs; or the GGUF file that is named, or the best there is
    /// where there is no folder.
    pub fn complete_snapshot(&self, id: &RepositoryId) -> Result<Option<PathBuf>> {
        let Some(commit) = self.commit(id)? else { return Ok(None) };
        let folder = self.snapshot(id, &commit);
        if id.gguf().is_none() && is_complete(&folder) {
            return Ok(Some(folder));
        }
        let models = gguf_models(&folder)?;
        let paths: Vec<&str> = models.iter().map(String::as_str).collect();
        Ok(gguf::choose(&paths, id.gguf()).map(|path| folder.join(path)))
    }

    /// Puts a link to a blob into a snapshot.
    pub fn link(&self, id: &RepositoryId, commit: &str, file: &RemoteFile) -> Result<()> {
        let link = self.snapshot(id, commit).join(&file.name);
        create_parent(&link)?;
        let up = "../".repeat(1 + file.name.split('/').count());
        let target = format!("{up}blobs/{}", file.hash.hex());
        if fs::read_link(&link).is_ok_and(|found| found == Path::new(&target)) {
            return Ok(());
        }
        // Under another name first: a reader finds the old link or the new one.
        let part = link.with_file_name(format!(".{}.{}.part", file.hash.hex(), std::process::id()));
        let _ = fs::remove_file(&part);
        let linked = symlink(&target, &part, &self.blob(id, &file.hash)).and_then(|()| fs::rename(&part, &link));
        linked.map_err(|e| disk::failed(&link, &e))
    }

    pub fn list(&self) -> Result<Vec<CachedModel>> {
        let mut models = Vec::new();
        for entry in entries(&self.root)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(id) = RepositoryId::of_folder(&name) {
                models.push(self.model(&id)?);
            }
        }
        models.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(models)
    }

    pub fn model(&self, id: &RepositoryId) -> Result<CachedModel> {
        let path = self.repository(id);
        let (mut bytes, mut last_used) = (0, SystemTime::UNIX_EPOCH);
        for entry in entries(&path.join("blobs"))? {
            let Ok(metadata) = entry.metadata() else { continue };
            bytes += metadata.len();
            for time in [metadata.accessed(), metadata.modified()].into_iter().flatten() {
                last_used = last_used.max(time);
            }
        }
        let references = references(&path.join("refs"), "")?;
        let mut revisions = Vec::new();
        for entry in entries(&path.join("snapshots"))? {
            let commit = entry.file_name().to_string_lossy().into_owned();
            let gguf = gguf_models(&entry.path())?;
            let of_this = references.iter().filter(|(_, other)| *other == commit);
            revisions.push(CachedRevision {
                references: of_this.map(|(name, _)| name.clone()).collect(),
                complete: is_complete(&entry.path()) || !gguf.is_empty(),
                gguf,
                path: entry.path(),
                commit,
            });
        }
        Ok(CachedModel { id: id.id(), bytes, revisions, last_used, path })
    }

    /// Bytes of the safetensors in a snapshot.
    pub fn weight_bytes(&self, snapshot: &Path) -> Result<Option<u64>> {
        let shards = entries(snapshot)?.into_iter().map(|entry| entry.path());
        let shards = shards.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
        let sizes: Vec<_> = shards.filter_map(|path| Some(fs::metadata(path).ok()?.len())).collect();
        Ok((!sizes.is_empty()).then(|| sizes.iter().sum()))
    }

    pub fn remove(&self, id: &RepositoryId) -> Result<Removed> {
        let path = self.repository(id);
        if !path.is_dir() {
            return Err(Error::new(Code::NotFound, format!("{} is not in the cache {}", id.id(), self.root.display()))
                .with_hint("`pocketmlx list` prints what is"));
        }
        if self.is_busy(id)? {
            return Err(Error::new(Code::Busy, format!("{}: a download of it is running", id.id()))
                .with_hint("wait for it, or stop it first"));
        }
        if id.gguf().is_some() && self.remove_gguf(id)? {
            let bytes = self.remove_unused(id, &self.model(id)?)?;
            return Ok(Removed { id: id.to_string(), bytes, whole: true });
        }
        let bytes = self.model(id)?.bytes;
        fs::remove_dir_all(&path).map_err(|e| Error::io(&path, &e))?;
        let _ = fs::remove_dir_all(self.locks(id));
        Ok(Removed { id: id.id(), bytes, whole: true })
    }

    /// Takes the links of a GGUF model out of the snapshot of its revision. `false` where nothing else is in the cache, so
    /// that all of the model is to go.
    fn remove_gguf(&self, id: &RepositoryId) -> Result<bool> {
        let Some(first) = self.complete_snapshot(id)? else {
            return Err(Error::new(Code::NotFound, format!("{id} is not in the cache {}", self.root.display()))
                .with_hint("`pocketmlx list` prints what is"));
        };
        let others = |revision: &CachedRevision| revision.gguf.iter().any(|path| revision.path.join(path) != first);
        if !self.model(id)?.revisions.iter().any(|revision| others(revision) || is_complete(&revision.path)) {
            return Ok(false);
        }
        let name = first.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for part in names::parts(name) {
            let link = first.with_file_name(part);
            fs::remove_file(&link).map_err(|e| Error::io(&link, &e))?;
        }
        Ok(true)
    }

    pub fn collect_garbage(&self, keep_under: Option<u64>) -> Result<Vec<Removed>> {
        let mut removed = Vec::new();
        for model in self.list()? {
            let id: RepositoryId = model.id.parse()?;
            let bytes = self.remove_unused(&id, &model)?;
            // A folder without snapshots is none that Python's client understands.
            let whole = entries(&model.path.join("snapshots"))?.is_empty() && !self.is_busy(&id)?;
            if whole {
                let bytes = bytes + self.remove(&id)?.bytes;
                removed.push(Removed { id: model.id, bytes, whole });
            } else if bytes > 0 {
                removed.push(Removed { id: model.id, bytes, whole });
            }
        }
        if let Some(keep_under) = keep_under {
            let mut models = self.list()?;
            models.sort_by_key(|model| model.last_used);
            let mut bytes: u64 = models.iter().map(|model| model.bytes).sum();
            for model in models {
                if bytes <= keep_under {
                    break;
                }
                match self.remove(&model.id.parse()?) {
                    Ok(gone) => {
                        bytes -= model.bytes;
                        removed.push(gone);
                    }
                    // One that is being fetched is in use.
                    Err(error) if error.code() == Code::Busy => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(removed)
    }

    /// Whether something of a model is being fetched.
    fn is_busy(&self, id: &RepositoryId) -> Result<bool> {
        for entry in entries(&self.locks(id))? {
            if !is_free(&entry.path())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes what is not needed while nobody fetches the model: snapshots that no branch or tag names, if another that is
    /// named is complete, or if they are half-done; half-done blobs; blobs that no snapshot links.
    ///
    /// Half-done are snapshots of an interrupted download. Those of other clients may lack weights on purpose; they
    /// have a name.
    fn remove_unused(&self, id: &RepositoryId, model: &CachedModel) -> Result<u64> {
        let busy = self.is_busy(id)?;
        let named = |revision: &CachedRevision| revision.complete && !revision.references.is_empty();
        let superseded = model.revisions.iter().any(named);
        let interrupted = entries(&model.path.join("blobs"))?
            .iter()
            .any(|entry| entry.path().extension().is_some_and(|extension| extension == INCOMPLETE));
        let mut used = Vec::new();
        for revision in &model.revisions {
            let unwanted = superseded || (interrupted && !revision.complete);
            if !busy && unwanted && revision.references.is_empty() {
                fs::remove_dir_all(&revision.path).map_err(|e| Error::io(&revision.path, &e))?;
            } else {
                linked_blobs(&revision.path, &mut used)?;
            }
        }
        let mut bytes = 0;
        for entry in entries(&model.path.join("blobs"))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hash = name.split('.').next().unwrap_or(&name);
            let lock = self.locks(id).join(format!("{hash}.lock"));
            if used.contains(&name) || (lock.exists() && !is_free(&lock)?) {
                continue;
            }
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            fs::remove_file(entry.path()).map_err(|e| Error::io(&entry.path(), &e))?;
        }
        Ok(bytes)
    }

    pub fn verify(&self, progress: &mut HubProgress<'_>) -> Result<Vec<PathBuf>> {
        let models = self.list()?;
        let total = models.iter().map(|model| model.bytes).sum();
        let (mut wrong, mut done) = (Vec::new(), 0);
        let began = std::time::Instant::now();
        for model in models {
            for entry in entries(&model.path.join("blobs"))? {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Some(hash) = Hash::of_blob(&name) else { continue };
                let path = entry.path();
                let length = entry.metadata().map_err(|e| Error::io(&path, &e))?.len();
                let mut hasher = Hasher::new(&hash, length);
                let before = done;
                hasher.read(&path, length, &mut |read| {
                    done = before + read;
                    let bytes_per_second = done as f64 / began.elapsed().as_secs_f64().max(1e-6);
                    let item = model.id.clone();
                    match progress(&Progress { stage: Stage::Check, done, total, bytes_per_second, item }) {
                        std::ops::ControlFlow::Continue(()) => Ok(()),
                        std::ops::ControlFlow::Break(()) => Err(Error::cancelled()),
                    }
                })?;
                if !hasher.matches(&hash) {
                    wrong.push(path);
                }
            }
        }
        Ok(wrong)
    }
}

/// Files that a tokenizer may be in. This version reads the first; a model with another is here, though it can't run.
const TOKENIZERS: [&str; 7] = [
    "tokenizer.json",
    "tokenizer.model",
    "tekken.json",
    "vocab.json",
    "tiktoken.model",
    "spiece.model",
    "rwkv_vocab_v20230424.txt",
];

/// Whether a snapshot has a configuration, a tokenizer and all weights that it names.
fn is_complete(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    if !has("config.json") || !TOKENIZERS.iter().any(|name| has(name)) {
        return false;
    }
    let Ok(index) = fs::read(folder.join(INDEX)) else {
        return entries(folder).is_ok_and(|entries| {
            entries.iter().any(|entry| {
                entry.path().extension().is_some_and(|extension| extension == "safetensors") && entry.path().is_file()
            })
        });
    };
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap_or_default();
    let Some(map) = index["weight_map"].as_object().filter(|map| !map.is_empty()) else { return false };
    map.values().all(|shard| shard.as_str().is_some_and(|shard| folder.join(shard).is_file()))
}

/// The GGUF models in a snapshot whose parts are all there: paths of the first ones.
fn gguf_models(snapshot: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in entries(&snapshot.join(&folder))? {
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(format!("{path}/"));
            } else if names::is_model(&path) && names::parts(&path).iter().all(|part| snapshot.join(part).is_file()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names of the blobs that links below a folder lead to.
fn linked_blobs(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in entries(folder)? {
        let path = entry.path();
        if let Ok(target) = fs::read_link(&path) {
            if let Some(Component::Normal(name)) = target.components().next_back() {
                found.push(name.to_string_lossy().into_owned());
            }
        } else if path.is_dir() {
            linked_blobs(&path, found)?;
        }
    }
    Ok(())
}

/// Names below `refs` with what they hold.
fn references(folder: &Path, prefix: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in entries(folder)? {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(references(&entry.path(), &format!("{name}/"))?);
        } else if let Ok(commit) = fs::read_to_string(entry.path()) {
            found.push((name, commit.trim().to_owned()));
        }
    }
    Ok(found)
}

/// What lies in a folder; nothing when there is none.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.filter_map(std::result::Result::ok).collect()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(e) => Err(Error::io(folder, &e)),
    }
}

fn seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Whether nobody holds a lock.
fn is_free(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(|e| Error::io(path, &e))?;
    Ok(file.try_lock().is_ok())
}

pub(super) fn create_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|e| disk::failed(parent, &e))
}

#[cfg(unix)]
fn symlink(target: &str, link: &Path, _blob: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Links need a privilege on Windows, where Python copies as well.
#[cfg(not(unix))]
fn symlink(_target: &str, link: &Path, blob: &Path) -> io::Result<()> {
    fs::hard_link(blob, link).or_else(|_| fs::copy(blob, link).map(drop))
}
