//! What a hub, or else the cache, tells of a model without its weights.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{encode, network};
use super::listing::Listing;
use super::quantization::ModelQuantization;
use super::repository::{RepositoryId, is_commit};
use super::{Hub, card};
use crate::error::{Code, Error, Result};
use crate::weights::gguf::names;

/// The longest config.json that is read.
const LONGEST_CONFIG: u64 = 16 << 20;
/// Names of branches and tags that are kept.
const VERSIONS: usize = 1000;

/// What is known of a model. `None` and empty lists are what was not told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModelMetadata {
    /// `owner/name`.
    pub id: String,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit's hash.
    pub commit: Option<String>,
    /// Whether it stems from the cache, because the hub was not asked or gave no answer.
    pub from_cache: bool,
    /// When the repository was last changed, as the hub writes it (ISO 8601, UTC).
    pub last_modified: Option<String>,
    /// The licence's name on the model card.
    pub license: Option<String>,
    /// Where the licence's text is, when the card names that.
    pub license_link: Option<String>,
    /// Whether its terms must be accepted first.
    pub gated: Gated,
    /// Whether only some accounts see it.
    pub private: bool,
    /// The models that it was made from.
    pub base_models: Vec<String>,
    /// How: `quantized`, `finetune`, `adapter`, `merge`.
    pub base_relation: Option<String>,
    /// The task in the hub's words, such as `text-generation`.
    pub task: Option<String>,
    /// The library that the hub names, such as `mlx`.
    pub library: Option<String>,
    /// Languages on the model card.
    pub languages: Vec<String>,
    /// The hub's tags.
    pub tags: Vec<String>,
    /// Downloads of the last month.
    pub downloads: Option<u64>,
    /// How many like it.
    pub likes: Option<u64>,
    /// `model_type` of its configuration.
    pub model_type: Option<String>,
    /// How the weights are stored.
    pub quantization: Option<ModelQuantization>,
    /// The GGUF file that is meant, by its path in the repository.
    pub gguf: Option<String>,
    /// Bytes of the safetensors, or of the GGUF file.
    pub weight_bytes: Option<u64>,
    /// Bytes that a download fetches: weights, configuration, tokenizer.
    pub download_bytes: Option<u64>,
    /// Bytes of all files of the repository.
    pub total_bytes: Option<u64>,
    /// Whether it lies in the cache with all that a run needs.
    pub cached: bool,
    /// Branches and tags.
    pub versions: Vec<ModelVersion>,
}

/// Whether a model's terms must be accepted on its page before files are given out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gated {
    /// Nothing is to be accepted.
    #[default]
    No,
    /// Access is given at once.
    Auto,
    /// The authors decide.
    Manual,
}

/// A branch or tag of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelVersion {
    /// Its name, to be written behind `@`.
    pub name: String,
    /// Whether it is a branch or a tag.
    pub kind: VersionKind,
    /// The commit's hash.
    pub commit: String,
}

/// What a name of a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionKind {
    /// It moves.
    Branch,
    /// It stays.
    Tag,
    /// A name in the cache, which does not tell.
    Reference,
}

/// A model in the hub's answers. Lists of models leave out most of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Answer {
    id: String,
    sha: Option<String>,
    last_modified: Option<String>,
    gated: Value,
    private: bool,
    card_data: Value,
    config: Value,
    #[serde(rename = "pipeline_tag")]
    pipeline_tag: Option<String>,
    #[serde(rename = "library_name")]
    library_name: Option<String>,
    tags: Vec<String>,
    downloads: Option<u64>,
    likes: Option<u64>,
    safetensors: Value,
}

impl Answer {
    /// The same in our words.
    pub fn metadata(self, revision: &str) -> ModelMetadata {
        let mut metadata = ModelMetadata {
            revision: revision.to_owned(),
            commit: self.sha.filter(|sha| is_commit(sha)),
            last_modified: self.last_modified,
            gated: match self.gated.as_str() {
                Some("manual") => Gated::Manual,
                Some(_) => Gated::Auto,
                None if self.gated == Value::Bool(true) => Gated::Auto,
                None => Gated::No,
            },
            private: self.private,
            task: self.pipeline_tag,
            library: self.library_name,
            downloads: self.downloads,
            likes: self.likes,
            model_type: card::text(&self.config, "model_type"),
            weight_bytes: weight_bytes(&self.safetensors),
            quantization: ModelQuantization::detect(Some(&self.config), &self.tags, &self.id),
            tags: self.tags,
            id: self.id,
            ..ModelMetadata::default()
        };
        metadata.take_card(&self.card_data);
        metadata
    }
}

