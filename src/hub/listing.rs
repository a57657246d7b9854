//! What a repository holds at a commit, and what of it a run needs.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::client::{Client, encode, network};
use super::repository::{RepositoryId, is_commit};
use crate::error::{Error, Result};

/// The list of shards.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// Longer names are refused.
const LONGEST_NAME: usize = 1024;

/// A repository at a commit.
#[derive(Debug)]
pub(super) struct Listing {
    /// The commit's hash.
    pub commit: String,
    pub files: Vec<RemoteFile>,
}

/// A file as the hub announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// The path in the repository.
    pub name: String,
    pub bytes: u64,
    pub hash: Hash,
}

/// What a file's content is checked against. It is also the name of the blob in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hash {
    /// SHA-256 of the content: large files.
    Sha256(String),
    /// Git's object id, SHA-1 of a header and the content: all others.
    Git(String),
}

impl Hash {
    pub fn hex(&self) -> &str {
        let (Self::Sha256(hex) | Self::Git(hex)) = self;
        hex
    }

    /// By the name of a blob.
    pub fn of_blob(name: &str) -> Option<Self> {
        let hex = name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        match name.len() {
            64 if hex => Some(Self::Sha256(name.to_owned())),
            40 if hex => Some(Self::Git(name.to_owned())),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// Asks the hub what a revision holds.
///
/// # Errors
/// Those of the client; `Network` for an answer that makes no sense or names files outside of the repository.
pub(super) fn fetch(client: &Client, id: &RepositoryId, stopped: &dyn Fn() -> bool) -> Result<Listing> {
    let path = format!("/api/models/{}/revision/{}?blobs=true", id.id(), encode(id.revision()));
    let body = client.text(&path, stopped).map_err(|error| error.context(id))?;
    Listing::parse(id, &body)
}

impl Listing {
    /// From the hub's answer.
    pub fn parse(id: &RepositoryId, body: &[u8]) -> Result<Self> {
        let wrong = |what: String| network(format!("{id}: the hub's list of files {what}"));
        let answer: Answer = serde_json::from_slice(body).map_err(|e| wrong(format!("is not understood: {e}")))?;
        if !is_commit(&answer.sha) {
            return Err(wrong(format!("has the commit {:?}", answer.sha)));
        }
        let mut files = Vec::new();
        for Sibling { rfilename: name, size, blob_id, lfs } in answer.siblings {
            if !stays_inside(&name) {
                let start: String = name.chars().take(80).collect();
                return Err(wrong(format!("names {start:?}, which may lead out of the repository"))
                    .with_hint("do not use this repository"));
            }
            let (bytes, hash) = match (lfs, size, blob_id) {
                (Some(Lfs { sha256, size }), ..) => (size, Hash::of_blob(&sha256)),
                (None, Some(size), Some(id)) => (size, Hash::of_blob(&id)),
                _ => (0, None),
            };
            let Some(hash) = hash else {
                return Err(wrong(format!("gives no size and hash of {name}")));
            };
            files.push(RemoteFile { name, bytes, hash });
        }
        Ok(Listing { commit: answer.sha, files })
    }
}

/// Whether a path stays in its folder, on every system.
pub(super) fn stays_inside(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && !name.contains(['\\', '\0'])
        && name.as_bytes().get(1) != Some(&b':')
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() <= 255)
}

impl Listing {
    /// The files that say what a model is and how its text works; the list of shards is one.
    pub fn descriptions(&self) -> Vec<RemoteFile> {
        let wanted = |name: &str| {
            let kind = name.rsplit('.').next().unwrap_or("");
            let template = name.strip_prefix("additional_chat_templates/").is_some_and(|rest| !rest.contains('/'));
            (!name.contains('/') && matches!(kind, "json" | "jinja" | "model" | "tiktoken" | "txt")) || template
        };
        self.files.iter().filter(|file| wanted(&file.name)).cloned().collect()
    }

    /// The files with weights: those of the index where there is one.
    ///
    /// # Errors
    /// `CorruptFile` for an index that names what is not in the repository; `NotFound` when there are no weights.
    pub fn weights(&self, id: &RepositoryId, index: Option<&[u8]>) -> Result<Vec<RemoteFile>> {
        let Some(index) = index else {
            let shard = |file: &&RemoteFile| {
                let name = &file.name;
                name.ends_with(".safetensors")
                    && !name.contains('/')
                    && !name.starts_with("consolidated")
                    && !name.starts_with("adapter")
            };
            let shards: Vec<_> = self.files.iter().filter(shard).cloned().collect();
            return if shards.is_empty() { Err(self.no_weights(id)) } else { Ok(shards) };
        };
        #[derive(Deserialize)]
        struct Index {
            weight_map: std::collections::BTreeMap<String, String>,
        }
        let index: Index =
            serde_json::from_slice(index).map_err(|e| Error::corrupt(id, format!("{INDEX} is not understood: {e}")))?;
        let names: BTreeSet<_> = index.weight_map.into_values().collect();
        let find = |name: &String| {
            let found = self.files.iter().find(|file| file.name == *name);
            found.cloned().ok_or_else(|| {
                let start: String = name.chars().take(80).collect();
                Error::corrupt(id, format!("{INDEX} names {start:?}, which is not in the repository"))
            })
        };
        names.iter().map(find).collect()
    }

    fn no_weights(&self, id: &RepositoryId) -> Error {
        Error::new(crate::error::Code::NotFound, format!("{id}: the repository holds no safetensors and no GGUF"))
            .with_hint("mlx-community has most models as MLX")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id() -> RepositoryId {
        "a/b".parse().unwrap()
    }

    fn listing(names: &[&str]) -> Result<Listing> {
        let siblings: Vec<_> =
            names.iter().map(|name| json!({"rfilename": name, "size": 3, "blobId": "a".repeat(40)})).collect();
        Listing::parse(&id(), json!({"sha": "b".repeat(40), "siblings": siblings}).to_string().as_bytes())
    }

    #[test]
    fn what_a_run_needs_is_chosen() {
        let all = [
            "config.json",
            "tokenizer.json",
            "README.md",
            "model-1.safetensors",
            "model-2.safetensors",
            "pytorch_model.bin",
            "onnx/model.onnx",
            "original/params.json",
            "chat_template.jinja",
            "additional_chat_templates/tool_use.jinja",
            "consolidated.safetensors",
            "x.gguf",
            INDEX,
        ];
        let listing = listing(&all).unwrap();
        let names = |files: Vec<RemoteFile>| files.into_iter().map(|file| file.name).collect::<Vec<_>>();
        assert_eq!(
            names(listing.descriptions()),
            ["config.json", "tokenizer.json", "chat_template.jinja", "additional_chat_templates/tool_use.jinja", INDEX]
        );
        assert_eq!(names(listing.weights(&id(), None).unwrap()), ["model-1.safetensors", "model-2.safetensors"]);
        let index = json!({"weight_map": {"x": "model-2.safetensors", "y": "model-2.safetensors"}}).to_string();
        assert_eq!(names(listing.weights(&id(), Some(index.as_bytes())).unwrap()), ["model-2.safetensors"]);
        let index = json!({"weight_map": {"x": "../../etc/passwd"}}).to_string();
        let error = listing.weights(&id(), Some(index.as_bytes())).err().unwrap();
        assert!(error.message().contains("../../etc/passwd"), "{error}");
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "x".repeat(4000);
        for name in
            ["../x", "a/../../x", "/etc/passwd", "\\\\host\\share", "c:\\x", "c:x", "a//b", "", "a\0b", "a\nb", &long]
        {
            let error = listing(&["config.json", name]).err().unwrap();
            assert!(error.message().contains("lead out"), "{name}: {error}");
        }
        assert!(listing(&["a..b/c d", "ünï"]).is_ok());
    }
}
