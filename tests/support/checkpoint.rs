//! Tiny checkpoints, written to a folder of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::cases::{self, Case};
use super::numbers::{FNV_BASIS, fnv1a};
use super::tensors::{Float, Tensor, tensors};
use super::tokenizer;

/// How to make a checkpoint. `config` is what config.json will hold; change it as the test wants.
#[derive(Clone)]
pub struct Fixture {
    pub config: Map<String, Value>,
    pub dtype: Float,
    pub seed: u64,
    /// Files that the tensors are spread over; with more than one there is an index.
    pub shards: usize,
}

impl Fixture {
    /// A small f32 model of a `model_type`: 2 layers of width 64, 320 tokens.
    pub fn new(model_type: &str) -> Self {
        let mut config = cases::base_config();
        config.insert("model_type".into(), model_type.into());
        Self { config, dtype: Float::F32, seed: 1, shards: 1 }
    }

    /// The model of a case of `tests/data/cases.json`.
    pub fn case(case: &Case) -> Self {
        Self { config: case.config.clone(), dtype: Float::parse(&case.dtype), seed: case.seed, shards: case.shards }
    }

    /// The same with one key of config.json changed.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// The same with all matrices quantized.
    pub fn quantized(self, bits: usize, group_size: usize) -> Self {
        self.set("quantization", json!({"group_size": group_size, "bits": bits, "mode": "affine"}))
    }

    pub fn dtype(mut self, dtype: Float) -> Self {
        self.dtype = dtype;
        self
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        tensors(&self.config, self.dtype, self.seed)
    }

    /// FNV-1a over names and bytes of all tensors, by name, as hexadecimal digits.
    pub fn checksum(&self) -> String {
        let hash = self.tensors().iter().fold(FNV_BASIS, |hash, (name, tensor)| {
            let hash = fnv1a(hash, name.as_bytes());
            fnv1a(hash, &tensor.bytes)
        });
        format!("{hash:016x}")
    }

    /// Writes the model into a temporary folder, which is deleted when the result is dropped.
    pub fn build(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        folder
    }

    /// Writes the model into an existing folder.
    pub fn write(&self, folder: &Path) {
        let mut config = self.config.clone();
        config.insert("torch_dtype".into(), self.dtype.torch().into());
        write_json(&folder.join("config.json"), &config.into());
        tokenizer::write(folder);
        self.write_weights(folder);
    }

    fn write_weights(&self, folder: &Path) {
        let all = self.tensors();
        if self.shards <= 1 {
            return write_tensors(&folder.join("model.safetensors"), all.iter());
        }
        let all: Vec<_> = all.iter().collect();
        let mut map = Map::new();
        let parts = all.chunks(all.len().div_ceil(self.shards));
        let count = parts.len();
        for (i, part) in parts.enumerate() {
            let file = format!("model-{:05}-of-{count:05}.safetensors", i + 1);
            write_tensors(&folder.join(&file), part.iter().copied());
            map.extend(part.iter().map(|(name, _)| ((*name).clone(), Value::from(file.as_str()))));
        }
        let total: usize = all.iter().map(|(_, tensor)| tensor.bytes.len()).sum();
        let index = json!({"metadata": {"total_size": total}, "weight_map": map});
        write_json(&folder.join("model.safetensors.index.json"), &index);
    }
}

/// Writes a safetensors file.
pub fn write_tensors<'a>(path: &Path, tensors: impl Iterator<Item = (&'a String, &'a Tensor)>) {
    let views = tensors
        .map(|(name, tensor)| (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap()));
    let metadata = [("format".to_string(), "mlx".to_string())].into();
    fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

/// Writes JSON for people to read.
pub fn write_json(path: &Path, value: &Value) {
    fs::write(path, serde_json::to_string_pretty(value).unwrap()).unwrap();
}
