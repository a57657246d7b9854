//! The cases of `tests/data/models`: one of every variant of every family, with what mlx-lm computed for it.
//!
//! `tests/parity/reference.py` writes them. A case lists the recipes of its tensors, so that nothing here knows a family.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::checkpoint::{write_json, write_tensors};
use super::numbers::{FNV_BASIS, Numbers, amplitude, fnv1a};
use super::tensors::{Float, Tensor};
use super::tokenizer;

/// A model whose log-probabilities are known.
#[derive(Deserialize)]
pub struct KnownModel {
    #[serde(skip)]
    pub name: String,
    /// What config.json holds.
    pub config: Map<String, Value>,
    seed: u64,
    dtype: String,
    pub tokens: Vec<u32>,
    /// How each tensor is made, and its shape.
    tensors: BTreeMap<String, (String, Vec<usize>)>,
    checksum: String,
    /// The log-probability of each token after the first, given those before it.
    pub next: Vec<f32>,
    /// At each position the five most likely next tokens with their log-probabilities, most likely first.
    pub top: Vec<Vec<(u32, f32)>>,
}

/// All cases.
pub fn known_models() -> Vec<KnownModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let case: KnownModel = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        KnownModel { name: path.file_stem().unwrap().to_string_lossy().into_owned(), ..case }
    };
    paths.iter().map(read).collect()
}

impl KnownModel {
    /// All tensors.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let make = |(name, (recipe, shape)): (&String, &(String, Vec<usize>))| {
            (name.clone(), self.tensor(name, recipe, shape))
        };
        self.tensors.iter().map(make).collect()
    }

    /// Writes the model into a temporary folder. The tensors are those that mlx-lm was given, which is checked.
    pub fn build(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        write_json(&folder.path().join("config.json"), &self.config.clone().into());
        tokenizer::write(folder.path());
        let tensors = self.tensors();
        let hash =
            tensors.iter().fold(FNV_BASIS, |hash, (name, tensor)| fnv1a(fnv1a(hash, name.as_bytes()), &tensor.bytes));
        assert_eq!(format!("{hash:016x}"), self.checksum, "{}: the reference is of other weights", self.name);
        write_tensors(&folder.path().join("model.safetensors"), tensors.iter());
        folder
    }

    /// The same numbers as `Checkpoint` in `tests/parity/checkpoint.py` makes.
    fn tensor(&self, name: &str, recipe: &str, shape: &[usize]) -> Tensor {
        let numbers = Numbers::new(self.seed, name);
        let mut words = recipe.split(' ');
        let kind = words.next().unwrap();
        let argument = words.next().unwrap_or_default();
        let size = || argument.parse::<usize>().unwrap();
        let float = Float::parse(&self.dtype);
        let floats = |number: &dyn Fn(usize) -> f32| float.tensor(shape.to_vec(), number);
        // Codes cover [-bound, bound] about, wider in some groups than in others.
        let wide = |numbers: &Numbers, i: usize| amplitude(size()) * (0.75 + 0.5 * numbers.unit(i));
        match kind {
            "value" => floats(&|_| argument.parse().unwrap()),
            "bias" => floats(&|i| 0.5 * numbers.signed(i)),
            "norm" => floats(&|i| 1.0 + 0.25 * numbers.signed(i)),
            "global" => floats(&|i| 2688.0 + 672.0 * numbers.signed(i)),
            "signs" => floats(&|i| if numbers.word(i) & 1 == 1 { 1.0 } else { -1.0 }),
            "matrix" => floats(&|i| numbers.signed(i) * amplitude(size())),
            "scales" => {
                let bits: u32 = words.next().unwrap().parse().unwrap();
                let step = (2.0 / ((1 << bits) - 1) as f64) as f32;
                floats(&|i| wide(&numbers, i) * step)
            }
            "biases" => {
                let scales = Numbers::new(self.seed, &name.replace(".biases", ".scales"));
                floats(&|i| -(wide(&scales, i) * (0.9 + 0.2 * numbers.unit(i))))
            }
            "codes" | "codes8" => {
                // E4M3 has a code in each half that is not a number: all other bits of it set.
                let valid = |byte: u8| if kind == "codes8" && byte & 0x7f == 0x7f { byte & 0xfe } else { byte };
                let words = (0..shape.iter().product()).flat_map(|i| numbers.word(i).to_le_bytes());
                let bytes = words.map(valid).collect();
                Tensor { dtype: safetensors::Dtype::U32, shape: shape.to_vec(), bytes }
            }
            "ternary" => {
                let byte = |i| numbers.word(i) as u8;
                let bytes = (0..shape.iter().product()).map(byte).map(|byte| byte & !((byte & byte >> 1 & 0x55) << 1));
                Tensor { dtype: safetensors::Dtype::U8, shape: shape.to_vec(), bytes: bytes.collect() }
            }
            "mxfp4" | "mxfp8" | "nvfp4" => {
                let spread = if kind == "mxfp8" { 100.0 } else { 2.9 };
                let exponent = (1.6 / (size() as f64).sqrt() / spread).log2().round() as i64;
                let byte = |i| match kind {
                    "nvfp4" => ((exponent + 7) << 3) + i64::from(numbers.word(i) % 8),
                    _ => 127 + exponent + i64::from(numbers.word(i) % 2),
                };
                let bytes = (0..shape.iter().product()).map(|i| byte(i) as u8).collect();
                Tensor { dtype: safetensors::Dtype::U8, shape: shape.to_vec(), bytes }
            }
            other => panic!("no recipe {other:?}"),
        }
    }
}
