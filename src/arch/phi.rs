//! Phi 1, 1.5 and 2: attention and a plain MLP side by side under one layer norm. And the older families with plain
//! MLPs and layer norms: StarCoder 2, GPT-NeoX, GPT-2.

use serde_json::json;

use super::blocks::{self, Keys, Sizes, linear};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Layer, Spec};
use crate::error::Result;

/// Phi 1, 1.5 and 2.
pub(super) fn phi(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "max_position_embeddings": 2048, "vocab_size": 51_200, "hidden_size": 2560, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "partial_rotary_factor": 0.4,
        "intermediate_size": 10_240, "layer_norm_eps": 1e-5, "rope_theta": 10_000.0,
    });
    let spec = config.with_defaults(defaults, |config| {
        let sizes = Sizes::read_as(config, &Keys::LAYER_NORM)?.with_even_heads(config)?.with_layer_norms(true);
        let context = blocks::context_length(config, 2048)?;
        let dims = (sizes.head_dim as f64 * config.f64("partial_rotary_factor", 0.0..=1.0)?) as usize;
        let rope = rope::plain(config, dims, false, rope::theta_or(config, "rope_theta", 10_000.0)?)?;
        blocks::expect_activation(config, &["gelu_new", "gelu_pytorch_tanh", "gelu_fast"])?;
        let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
            let attention = sizes.attention(i, sizes.split_qkv(i, true), true, &rope);
            let layer = sizes.layer(i, attention, sizes.plain_mlp(i, true, Activation::GeluTanh));
            Layer { parallel: true, ffn_norm: None, ..layer }
        })?;
        spec.head = spec.head.map(|head| blocks::linear(head.name, head.outputs, head.inputs, true));
        Ok(spec)
    })?;
    Ok(spec.renamed(&[
        ("self_attn.o_proj", "self_attn.dense"),
        ("mlp.up_proj", "mlp.fc1"),
        ("mlp.down_proj", "mlp.fc2"),
        ("model.norm", "model.final_layernorm"),
    ]))
}

/// StarCoder 2.
pub(super) fn starcoder2(config: &Config) -> Result<Spec> {
    let defaults = json!({"norm_epsilon": 1e-5, "vocab_size": 49_152});
    let spec = config.with_defaults(defaults, |config| {
        let keys = Keys { epsilon: "norm_epsilon", ..Keys::STANDARD };
        let sizes = Sizes::read_as(config, &keys)?.with_even_heads(config)?.with_layer_norms(true);
        let context = blocks::context_length(config, 16_384)?;
        let theta = rope::theta_or(config, "rope_theta", 100_000.0)?;
        let rope = rope::plain(config, sizes.head_dim, false, theta)?;
        // What the files call gelu_pytorch_tanh, mlx-lm computes with the error function.
        blocks::expect_activation(config, &["gelu", "gelu_pytorch_tanh"])?;
        blocks::ignore_window(config, context)?;
        let tied = config.bool_or("tie_word_embeddings", true)?;
        blocks::decoder(config, &sizes, context, tied, |i| {
            let attention = sizes.attention(i, sizes.split_qkv(i, true), true, &rope);
            sizes.layer(i, attention, sizes.plain_mlp(i, true, Activation::Gelu))
        })
    })?;
    Ok(spec.renamed(&[("mlp.up_proj", "mlp.c_fc"), ("mlp.down_proj", "mlp.c_proj")]))
}

/// GPT-NeoX and Pythia.
pub(super) fn gpt_neox(config: &Config) -> Result<Spec> {
    let keys = Keys { intermediate: "", ..Keys::LAYER_NORM };
    let sizes = Sizes::read_as(config, &keys)?.with_even_heads(config)?.with_layer_norms(true);
    // Queries, keys and values are cut evenly.
    let sizes = Sizes { kv_heads: sizes.heads, ..sizes };
    let context = blocks::context_length(config, 2048)?;
    let dims = (sizes.head_dim as f64 * config.f64("rotary_pct", 0.0..=1.0)?) as usize;
    let rope = rope::plain(config, dims, false, config.f64("rotary_emb_base", 1.001..=1e15)?)?;
    blocks::expect_activation(config, &["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"])?;
    let parallel = config.bool_or("use_parallel_residual", true)?;
    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        let attention = sizes.attention(i, sizes.grouped_qkv(i, true), true, &rope);
        Layer { parallel, ..sizes.layer(i, attention, sizes.plain_mlp(i, true, Activation::GeluTanh)) }
    })?;
    let mut spec = spec.renamed(&[
        ("model.layers.", "model.h."),
        ("self_attn.qkv_proj", "attention.query_key_value"),
        ("self_attn.o_proj", "attention.dense"),
        ("mlp.up_proj", "mlp.dense_h_to_4h"),
        ("mlp.down_proj", "mlp.dense_4h_to_h"),
        ("model.norm", "model.final_layer_norm"),
        ("model.embed_tokens", "model.embed_in"),
        ("lm_head", "model.embed_out"),
    ]);
    spec.ignored.extend([".attention.bias", ".attention.masked_bias"].map(String::from));
    Ok(spec)
}

/// GPT-2: learned positions.
pub(super) fn gpt2(config: &Config) -> Result<Spec> {
    let keys =
        Keys { hidden: "n_embd", layers: "n_layer", intermediate: "", heads: "n_head", epsilon: "layer_norm_epsilon" };
    let sizes = Sizes::read_as(config, &keys)?.with_layer_norms(true);
    let sizes = Sizes { kv_heads: sizes.heads, head_dim: sizes.hidden / sizes.heads, ..sizes };
    if !sizes.hidden.is_multiple_of(sizes.heads) {
        return Err(config.corrupt("n_embd", format_args!("does not split into {} heads", sizes.heads)));
    }
    let context = config.usize("n_positions", 1..=blocks::MAX_CONTEXT)?;
    blocks::expect_activation(config, &["gelu_new", "gelu_pytorch_tanh", "gelu_fast"])?;
    let nothing = super::spec::Rope { dims: 0, traditional: false, inverse_frequencies: vec![], magnitude: 1.0 };
    let spec = blocks::decoder(config, &sizes, context, true, |i| {
        let attention = sizes.attention(i, sizes.fused_qkv(i, true), true, &nothing);
        sizes.layer(i, Attention { rope: None, ..attention }, sizes.plain_mlp(i, true, Activation::GeluTanh))
    })?;
    let positions = Some(linear("model.wpe", context, sizes.hidden, false));
    Ok(Spec { positions, ..spec }.renamed(&[
        ("model.layers.", "model.h."),
        ("self_attn.qkv_proj", "attn.c_attn"),
        ("self_attn.o_proj", "attn.c_proj"),
        ("mlp.up_proj", "mlp.c_fc"),
        ("mlp.down_proj", "mlp.c_proj"),
        ("input_layernorm", "ln_1"),
        ("post_attention_layernorm", "ln_2"),
        ("model.norm", "model.ln_f"),
        ("model.embed_tokens", "model.wte"),
    ]))
}
