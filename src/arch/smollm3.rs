//! SmolLM 3: Llama in which every fourth layer has no rotary embedding.

use super::blocks;
use super::config::Config;
use super::llama;
use super::spec::{Mixer, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let mut spec = llama::spec(config)?;
    let without = without_rope(config, spec.layers.len())?;
    for (layer, without) in spec.layers.iter_mut().zip(without) {
        if let Mixer::Attention(attention) = &mut layer.mixer
            && without
        {
            attention.rope = None;
        }
    }
    Ok(spec)
}

/// Whether each layer goes without: by a list in which 1 means that it has one, or every so many layers.
fn without_rope(config: &Config, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "no_rope_layers";
    let Some(list) = config.f64s(KEY, 0.0..=1.0)? else {
        let interval = config.usize_or("no_rope_layer_interval", 4, 1..=blocks::MAX_CONTEXT)?;
        return Ok((1..=layers).map(|layer| layer.is_multiple_of(interval)).collect());
    };
    if list.len() != layers {
        return Err(config.corrupt(KEY, format_args!("must have one entry for each of the {layers} layers")));
    }
    Ok(list.into_iter().map(|has| has == 0.0).collect())
}
