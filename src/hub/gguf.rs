//! Which GGUF file of a repository is meant: one that the user names, or else one of a good quality for its size.

use super::listing::{Listing, RemoteFile};
use super::repository::{GgufChoice, RepositoryId};
use crate::error::{Code, Error, Result};
use crate::weights::gguf::names;

/// Quantizations from the one to take first. Those that are not read are missing.
const PREFERRED: [&str; 22] = [
    "Q4_K_M", "Q4_K_S", "Q4_K_L", "Q4_K_XL", "Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS", "MXFP4", "Q5_K_M", "Q5_K_S", "Q5_0",
    "Q5_1", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "BF16", "F16", "F32",
];
/// How many names a message spells out.
const SPELLED_OUT: usize = 12;

/// The file that is meant among the paths of a repository; of a model in parts the first.
pub(super) fn choose<'a>(paths: &[&'a str], choice: Option<&GgufChoice>) -> Option<&'a str> {
    // Of several the plainest name.
    let plainest = |quantization: &str| {
        let fitting = models(paths).filter(|path| names::is_quantized_as(path, quantization));
        fitting.min_by_key(|path| (path.len(), *path))
    };
    match choice {
        Some(GgufChoice::File(file)) => paths.iter().copied().find(|path| path == file),
        Some(GgufChoice::Quantization(quantization)) => plainest(quantization),
        None => PREFERRED.iter().find_map(|quantization| plainest(quantization)).or_else(|| {
            let mut all = models(paths);
            all.next().filter(|_| all.next().is_none())
        }),
    }
}

fn models<'a>(paths: &[&'a str]) -> impl Iterator<Item = &'a str> {
    paths.iter().copied().filter(|path| names::is_model(path))
}

impl Listing {
    /// The GGUF model that is to be fetched, if one is: all of its files, first the first.
    ///
    /// # Errors
    /// `NotFound` naming what there is, where none is what was asked for, or several may be meant; `CorruptFile` when
    /// parts are missing.
    pub fn gguf(&self, id: &RepositoryId) -> Result<Option<Vec<RemoteFile>>> {
        let paths: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let has_safetensors = paths.iter().any(|path| path.ends_with(".safetensors") && !path.contains('/'));
        if id.gguf().is_none() && (has_safetensors || models(&paths).next().is_none()) {
            return Ok(None);
        }
        let Some(first) = choose(&paths, id.gguf()) else { return Err(none_of(&paths, id)) };
        let file = |name: String| {
            let found = self.files.iter().find(|file| file.name == name).cloned();
            found.ok_or_else(|| Error::corrupt(id, format_args!("{name} is missing, which belongs to {first}")))
        };
        names::parts(first).into_iter().map(file).collect::<Result<_>>().map(Some)
    }
}

fn none_of(paths: &[&str], id: &RepositoryId) -> Error {
    let all: Vec<_> = models(paths).collect();
    let shown = all.iter().take(SPELLED_OUT).copied().collect::<Vec<_>>().join(", ");
    let more = if all.len() > SPELLED_OUT { ", …" } else { "" };
    let message = match id.gguf() {
        Some(_) => format!("{id}: the repository holds no such GGUF file"),
        None => format!("{id}: the repository holds several GGUF files"),
    };
    Error::new(Code::NotFound, message).with_hint(match all.as_slice() {
        [] => "it holds none at all; name it without a quantization".to_owned(),
        _ => format!("name one of them, as {}/FILE: {shown}{more}", id.id()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_file_is_taken_or_a_good_one() {
        let paths = [
            "README.md",
            "M-Q8_0.gguf",
            "M-Q4_0.gguf",
            "M-Q4_K_M.gguf",
            "M-imat-Q4_K_M.gguf",
            "mmproj-Q4_K_M.gguf",
            "BF16/M-BF16-00001-of-00002.gguf",
            "BF16/M-BF16-00002-of-00002.gguf",
        ];
        let quantization = |name: &str| Some(GgufChoice::Quantization(name.into()));
        for (choice, expected) in [
            (None, Some("M-Q4_K_M.gguf")),
            (quantization("q8_0"), Some("M-Q8_0.gguf")),
            (quantization("BF16"), Some("BF16/M-BF16-00001-of-00002.gguf")),
            (quantization("Q2_K"), None),
            (Some(GgufChoice::File("M-Q4_0.gguf".into())), Some("M-Q4_0.gguf")),
            (Some(GgufChoice::File("x.gguf".into())), None),
        ] {
            assert_eq!(choose(&paths, choice.as_ref()), expected, "{choice:?}");
        }
        assert_eq!(choose(&["M-Q8_0.gguf", "M-Q4_0.gguf"], None), Some("M-Q4_0.gguf"));
        assert_eq!(choose(&["model.gguf"], None), Some("model.gguf"));
        assert_eq!(choose(&["a.gguf", "b.gguf"], None), None);
    }
}