impl ModelMetadata {
    /// Takes over what a model card says, and what tags say where it doesn't.
    fn take_card(&mut self, card: &Value) {
        let tags = &self.tags;
        let tagged =
            |prefix: &'static str| tags.iter().filter_map(move |tag| Some(tag.strip_prefix(prefix)?.to_owned()));
        let license = card::text(card, "license").filter(|license| license != "other");
        let license = license.or_else(|| card::text(card, "license_name")).or_else(|| card::text(card, "license"));
        let license = license.or_else(|| tagged("license:").next());
        let mut base_models = card::texts(card, "base_model");
        if base_models.is_empty() {
            base_models = tagged("base_model:").filter(|name| !name.contains(':')).collect();
        }
        // The hub works the relation out: `base_model:quantized:owner/name`.
        let relation = tagged("base_model:").find_map(|tag| Some(tag.split_once(':')?.0.to_owned()));
        self.base_relation = card::text(card, "base_model_relation").or(relation);
        self.license = license;
        self.base_models = base_models;
        self.license_link = card::text(card, "license_link");
        self.languages = card::texts(card, "language");
        self.task = self.task.take().or_else(|| card::text(card, "pipeline_tag"));
        self.library = self.library.take().or_else(|| card::text(card, "library_name"));
        if self.tags.is_empty() {
            self.tags = card::texts(card, "tags");
        }
    }

    /// Takes over what a GGUF file's name says.
    fn take_gguf(&mut self, name: &str) {
        self.quantization =
            ModelQuantization::detect(None, &[], name.trim_end_matches(".gguf")).or_else(|| self.quantization.take());
        self.gguf = Some(name.to_owned());
    }

    /// Takes over what a config.json says, which knows more of quantization than the hub's summary of it.
    pub(crate) fn take_config(&mut self, config: &[u8]) {
        // One that is not understood is complained about where it is needed.
        let Ok(config) = &serde_json::from_slice(config) else { return };
        self.model_type = card::text(config, "model_type").or_else(|| self.model_type.take());
        self.quantization =
            ModelQuantization::detect(Some(config), &self.tags, &self.id).or_else(|| self.quantization.take());
    }
}

/// Bytes of the tensors, from how many numbers there are of each type.
fn weight_bytes(safetensors: &Value) -> Option<u64> {
    let counts = safetensors.get("parameters")?.as_object()?;
    counts.iter().try_fold(0u64, |sum, (dtype, count)| {
        let bytes = match dtype.as_str() {
            "F64" | "I64" | "U64" => 8,
            "F32" | "I32" | "U32" => 4,
            "F16" | "BF16" | "I16" | "U16" => 2,
            "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "I8" | "U8" | "BOOL" => 1,
            _ => return None,
        };
        sum.checked_add(count.as_u64()?.checked_mul(bytes)?)
    })
}

#[derive(Deserialize)]
struct References {
    #[serde(default)]
    branches: Vec<Reference>,
    #[serde(default)]
    tags: Vec<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    name: String,
    target_commit: String,
}

impl Hub {
    /// What is known of a model, and its config.json where it is to be had.
    pub(crate) fn metadata(&self, id: &RepositoryId) -> Result<(ModelMetadata, Option<Vec<u8>>)> {
        let asked = if self.offline { Err(offline(id)) } else { self.ask_metadata(id) };
        let (mut metadata, config) = match asked {
            Ok(told) => told,
            // What is here is told, whatever has become of it there.
            Err(error) => self.kept_metadata(id)?.ok_or(error)?,
        };
        if let Some(config) = &config {
            metadata.take_config(config);
        }
        metadata.cached = self.cache.complete_snapshot(id)?.is_some();
        Ok((metadata, config))
    }

