//! An open checkpoint: the tensors of all its files by name.

use std::collections::BTreeMap;
use std::collections::btree_map;

use super::gguf::{BlockType, Blocks, Conversion, Gguf};
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
    /// Blocks of a GGUF file, which are converted when they are loaded.
    Blocks(Blocks),
    /// Of a number format that no model here is made of.
    Other(String),
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
        if let Some(gguf) = files.gguf() {
            tensors.add_gguf(gguf);
            return Ok(tensors);
        }
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
            let dtype = match dtype {
                // Scales of groups, which MLX has as bytes.
                StoredDtype::Other(safetensors::Dtype::F8_E4M3) if name.ends_with("_weight_scale") => {
                    StoredDtype::Known(Dtype::U8)
                }
                dtype => dtype,
            };
            let tensor = match dtype {
                StoredDtype::Other(dtype) => Tensor::Other(dtype.to_string()),
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

    fn add_gguf(&mut self, gguf: &Gguf) {
        self.files.push(gguf.label().to_owned());
        for (name, entry) in gguf.tensors() {
            let (storage, shape, range) = (gguf.storage(entry).clone(), entry.shape.clone(), entry.range.clone());
            self.bytes += range.len() as u64;
            let view = |dtype| {
                Tensor::View(TensorView::from_storage(
                    name.clone(),
                    dtype,
                    shape.clone(),
                    storage.clone(),
                    range.clone(),
                ))
            };
            let tensor = match entry.block {
                BlockType::F32 => view(Dtype::F32),
                BlockType::F16 => view(Dtype::F16),
                BlockType::BF16 => view(Dtype::Bf16),
                block => {
                    let blocks = Blocks::new(name.clone(), shape, block, storage, range);
                    if blocks.target().is_some() { Tensor::Blocks(blocks) } else { Tensor::Other(block.to_string()) }
                }
            };
            self.entries.insert(name.clone(), Entry { file: 0, tensor });
        }
    }

    /// A tensor by name, if it holds numbers as they are, or codes or scales of MLX's formats.
    pub fn get(&self, name: &str) -> Option<&TensorView> {
        match &self.entries.get(name)?.tensor {
            Tensor::View(view) => Some(view),
            Tensor::Blocks(_) | Tensor::Other(_) => None,
        }
    }

    /// A tensor by name, if it consists of blocks.
    pub fn blocks(&self, name: &str) -> Option<&Blocks> {
        match &self.entries.get(name)?.tensor {
            Tensor::Blocks(blocks) => Some(blocks),
            Tensor::View(_) | Tensor::Other(_) => None,
        }
    }

    /// Bytes that a tensor takes once it is loaded.
    pub fn loaded_bytes(&self, name: &str) -> Option<u64> {
        Some(match &self.entries.get(name)?.tensor {
            Tensor::View(view) => view.bytes().len() as u64,
            Tensor::Blocks(blocks) => blocks.loaded_bytes(),
            Tensor::Other(_) => 0,
        })
    }

    /// What becomes of the blocks of a GGUF file, by their formats. Reads a few rows of each tensor.
    ///
    /// # Errors
    /// `CorruptFile` or `Unsupported` for numbers that can't be converted.
    pub fn conversions(&self) -> Result<Vec<Conversion>> {
        let blocks = self.entries.values().filter_map(|entry| match &entry.tensor {
            Tensor::Blocks(blocks) => Some(blocks),
            Tensor::View(_) | Tensor::Other(_) => None,
        });
        Conversion::of(blocks, Dtype::F16).map_err(|error| error.context(self.label()))
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

    /// Bytes of a number in rows of an embedding table, as MLX gives them: those of the table or of its scales; 2 where
    /// scales are no floats, or the table is blocks of a GGUF file.
    pub fn row_bytes(&self, table: &str) -> usize {
        let of = |part: &str| self.get(&format!("{table}.{part}")).map(|view| view.dtype);
        match of("scales").or_else(|| of("weight")) {
            Some(Dtype::F32) => 4,
            _ => 2,
        }
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
            Tensor::Blocks(blocks) => {
                let message = format!("is stored as {}, but must be F32, F16 or BF16", blocks.block);
                Err(self.corrupt(name, message))
            }
            Tensor::Other(dtype) => {
                let message = format!("{}: {} is stored as {dtype}", self.files[entry.file], shown(name));
                let hint = "weights can be F32, F16, BF16, MLX's affine codes in U32, or Q2_K to Q8_0, IQ4_NL, IQ4_XS \
                            and MXFP4 of GGUF";
                Err(Error::unsupported(message).with_hint(hint))
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
