//! Names of repositories and revisions.

use std::fmt;
use std::str::FromStr;

use super::listing;
use crate::error::{Error, Result};

/// The revision that is meant when none is named.
const MAIN: &str = "main";

/// `owner/name`, or `owner/name@revision` with a branch, tag or commit. Of a repository with GGUF files
/// `owner/name:Q4_K_M` is the one that is quantized so, and `owner/name/FILE.gguf` that of this path; a revision may
/// follow, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryId {
    owner: String,
    name: String,
    revision: String,
    gguf: Option<GgufChoice>,
}

/// Which GGUF file of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GgufChoice {
    /// One whose name says that it is quantized in this way, such as `Q4_K_M`.
    Quantization(String),
    /// The one of this path in the repository.
    File(String),
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

    /// The GGUF file that is meant, where one is named.
    pub fn gguf(&self) -> Option<&GgufChoice> {
        self.gguf.as_ref()
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
        let (path, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let (id, gguf) = match path.split_once(':') {
            Some((id, quantization)) => (id, Some(GgufChoice::Quantization(quantization.to_owned()))),
            None => match path.match_indices('/').nth(1) {
                Some((at, _)) => (&path[..at], Some(GgufChoice::File(path[at + 1..].to_owned()))),
                None => (path, None),
            },
        };
        let names_file = match &gguf {
            Some(GgufChoice::File(file)) => file.to_lowercase().ends_with(".gguf") && listing::stays_inside(file),
            Some(GgufChoice::Quantization(quantization)) => {
                (1..=64).contains(&quantization.len())
                    && quantization.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            }
            None => true,
        };
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
            Some((owner, name)) if word(owner) && word(name) && names_revision && names_file => {
                Ok(Self { owner: owner.into(), name: name.into(), revision: revision.into(), gguf })
            }
            _ => Err(Error::invalid(format!("{text:?} is no name of a model on a hub")).with_hint(
                "write owner/name, or owner/name@revision, such as mlx-community/Qwen3-4B-4bit; of GGUF files \
                 owner/name:Q4_K_M or owner/name/FILE.gguf",
            )),
        }
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        match &self.gguf {
            Some(GgufChoice::Quantization(quantization)) => write!(f, ":{quantization}")?,
            Some(GgufChoice::File(file)) => write!(f, "/{file}")?,
            None => {}
        }
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
        let id: RepositoryId = "a/b:Q4_K_M@v1".parse().unwrap();
        assert_eq!((id.gguf(), id.revision()), (Some(&GgufChoice::Quantization("Q4_K_M".into())), "v1"));
        assert_eq!(id.to_string(), "a/b:Q4_K_M@v1");
        let id: RepositoryId = "a/b/c/d.gguf".parse().unwrap();
        assert_eq!((id.gguf(), id.id().as_str()), (Some(&GgufChoice::File("c/d.gguf".into())), "a/b"));
        assert_eq!(id.to_string(), "a/b/c/d.gguf");
        let commit: RepositoryId = format!("a/b@{}", "0f".repeat(20)).parse().unwrap();
        assert!(commit.is_pinned());
    }

    #[test]
    fn what_could_leave_the_cache_is_no_name() {
        for text in [
            "",
            "a",
            "a/b/c",
            "/b",
            "a/",
            "../b",
            "a/..",
            ".a/b",
            "a/b.",
            "a--b/c",
            "a/b@",
            "a/b@../x",
            "a/b@/x",
            "a/b@x//y",
            "a/b@x\0",
            "a\\b/c",
            "a/b c",
            "ä/b",
            "a/b:",
            "a/b:x/y",
            "a/b:../x",
            "a/b/../x.gguf",
            "a/b//x.gguf",
            "a/b/x.txt",
            "a/b/c:x.gguf",
        ] {
            assert!(text.parse::<RepositoryId>().is_err(), "{text:?}");
        }
    }
}