    fn ask_metadata(&self, id: &RepositoryId) -> Result<(ModelMetadata, Option<Vec<u8>>)> {
        let path = format!("/api/models/{}/revision/{}?blobs=true", id.id(), encode(id.revision()));
        let body = self.client.text(&path, &|| false).map_err(|error| error.context(id))?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|e| network(format!("{id}: what the hub tells of it is not understood: {e}")))?;
        let mut metadata = answer.metadata(id.revision());
        metadata.id = id.id();
        let listing = Listing::parse(id, &body)?;
        let sum = |files: &[super::listing::RemoteFile]| files.iter().map(|file| file.bytes).sum::<u64>();
        metadata.total_bytes = Some(sum(&listing.files));
        // Several that may be meant are told by a download.
        let gguf = if id.gguf().is_some() { listing.gguf(id)? } else { listing.gguf(id).unwrap_or_default() };
        if let Some(files) = gguf {
            metadata.weight_bytes = Some(sum(&files));
            metadata.download_bytes = Some(sum(&files));
            metadata.take_gguf(&files[0].name);
        } else if let Ok(weights) = listing.weights(id, None) {
            metadata.weight_bytes = Some(sum(&weights));
            metadata.download_bytes = Some(sum(&weights) + sum(&listing.descriptions()));
        }
        metadata.versions = self.versions(id)?;
        let described = metadata.gguf.is_none() && listing.files.iter().any(|file| file.name == "config.json");
        let config = match described {
            true => self.remote_config(&metadata)?,
            false => None,
        };
        Ok((metadata, config))
    }

    /// Branches and tags.
    fn versions(&self, id: &RepositoryId) -> Result<Vec<ModelVersion>> {
        let body = match self.client.text(&format!("/api/models/{}/refs", id.id()), &|| false) {
            Ok(body) => body,
            // Not every mirror knows of them.
            Err(error) if error.code() == Code::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.context(id)),
        };
        let References { branches, tags } = serde_json::from_slice(&body)
            .map_err(|e| network(format!("{id}: the hub's list of branches and tags is not understood: {e}")))?;
        let version =
            |kind| move |Reference { name, target_commit }| ModelVersion { name, kind, commit: target_commit };
        let branches = branches.into_iter().map(version(VersionKind::Branch));
        Ok(branches.chain(tags.into_iter().map(version(VersionKind::Tag))).take(VERSIONS).collect())
    }

    /// A repository's config.json; `None` where there is none, or where its terms must be accepted first.
    pub(crate) fn remote_config(&self, metadata: &ModelMetadata) -> Result<Option<Vec<u8>>> {
        let commit = encode(metadata.commit.as_deref().unwrap_or(&metadata.revision));
        match self.client.text(&format!("/{}/resolve/{commit}/config.json", metadata.id), &|| false) {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.code() == Code::NotFound || metadata.gated != Gated::No => Ok(None),
            Err(error) => Err(error.context(&metadata.id)),
        }
    }

    /// What the cache knows of a model.
    fn kept_metadata(&self, id: &RepositoryId) -> Result<Option<(ModelMetadata, Option<Vec<u8>>)>> {
        let Some(commit) = self.cache.commit(id)? else { return Ok(None) };
        let folder = self.cache.snapshot(id, &commit);
        let gguf = self.cache.complete_snapshot(id)?.filter(|path| path.is_file());
        let config = read(&folder.join("config.json"))?.filter(|_| gguf.is_none());
        if config.is_none() && gguf.is_none() {
            return Ok(None);
        }
        let mut metadata = ModelMetadata {
            id: id.id(),
            revision: id.revision().to_owned(),
            commit: Some(commit),
            from_cache: true,
            ..ModelMetadata::default()
        };
        if let Some(readme) = read(&folder.join("README.md"))? {
            metadata.take_card(&card::front_matter(&readme));
        }
        let model = self.cache.model(id)?;
        let named = model.revisions.iter().flat_map(|revision| {
            let version = |name: &String| ModelVersion {
                name: name.clone(),
                kind: VersionKind::Reference,
                commit: revision.commit.clone(),
            };
            revision.references.iter().map(version)
        });
        metadata.versions = named.collect();
        metadata.weight_bytes = self.cache.weight_bytes(&folder)?;
        if let Some(path) = gguf {
            let name = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
            let size = |part: String| fs::metadata(folder.join(part)).map_or(0, |metadata| metadata.len());
            metadata.weight_bytes = Some(names::parts(&name).into_iter().map(size).sum());
            metadata.take_gguf(&name);
        }
        Ok(Some((metadata, config)))
    }
}

fn offline(id: &RepositoryId) -> Error {
    Error::new(Code::NotFound, format!("{id} is not in the cache"))
        .with_hint("HF_HUB_OFFLINE keeps the hub from being asked")
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() <= LONGEST_CONFIG => fs::read(path).map(Some).map_err(|e| Error::io(path, &e)),
        _ => Ok(None),
    }
}
