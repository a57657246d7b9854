//! Models of the Hugging Face hub: fetched safely into the cache that Python's `huggingface_hub` shares, found there
//! again, and removed.
//!
//! One download asks the hub once for the commit and the files of a revision; from then on everything is pinned to that
//! commit, and every file is checked against the hash that the hub gave. What happens to bytes is in [`fetch`], where
//! files lie in [`cache`], and how a server is spoken to in [`client`].

mod cache;
mod card;
mod client;
mod disk;
mod download;
mod fetch;
mod gguf;
mod hash;
mod listing;
mod metadata;
mod options;
mod partial;
mod quantization;
mod repository;
mod retry;
mod search;
mod transport;
mod ureq;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

pub use cache::{CachedModel, CachedRevision, Removed};
pub use metadata::{Gated, ModelMetadata, ModelVersion, VersionKind};
pub use options::{HubOptions, Token};
pub use quantization::ModelQuantization;
pub use repository::{GgufChoice, RepositoryId};
pub use search::{SearchOptions, SearchSort};
pub use transport::{Transport, TransportRequest, TransportResponse};

use crate::error::Result;
use crate::event::Progress;
use cache::Cache;
use client::Client;

/// Hears of progress; `Break` cancels.
pub type HubProgress<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// A hub, or mirrors of one, and the cache on this device.
#[derive(Clone)]
pub struct Hub {
    client: Arc<Client>,
    cache: Cache,
    offline: bool,
}

impl Hub {
    /// A hub by options, which come before the environment's `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`,
    /// `HF_HUB_CACHE` and `HF_HUB_OFFLINE`. Nothing is asked over the network yet.
    ///
    /// # Errors
    /// `InvalidArgument` for an endpoint that is no `http` or `https` address, or when no folder for the cache is known.
    pub fn new(options: HubOptions) -> Result<Self> {
        Self::with_transport(options, Arc::new(ureq::Ureq::new()))
    }

    /// The same, with transfers by the host's own means.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_transport(options: HubOptions, transport: Arc<dyn Transport>) -> Result<Self> {
        let settings = options.settle()?;
        Ok(Self {
            client: Arc::new(Client::new(settings.endpoints, settings.token, transport)),
            cache: Cache::new(settings.cache),
            offline: settings.offline,
        })
    }

    /// The folder, or GGUF file, of a model that is in the cache with all that a run needs.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no [`RepositoryId`]; `Io`.
    pub fn cached(&self, source: &str) -> Result<Option<PathBuf>> {
        self.cache.complete_snapshot(&source.parse()?)
    }

    /// Fetches what a run needs of a model and returns its folder. What lies in the cache is not fetched again, and what
    /// an earlier download left half-done is gone on with. Of a repository with GGUF files alone one is fetched, and its
    /// path returned: the one that `source` names, else the first of Q4_K_M, Q4_0, Q5_K_M, Q6_K, Q8_0 and the like.
    ///
    /// `progress` is called on this thread several times a second, and `Break` cancels; `check` sees the folder before
    /// any weight is fetched, but not that of a GGUF file, which says of itself what it is.
    ///
    /// # Errors
    /// `NotFound` for a repository, revision or file that is not there; `Network` with the address and what was
    /// answered; `CorruptFile` when what came is not what the hub announced, after tries; `Io`; `Cancelled`; and
    /// those of `check`.
    pub fn download(
        &self,
        source: &str,
        check: &dyn Fn(&std::path::Path) -> Result<()>,
        progress: &mut HubProgress<'_>,
    ) -> Result<PathBuf> {
        download::run(self, &source.parse()?, check, progress)
    }

    /// How a model's terms are accepted.
    pub(crate) fn access_hint(&self, id: &str) -> String {
        let page = format!("{}/{id}", self.client.endpoints.first().map_or("", String::as_str));
        match self.client.has_token() {
            true => format!("accept its terms at {page}, if that was not done with the account of the token"),
            false => format!("accept its terms at {page}, then set HF_TOKEN"),
        }
    }

    /// The models in the cache, by name.
    ///
    /// # Errors
    /// `Io`.
    pub fn list(&self) -> Result<Vec<CachedModel>> {
        self.cache.list()
    }

    /// A model in the cache, complete or not.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no `owner/name`; `Io`.
    pub fn cached_model(&self, source: &str) -> Result<Option<CachedModel>> {
        let id: RepositoryId = source.parse()?;
        if self.cache.repository(&id).is_dir() { self.cache.model(&id).map(Some) } else { Ok(None) }
    }

    /// Removes a model, all of its revisions; or one GGUF file of it, where `source` names that.
    ///
    /// # Errors
    /// `NotFound` when it is not in the cache; `Busy` while a download of it runs; `Io`.
    pub fn remove(&self, source: &str) -> Result<Removed> {
        self.cache.remove(&source.parse()?)
    }

    /// Removes snapshots of a model that no branch or tag leads to any longer while another is, downloads that were begun
    /// and that nobody goes on with, and blobs that no snapshot links; then, while the cache is larger than `keep_under`
    /// bytes, whole models, the one first that was not used for the longest time.
    ///
    /// # Errors
    /// `Io`.
    pub fn collect_garbage(&self, keep_under: Option<u64>) -> Result<Vec<Removed>> {
        self.cache.collect_garbage(keep_under)
    }

    /// Reads all files of the models in the cache and compares them with the hashes that they are named by. The
    /// names of those that differ; `progress` as for [`download`](Self::download).
    ///
    /// # Errors
    /// `Io`; `Cancelled`.
    pub fn verify(&self, progress: &mut HubProgress<'_>) -> Result<Vec<PathBuf>> {
        self.cache.verify(progress)
    }
}
