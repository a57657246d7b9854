//! Cohere's Command R: attention and MLP side by side under one layer norm; logits are scaled. The second version slides
//! in three of four layers, and only those have a rotary embedding.

use serde_json::json;

use super::blocks::{self, Keys, Sizes};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Layer, Norm, NormKind, Rope, Spec};
use crate::error::Result;

/// The first version.
pub(super) fn first(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 8192, "num_hidden_layers": 40, "intermediate_size": 22_528, "num_attention_heads": 64,
        "num_key_value_heads": 64, "rope_theta": 8e6, "vocab_size": 256_000, "layer_norm_eps": 1e-5,
    });
    config.with_defaults(defaults, |config| {
        let sizes = read(config)?.with_even_heads(config)?;
        let normed = config.bool_or("use_qk_norm", false)?;
        parallel(config, &sizes, |i, attention| {
            let norm = |part, heads| normed.then(|| head_norm(&sizes, i, part, heads));
            let (query_norm, key_norm) = (norm("q_norm", sizes.heads), norm("k_norm", sizes.kv_heads));
            Attention { query_norm, key_norm, ..attention }
        })
    })
}

/// The second version.
pub(super) fn second(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 4096, "head_dim": 128, "num_hidden_layers": 32, "intermediate_size": 14_336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "rope_theta": 50_000.0, "vocab_size": 256_000,
        "layer_norm_eps": 1e-5, "sliding_window": 4096, "sliding_window_pattern": 4,
    });
    config.with_defaults(defaults, |config| {
        let sizes = read(config)?;
        let windows = blocks::pattern_windows(config, sizes.layers)?;
        parallel(config, &sizes, |i, attention| {
            let rope = attention.rope.filter(|_| windows[i].is_some());
            Attention { window: windows[i], rope, ..attention }
        })
    })
}

fn read(config: &Config) -> Result<Sizes> {
    let bias = config.bool_or("layer_norm_bias", false)?;
    Ok(Sizes::read_as(config, &Keys::LAYER_NORM)?.with_layer_norms(bias))
}

fn parallel(config: &Config, sizes: &Sizes, change: impl Fn(usize, Attention) -> Attention) -> Result<Spec> {
    let context = blocks::context_length(config, 8192)?;
    let rope: Rope = rope::plain(config, sizes.head_dim, true, rope::theta_or(config, "rope_theta", 1e4)?)?;
    let bias = config.bool_or("attention_bias", false)?;
    blocks::silu(config)?;
    let spec = blocks::decoder(config, sizes, context, true, |i| {
        let attention = change(i, sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope));
        let layer = sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu));
        Layer { parallel: true, ffn_norm: None, ..layer }
    })?;
    Ok(Spec { logit_scale: config.f64_or("logit_scale", 0.0625, 1e-9..=1e9)? as f32, ..spec })
}

/// A layer norm over each head, with a weight of its own for each.
fn head_norm(sizes: &Sizes, layer: usize, part: &str, heads: usize) -> Norm {
    Norm { kind: NormKind::Layer, bias: None, heads, ..sizes.head_norm(layer, part) }
}
