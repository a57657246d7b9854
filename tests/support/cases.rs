//! The parity cases of `tests/data/cases.json`, and what mlx-lm computed for them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A model whose log-probabilities are known.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    /// What config.json holds.
    pub config: Map<String, Value>,
    #[serde(default = "f32_name")]
    pub dtype: String,
    pub seed: u64,
    #[serde(default = "one")]
    pub shards: usize,
}

/// What mlx-lm computed in f32, for [`tokens`] as one prompt.
#[derive(Deserialize)]
pub struct Reference {
    /// [`Fixture::checksum`](super::checkpoint::Fixture::checksum) of the weights it was computed with.
    pub checksum: String,
    /// The log-probability of each token after the first, given those before it.
    pub next: Vec<f32>,
    /// At each position the five most likely next tokens with their log-probabilities, most likely first.
    pub top: Vec<Vec<(u32, f32)>>,
    /// How far mlx-lm is from `next` when it computes in the checkpoint's own dtype; absent for f32.
    pub low_precision: Option<LowPrecision>,
    /// The rotary embedding, as [`Rope`](../../src/arch/spec.rs) has it.
    pub rope: RopeReference,
}

/// Absolute errors of log-probabilities.
#[derive(Deserialize)]
pub struct LowPrecision {
    pub max: f32,
    pub mean: f32,
}

/// mlx-lm's rotary frequencies.
#[derive(Deserialize)]
pub struct RopeReference {
    pub inverse_frequencies: Vec<f32>,
    pub magnitude: f32,
}

#[derive(Deserialize)]
struct Cases {
    tokens: Vec<u32>,
    base: Map<String, Value>,
    cases: Vec<Case>,
}

fn read() -> Cases {
    let cases: Cases = serde_json::from_slice(&fs::read(data("cases.json")).unwrap()).unwrap();
    let complete = |mut case: Case| {
        let own = std::mem::replace(&mut case.config, cases.base.clone());
        case.config.extend(own);
        case
    };
    Cases { cases: cases.cases.into_iter().map(complete).collect(), ..cases }
}

/// All cases.
pub fn cases() -> Vec<Case> {
    read().cases
}

/// The case of that name.
pub fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name:?}"))
}

/// The prompt of all cases.
pub fn tokens() -> Vec<u32> {
    read().tokens
}

/// What configurations have in common; it has no `model_type`.
pub fn base_config() -> Map<String, Value> {
    read().base
}

impl Case {
    /// The numbers of mlx-lm.
    pub fn reference(&self) -> Reference {
        let path = data(&format!("reference/{}.json", self.name));
        let bytes =
            fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run tests/parity/reference.py", path.display()));
        serde_json::from_slice(&bytes).unwrap()
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn f32_name() -> String {
    "f32".into()
}

fn one() -> usize {
    1
}
