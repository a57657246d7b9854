//! Models that see or hear and whose text part alone runs here.

use serde_json::{Value, json};

use super::blocks;
use super::config::Config;
use super::quantization::quantization;
use super::spec::Spec;
use crate::error::Result;

/// The text part of a model that also sees, whose configuration may stand alone.
pub(super) fn optional_text_part(config: &Config, family: fn(&Config) -> Result<Spec>) -> Result<Spec> {
    match config.object("text_config")? {
        Some(_) => text_part(config, Value::Null, None, "language_model.", family),
        None => Ok(family(config)?.within("language_model.")),
    }
}

/// Tensors of the other parts, by what their names contain; mlx-lm drops the same.
const OTHERS: &[&str] = &[
    "vision_tower.",
    "multi_modal_projector.",
    "audio_tower.",
    "embed_audio.",
    "embed_vision.",
    "vision_embedder.",
    "vision_model.",
    "visual.",
];

/// The spec of the text part, whose configuration is `text_config`. A vocabulary is taken from the outer configuration
/// or `vocab`, where `vocab` is given.
pub(super) fn text_part(
    config: &Config,
    defaults: Value,
    vocab: Option<usize>,
    prefix: &str,
    family: impl FnOnce(&Config) -> Result<Spec>,
) -> Result<Spec> {
    let Some(text) = config.object("text_config")? else {
        return Err(config.wrong("text_config", "an object"));
    };
    let forced = match vocab {
        Some(default) => {
            let vocab = config.usize_or("vocab_size", default, 1..=blocks::MAX_VOCAB)?;
            json!({"vocab_size": vocab})
        }
        None => Value::Null,
    };
    let mut spec = text.with(defaults, forced, family)?.within(prefix);
    spec.model_type = config.string("model_type")?.unwrap_or_default().to_string();
    if let Some(eos_ids) = blocks::eos_ids(config)? {
        spec.eos_ids = eos_ids;
    }
    if let Some(outer) = quantization(config)? {
        spec.quantization = Some(outer);
    }
    spec.ignored.extend(OTHERS.iter().map(|name| (*name).to_string()));
    Ok(spec)
}
