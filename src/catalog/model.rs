//! The catalogue's models.

use std::collections::BTreeMap;

use once_cell::sync::OnceCell;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arch;
use crate::arch::spec::Spec;
use crate::error::{Error, Result};

const CATALOG: &str = include_str!("../../assets/catalog.json");

/// What a model is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelTask {
    /// Conversation.
    Chat,
    /// Programs.
    Code,
    /// Thinking before it answers.
    Reasoning,
    /// Pictures, too.
    Vision,
    /// Texts to vectors.
    Embedding,
    /// Small enough for a phone.
    Small,
}

impl ModelTask {
    const ALL: [Self; 6] = [Self::Chat, Self::Code, Self::Reasoning, Self::Vision, Self::Embedding, Self::Small];

    /// The name in options and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Code => "code",
            Self::Reasoning => "reasoning",
            Self::Vision => "vision",
            Self::Embedding => "embedding",
            Self::Small => "small",
        }
    }
}

impl std::str::FromStr for ModelTask {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|task| task.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| Error::invalid(format!("task {name:?}")).with_hint(format!("one of {names}")))
    }
}

/// The catalogue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Catalog {
    /// Shapes of architectures, by name.
    shapes: BTreeMap<String, Shape>,
    /// Models, those first that are liked best today.
    pub models: Vec<CatalogModel>,
}

/// The shape of an architecture.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    /// Where its numbers were looked up.
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers of the file, and for a test"))]
    source: String,
    /// As much of a config.json as a spec needs.
    config: Value,
}

/// A model of the catalogue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogModel {
    /// `owner/name`.
    pub id: String,
    pub tasks: Vec<ModelTask>,
    /// The name of its shape; without one, `unsupported` says why it does not run.
    #[serde(default)]
    shape: Option<String>,
    /// As in a config.json of MLX.
    #[serde(default)]
    quantization: Option<Value>,
    /// What it has and this version does not run, such as pictures.
    #[serde(default)]
    pub unsupported: Option<String>,
    /// Where the name was looked up.
    pub source: String,
    /// Whether a hub was seen to have it.
    pub verified: bool,
    /// What the hub told when it was last asked.
    #[serde(default)]
    pub seen: Option<Seen>,
}

/// What a hub told of a model of the catalogue.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The day, as `2026-01-31`.
    pub day: String,
    /// The commit's hash.
    pub commit: String,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// The licence on the model card.
    pub license: Option<String>,
}

impl Catalog {
    /// The one in the program.
    pub fn get() -> Result<&'static Self> {
        static PARSED: OnceCell<Catalog> = OnceCell::new();
        PARSED.get_or_try_init(|| {
            serde_json::from_str(CATALOG).map_err(|e| Error::internal(format!("assets/catalog.json: {e}")))
        })
    }

    /// What a model is made of, where the catalogue knows its shape.
    ///
    /// # Errors
    /// `Unsupported` for an architecture that this version does not run.
    pub fn spec(&self, model: &CatalogModel) -> Result<Option<Spec>> {
        let Some(name) = &model.shape else { return Ok(None) };
        let shape = self.shapes.get(name);
        let shape = shape.ok_or_else(|| Error::internal(format!("assets/catalog.json has no shape {name:?}")))?;
        let mut config = shape.config.clone();
        if let (Value::Object(config), Some(quantization)) = (&mut config, &model.quantization) {
            config.insert("quantization".to_owned(), quantization.clone());
        }
        arch::from_config(&config, &model.id).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest number before `B` or `M` in a name, such as 0.6 of `Qwen3-0.6B-4bit`, in parameters.
    fn named_parameters(id: &str) -> Option<f64> {
        let name = id.split_once('/')?.1.to_lowercase();
        let numbers = name.split(['-', '_']).filter_map(|word| {
            let (number, scale) =
                word.strip_suffix('b').map(|n| (n, 1e9)).or(word.strip_suffix('m').map(|n| (n, 1e6)))?;
            Some(number.parse::<f64>().ok()? * scale)
        });
        numbers.max_by(f64::total_cmp)
    }

    #[test]
    fn every_model_has_a_shape_that_runs_or_says_why_it_does_not() {
        let catalog = Catalog::get().unwrap();
        assert!(catalog.models.len() >= 60, "{}", catalog.models.len());
        let mut ids: Vec<_> = catalog.models.iter().map(|model| &model.id).collect();
        assert!(ids.iter().any(|id| *id == "mlx-community/Phi-3-mini-128k-instruct-4bit"));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), catalog.models.len(), "a model is there twice");
        for task in ModelTask::ALL {
            assert!(catalog.models.iter().filter(|model| model.tasks.contains(&task)).count() >= 5, "{task:?}");
        }
        for model in &catalog.models {
            let id = &model.id;
            assert!(!model.tasks.is_empty() && model.source.contains('/'), "{id}");
            assert_eq!(model.verified, model.seen.is_some(), "{id}: only a hub verifies");
            let Some(spec) = catalog.spec(model).unwrap_or_else(|error| panic!("{id}: {error}")) else {
                assert!(model.unsupported.is_some(), "{id} has neither a shape nor a reason");
                continue;
            };
            let sizes = arch::weights(&spec);
            assert!(sizes.read <= sizes.bytes, "{id}");
            // Between one byte for four numbers and two for each.
            let a_number = sizes.bytes as f64 / sizes.parameters as f64;
            assert!((0.25..=2.01).contains(&a_number), "{id}: {a_number}");
            if let Some(named) = named_parameters(id) {
                let ratio = sizes.parameters as f64 / named;
                // Names round, count embeddings or not, and those with eyes have more than text.
                assert!((0.75..=1.35).contains(&ratio), "{id}: {} parameters", sizes.parameters);
            }
        }
        for shape in catalog.shapes.values() {
            assert!(shape.source.contains('/'), "{}", shape.source);
        }
    }
    /// Sizes of whole repositories as another project lists them, tokenizers included: exo-explore/exo,
    /// resources/inference_model_cards.
    #[test]
    fn sizes_from_shapes_are_near_those_that_others_saw() {
        let seen = [
            ("mlx-community/Qwen3-0.6B-4bit", 342_884_352),
            ("mlx-community/Qwen3-0.6B-8bit", 698_351_616),
            ("mlx-community/Qwen3-30B-A3B-4bit", 17_612_931_072),
            ("mlx-community/Qwen3-235B-A22B-Instruct-2507-4bit", 141_733_920_768),
            ("mlx-community/Llama-3.2-1B-Instruct-4bit", 729_808_896),
            ("mlx-community/Meta-Llama-3.1-8B-Instruct-4bit", 4_637_851_648),
            ("mlx-community/Meta-Llama-3.1-8B-Instruct-bf16", 16_882_073_600),
            ("mlx-community/Llama-3.3-70B-Instruct-4bit", 40_652_242_944),
            ("mlx-community/gpt-oss-20b-MXFP4-Q8", 12_025_908_224u64),
        ];
        let catalog = Catalog::get().unwrap();
        for (id, bytes) in seen {
            let model = catalog.models.iter().find(|model| model.id == id).unwrap();
            let computed = arch::weights(&catalog.spec(model).unwrap().unwrap()).bytes;
            let ratio = computed as f64 / bytes as f64;
            assert!((0.9..=1.02).contains(&ratio), "{id}: {computed} computed, {bytes} seen");
        }
    }
}
