//! Names of repositories and revisions.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The revision that is meant when none is named.
const MAIN: &str = "main";

/// `owner/name`, or `owner/name@revision` with a branch, tag or commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryId {
    owner: String,
    name: String,
    revision: String,
}

impl RepositoryId {
    /// `owner/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The folder in the cache, such as `models--owner--name`.
    pub(super) fn folder(&self) -> String {
        format!("models--{}--{}", self.owner, self.name)
    }

    /// The repository of a folder in the cache.
    pub(super) fn of_folder(folder: &str) -> Option<Self> {
        let (owner, name) = folder.strip_prefix("models--")?.split_once("--")?;
        format!("{owner}/{name}").parse().ok()
    }

    /// Whether the revision is a commit, which never changes.
    pub(super) fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }
}

/// Whether a text is a commit's hash.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl FromStr for RepositoryId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let word = |word: &str| {
            (1..=96).contains(&word.len())
                && !word.starts_with(['.', '-'])
                && !word.ends_with(['.', '-'])
                && !word.contains("--")
                && !word.contains("..")
                && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let names_revision = (1..=255).contains(&revision.len())
            && revision.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(".."))
            && revision.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        match id.split_once('/') {
            Some((owner, name)) if word(owner) && word(name) && names_revision => {
                Ok(Self { owner: owner.into(), name: name.into(), revision: revision.into() })
            }
            _ => Err(Error::invalid(format!("{text:?} is no name of a model on a hub"))
                .with_hint("write owner/name, or owner/name@revision, such as mlx-community/Qwen3-4B-4bit")),
        }
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if self.revision == MAIN { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        let id: RepositoryId = "mlx-community/Qwen3-0.6B-4bit@refs/pr/1".parse().unwrap();
        assert_eq!((id.id().as_str(), id.revision()), ("mlx-community/Qwen3-0.6B-4bit", "refs/pr/1"));
        assert_eq!(id.to_string(), "mlx-community/Qwen3-0.6B-4bit@refs/pr/1");
        let id: RepositoryId = "a/b".parse().unwrap();
        assert_eq!((id.revision(), id.to_string().as_str(), id.folder().as_str()), ("main", "a/b", "models--a--b"));
        assert_eq!(RepositoryId::of_folder("models--a--b"), Some(id));
        assert_eq!(RepositoryId::of_folder("datasets--a--b"), None);
        let commit: RepositoryId = format!("a/b@{}", "0f".repeat(20)).parse().unwrap();
        assert!(commit.is_pinned());
    }

    #[test]
    fn what_could_leave_the_cache_is_no_name() {
        for text in [
            "", "a", "a/b/c", "/b", "a/", "../b", "a/..", ".a/b", "a/b.", "a--b/c", "a/b@", "a/b@../x", "a/b@/x",
            "a/b@x//y", "a/b@x\0", "a\\b/c", "a/b c", "ä/b",
        ] {
            assert!(text.parse::<RepositoryId>().is_err(), "{text:?}");
        }
    }
}
