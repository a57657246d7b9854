//! An open checkpoint: the tensors of all its files by name.

use std::collections::BTreeMap;
use std::collections::btree_map;

use super::header::{self, StoredDtype};
use super::shards::{self, Shard};
use super::{Access, Dtype, ModelFiles, Storage, TensorView, shown};
use crate::error::{Code, Error, Result};

/// The tensors of a checkpoint, checked against the files' lengths and against each other. The bytes themselves are
/// read when someone looks at them.
///
/// Number formats other than those of [`Dtype`](super::Dtype) (I64, F8_E4M3, …) are accepted in a file: old
/// checkpoints hold unneeded tables of integers. A needed tensor of such a format is an error.
pub(crate) struct Tensors {
    files: Vec<String>,
    entries: BTreeMap<String, Entry>,
    bytes: u64,
}

struct Entry {
    /// Index into `files`.
    file: usize,
    tensor: Tensor,
}

enum Tensor {
    View(TensorView),
    /// Of a number format that no model here is made of.
    Other(safetensors::Dtype),
}

impl Tensors {
    /// Opens all files of a checkpoint in order to load it.
    pub fn open(files: &ModelFiles) -> Result<Self> {
        Self::open_for(files, Access::Load)
    }

    /// Opens all files of a checkpoint in order to look at names, shapes and sizes only.
    pub fn probe(files: &ModelFiles) -> Result<Self> {
        Self::open_for(files, Access::Probe)
    }

    fn open_for(files: &ModelFiles, access: Access) -> Result<Self> {
        let mut tensors = Self { files: Vec::new(), entries: BTreeMap::new(), bytes: 0 };
        for shard in shards::shards(files)? {
            let label = files.file_label(&shard.file);
            let Some(storage) = files.map(&shard.file, access)? else {
                return Err(missing_shard(&label, &shard));
            };
            tensors.add(label, storage, &shard)?;
        }
        Ok(tensors)
    }

    fn add(&mut self, label: String, storage: Storage, shard: &Shard) -> Result<()> {
        let found = header::parse(&label, (*storage).as_ref())?;
        if let Some(name) = shard.promised.iter().find(|name| !found.contains_key(*name)) {
            return Err(Error::corrupt(label, format_args!("the index says it holds {}, but it doesn't", shown(name)))
                .with_hint("index and shards are of different models; download the whole model again"));
        }
        let file = self.files.len();
        for (name, header::Entry { dtype, shape, range }) in found {
            self.bytes += range.len() as u64;
            let tensor = match dtype {
                StoredDtype::Other(dtype) => Tensor::Other(dtype),
                StoredDtype::Known(dtype) => {
                    Tensor::View(TensorView::from_storage(name.clone(), dtype, shape, storage.clone(), range))
                }
            };
            match self.entries.entry(name) {
                btree_map::Entry::Vacant(slot) => slot.insert(Entry { file, tensor }),
                btree_map::Entry::Occupied(slot) => {
                    let first = &self.files[slot.get().file];
                    let message = format!("{} is also in {first}", shown(slot.key()));
                    return Err(Error::corrupt(label, message)
                        .with_hint("the folder holds files of two models; keep those of one"));
                }
            };
        }
        self.files.push(label);
        Ok(())
    }

    /// A tensor by name, unless it is of a number format that models are not made of.
    pub fn get(&self, name: &str) -> Option<&TensorView> {
        match &self.entries.get(name)?.tensor {
            Tensor::View(view) => Some(view),
            Tensor::Other(_) => None,
        }
    }

    /// Whether there is a tensor of that name, whatever its number format.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether every number is stored in f32, so that nothing was rounded or quantized yet.
    pub fn is_f32(&self) -> bool {
        let is_f32 = |entry: &Entry| matches!(&entry.tensor, Tensor::View(view) if view.dtype == Dtype::F32);
        self.entries.values().all(is_f32)
    }

    /// Bytes of all tensors.
    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A tensor that the model needs.
    pub fn need(&self, name: &str) -> Result<&TensorView> {
        let Some(entry) = self.entries.get(name) else {
            return Err(Error::corrupt(self.label(), format_args!("there is no tensor {}", shown(name))));
        };
        match &entry.tensor {
            Tensor::View(view) => Ok(view),
            Tensor::Other(dtype) => {
                let message = format!("{}: {} is stored as {dtype}", self.files[entry.file], shown(name));
                Err(Error::unsupported(message).with_hint("weights can be F32, F16, BF16 or MLX's affine codes in U32"))
            }
        }
    }

    /// [`Code::CorruptFile`] about a tensor, naming its file.
    pub fn corrupt(&self, name: &str, message: impl std::fmt::Display) -> Error {
        let file = self.entries.get(name).map_or(self.label(), |entry| &self.files[entry.file]);
        Error::corrupt(file, format_args!("{} {message}", shown(name)))
    }

    /// What to call the checkpoint in messages about no single tensor of it.
    pub fn label(&self) -> &str {
        self.files.first().map_or("weights", String::as_str)
    }
}

fn missing_shard(label: &str, shard: &Shard) -> Error {
    Error::new(Code::NotFound, format!("{label}: this part of the weights is missing")).with_hint(format!(
        "model.safetensors.index.json says it holds {} tensors; download the whole model, or delete an index that is \
         of other weights than those in the folder",
        shard.promised.len()
    ))
}
