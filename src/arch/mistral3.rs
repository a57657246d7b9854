//! Pixtral, Mistral Small 3 and Devstral: the text part of models that also see, Llama's or Ministral's.

use serde_json::json;

use super::config::Config;
use super::deepseek;
use super::dense;
use super::llama;
use super::spec::Spec;
use super::wrapper;
use crate::error::Result;

/// Pixtral.
pub(super) fn pixtral(config: &Config) -> Result<Spec> {
    let forced = json!({"tie_word_embeddings": false});
    wrapper::text_part(config, json!({"num_attention_heads": 32}), None, "language_model.", |text| {
        text.with(json!(null), forced, llama::spec)
    })
}

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = json!({"tie_word_embeddings": false});
    wrapper::text_part(config, defaults, None, "language_model.", |text| match text.string("model_type")? {
        Some("ministral3") => dense::ministral3(text),
        Some("mistral4") => deepseek::mistral4(text),
        _ => llama::spec(text),
    })
}
