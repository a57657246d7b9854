//! Qwen 1: fused projections with biases, up and gate as `w1` and `w2`.

use serde_json::json;

use super::blocks::{self, Keys, MAX_HEAD_DIM, Sizes, linear};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 2048, "num_attention_heads": 16, "num_hidden_layers": 24, "kv_channels": 128,
        "max_position_embeddings": 8192, "layer_norm_epsilon": 1e-6, "intermediate_size": 11_008, "vocab_size": 151_936,
    });
    let without = json!({"num_key_value_heads": null, "head_dim": null});
    let spec = config.with(defaults, without, |config| {
        let keys = Keys { epsilon: "layer_norm_epsilon", ..Keys::STANDARD };
        let sizes = Sizes::read_as(config, &keys)?;
        let sizes = Sizes { intermediate: sizes.intermediate / 2, ..sizes };
        let head_dim = config.usize("kv_channels", 1..=MAX_HEAD_DIM)?;
        if head_dim != sizes.head_dim {
            let message = format!("is not supported: {} heads that are not {} wide", sizes.heads, sizes.head_dim);
            return Err(config.unsupported("kv_channels", message));
        }
        let context = blocks::context_length(config, 8192)?;
        let rope = rope::plain(config, head_dim, false, 10_000.0)?;
        let bias = !config.bool_or("no_bias", true)?;
        let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
            let attention = sizes.attention(i, sizes.fused_qkv(i, true), bias, &rope);
            sizes.layer(i, attention, sizes.split_mlp(i, bias, Activation::Silu))
        })?;
        spec.head = Some(linear("lm_head", sizes.vocab, sizes.hidden, bias));
        Ok(spec)
    })?;
    Ok(spec.renamed(&[
        ("model.layers.", "transformer.h."),
        ("self_attn.qkv_proj", "attn.c_attn"),
        ("self_attn.o_proj", "attn.c_proj"),
        ("mlp.gate_proj", "mlp.w2"),
        ("mlp.up_proj", "mlp.w1"),
        ("mlp.down_proj", "mlp.c_proj"),
        ("input_layernorm", "ln_1"),
        ("post_attention_layernorm", "ln_2"),
        ("model.norm", "transformer.ln_f"),
        ("model.embed_tokens", "transformer.wte"),
    ]))
}
