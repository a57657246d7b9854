//! Which files of a model hold its tensors.

use std::collections::BTreeMap;

use super::unique::UniqueMap;
use super::{ModelFiles, files, shown};
use crate::error::{Code, Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A file of tensors.
pub(super) struct Shard {
    /// Its name in the model.
    pub file: String,
    /// Tensors that the index says are in it; none without an index.
    pub promised: Vec<String>,
}

/// The shards that the index names; without an index, all `model*.safetensors`, as mlx-lm takes them.
pub(super) fn shards(files: &ModelFiles) -> Result<Vec<Shard>> {
    if let Some(index) = files.read(INDEX)? {
        return indexed(&files.file_label(INDEX), (*index).as_ref());
    }
    let names = files.list("")?;
    let shards: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("model") && name.ends_with(".safetensors"))
        .map(|file| Shard { file: file.clone(), promised: Vec::new() })
        .collect();
    if shards.is_empty() {
        return Err(nothing(files, &names));
    }
    Ok(shards)
}

fn nothing(files: &ModelFiles, names: &[String]) -> Error {
    // Reads the file, so that a dangling link of the hub's cache is named.
    if let Err(error) = files.read(SINGLE) {
        return error;
    }
    let message = format!("{}: there is no {SINGLE} and no {INDEX}", files.label());
    let other = names.iter().find(|name| [".bin", ".gguf", ".pth", ".npz"].iter().any(|end| name.ends_with(end)));
    let hint = match other {
        Some(name) => format!("{name} is in another format; this version reads safetensors"),
        None => "the weights are missing; download the whole model".into(),
    };
    Error::new(Code::NotFound, message).with_hint(hint)
}

fn indexed(label: &str, json: &[u8]) -> Result<Vec<Shard>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: UniqueMap<String>,
    }
    let Index { weight_map: UniqueMap(map) } =
        serde_json::from_slice(json).map_err(|e| Error::corrupt(label, format_args!("is not an index: {e}")))?;

    let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in map {
        if !files::is_plain_name(&file) || !file.ends_with(".safetensors") {
            let message = format!("{} is in {}", shown(&tensor), shown(&file));
            return Err(Error::corrupt(label, message)
                .with_hint("shards must be plain names of .safetensors files beside the index"));
        }
        shards.entry(file).or_default().push(tensor);
    }
    if shards.is_empty() {
        return Err(Error::corrupt(label, "names no tensors"));
    }
    Ok(shards.into_iter().map(|(file, promised)| Shard { file, promised }).collect())
}
