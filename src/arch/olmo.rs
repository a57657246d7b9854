//! OLMo 1: layer norms without weights, up and gate as one tensor, in this order.

use serde_json::json;

use super::blocks::{self, Keys, MAX_INTERMEDIATE, Sizes};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Layer, NormKind, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let keys =
        Keys { hidden: "d_model", layers: "n_layers", intermediate: "", heads: "n_heads", epsilon: "layer_norm_eps" };
    let vocab = config.usize("embedding_size", 1..=blocks::MAX_VOCAB)?;
    let forced = json!({
        "vocab_size": vocab, "num_key_value_heads": null, "head_dim": null, "layer_norm_eps": 1e-5,
    });
    let mut sizes = config.with(json!(null), forced, |config| Sizes::read_as(config, &keys))?;
    sizes.norm = NormKind::Layer;
    // Of up and gate together.
    let both = match config.optional_usize("mlp_hidden_size", 2..=MAX_INTERMEDIATE)? {
        Some(both) => both,
        None => config.usize_or("mlp_ratio", 4, 1..=64)? * sizes.hidden,
    };
    if !both.is_multiple_of(2) {
        return Err(config.corrupt("mlp_hidden_size", "is not even"));
    }
    sizes.intermediate = both / 2;
    let context = config.usize_or("max_sequence_length", 2048, 1..=blocks::MAX_CONTEXT)?;
    let theta = rope::theta_or(config, "rope_theta", 10_000.0)?;
    let rope = rope::plain(config, sizes.head_dim, config.bool_or("rope_traditional", false)?, theta)?;
    for (key, only) in [("include_bias", false), ("alibi", false), ("layer_norm_with_affine", false)] {
        if config.bool_or(key, only)? != only {
            return Err(config.unsupported(key, format_args!("is not supported; {only} is")));
        }
    }
    let tied = config.bool_or("weight_tying", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.fused_qkv(i, false), false, &rope);
        Layer {
            mixer_norm: Some(sizes.bare_norm(sizes.hidden)),
            ffn_norm: Some(sizes.bare_norm(sizes.hidden)),
            ..sizes.layer(i, attention, sizes.fused_mlp_up_first(i, false, Activation::Silu))
        }
    })?;
    let final_norm = sizes.bare_norm(sizes.hidden);
    Ok(Spec { final_norm, ..spec }.renamed(&[
        ("model.layers.", "model.transformer.blocks."),
        ("self_attn.qkv_proj", "att_proj"),
        ("self_attn.o_proj", "attn_out"),
        ("mlp.gate_up_proj", "ff_proj"),
        ("mlp.down_proj", "ff_out"),
        ("model.embed_tokens", "model.transformer.wte"),
        ("lm_head", "model.transformer.ff_out"),
    ]))
}
