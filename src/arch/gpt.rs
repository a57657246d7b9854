//! Older GPTs: GPT-J, and GPT BigCode (StarCoder 1, SantaCoder) with learned positions and one key head.

use serde_json::json;

use super::blocks::{self, Keys, Sizes, linear};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Layer, Spec};
use crate::error::Result;

/// GPT-J: attention and MLP side by side under one norm.
pub(super) fn j(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "n_embd": 4096, "vocab_size": 50_400, "layer_norm_epsilon": 1e-5, "n_positions": 2048, "n_head": 16,
        "rotary_dim": 64, "n_layer": 28,
    });
    let spec = config.with_defaults(defaults, |config| {
        let (sizes, context) = sizes(config, "")?;
        let dims = match config.usize("rotary_dim", 0..=sizes.head_dim)? {
            0 => sizes.head_dim,
            dims => dims,
        };
        let rope = rope::plain(config, dims, true, 10_000.0)?;
        blocks::expect_activation(config, &["gelu_new", "gelu_pytorch_tanh", "gelu_fast"])?;
        let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
            let attention = sizes.attention(i, sizes.split_qkv(i, false), false, &rope);
            let layer = sizes.layer(i, attention, sizes.plain_mlp(i, true, Activation::GeluTanh));
            Layer { parallel: true, ffn_norm: None, ..layer }
        })?;
        spec.head = spec.head.map(|head| linear(head.name, head.outputs, head.inputs, true));
        Ok(spec)
    })?;
    let mut spec = spec.renamed(&[
        ("model.layers.", "model.h."),
        ("self_attn.o_proj", "attn.out_proj"),
        ("self_attn.", "attn."),
        ("mlp.up_proj", "mlp.fc_in"),
        ("mlp.down_proj", "mlp.fc_out"),
        ("input_layernorm", "ln_1"),
        ("model.norm", "model.ln_f"),
        ("model.embed_tokens", "model.wte"),
    ]);
    spec.ignored.extend([".attn.bias", ".attn.masked_bias"].map(String::from));
    Ok(spec)
}

/// GPT BigCode.
pub(super) fn bigcode(config: &Config) -> Result<Spec> {
    let (sizes, context) = sizes(config, "n_inner")?;
    let kv_heads = if config.bool_or("multi_query", true)? { 1 } else { sizes.heads };
    let sizes = Sizes { kv_heads, ..sizes };
    // What the files call gelu_pytorch_tanh, mlx-lm computes with the error function.
    blocks::expect_activation(config, &["gelu", "gelu_pytorch_tanh"])?;
    let (bias, mlp_bias) = (config.bool_or("attention_bias", true)?, config.bool_or("mlp_bias", true)?);
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.fused_qkv(i, bias), bias, None);
        sizes.layer(i, attention, sizes.plain_mlp(i, mlp_bias, Activation::Gelu))
    })?;
    let positions = Some(linear("model.wpe", context, sizes.hidden, false));
    Ok(Spec { positions, ..spec }.renamed(&[
        ("model.layers.", "transformer.h."),
        ("self_attn.qkv_proj", "attn.c_attn"),
        ("self_attn.o_proj", "attn.c_proj"),
        ("mlp.up_proj", "mlp.c_fc"),
        ("mlp.down_proj", "mlp.c_proj"),
        ("input_layernorm", "ln_1"),
        ("post_attention_layernorm", "ln_2"),
        ("model.norm", "transformer.ln_f"),
        ("model.embed_tokens", "transformer.wte"),
        ("model.wpe", "transformer.wpe"),
    ]))
}

/// Sizes, with a key head for each query head, and the positions.
fn sizes(config: &Config, intermediate: &'static str) -> Result<(Sizes, usize)> {
    let keys =
        Keys { hidden: "n_embd", layers: "n_layer", intermediate, heads: "n_head", epsilon: "layer_norm_epsilon" };
    let without = json!({"num_key_value_heads": null, "head_dim": null});
    let sizes = config.with(json!(null), without, |config| Sizes::read_as(config, &keys))?.with_layer_norms(true);
    Ok((sizes, config.usize("n_positions", 1..=blocks::MAX_CONTEXT)?))
}
