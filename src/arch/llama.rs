//! Llama, and what differs from it in nothing but the name (Mistral).

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::{Attention, Spec};
use crate::error::Result;

/// Where the file does not say, as in transformers.
const CONTEXT: usize = 2048;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, CONTEXT)?;
    let traditional = config.bool_or("rope_traditional", false)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional, theta: Some(10_000.0), context })?;
    rope::refuse_partial(config)?;
    let windows = windows(config, sizes.layers, context)?;
    let attention_bias = config.bool_or("attention_bias", false)?;
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    let activation = blocks::silu(config)?;

    let tied = config.bool_or("tie_word_embeddings", true)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, attention_bias), attention_bias, &rope);
        sizes.layer(i, Attention { window: windows[i], ..attention }, sizes.split_mlp(i, mlp_bias, activation))
    })
}

/// TeleChat 3: a head of its own unless the file says otherwise.
pub(super) fn telechat(config: &Config) -> Result<Spec> {
    config.with_defaults(serde_json::json!({"tie_word_embeddings": false}), spec)
}

/// The window of each layer. Only `layer_types` makes a layer slide: the `sliding_window` of Mistral's first version
/// stands alone and is not applied, as in mlx-lm.
pub(super) fn windows(config: &Config, layers: usize, context: usize) -> Result<Vec<Option<usize>>> {
    if let Some(windows) = blocks::layer_windows(config, layers)? {
        return Ok(windows);
    }
    blocks::ignore_window(config, context)?;
    Ok(vec![None; layers])
}
