//! Falcon H1: attention and Mamba-2 side by side in every layer. The multipliers of its configuration are in the weights
//! of MLX checkpoints already, but for those of the logits.

use serde_json::json;

use super::blocks::{self, Sizes, name};
use super::config::Config;
use super::mamba::{Keys, Mamba2};
use super::rope::{self, Base};
use super::spec::{Activation, Layer, Mixer, Spec, StateSpace};
use crate::error::Result;

/// The block as Falcon H1 and Granite name its sizes.
pub(super) const KEYS: Keys = Keys {
    heads: "mamba_n_heads",
    head_dim: "mamba_d_head",
    groups: "mamba_n_groups",
    state: "mamba_d_state",
    conv: "mamba_d_conv",
    bias: "mamba_proj_bias",
    conv_bias: "mamba_conv_bias",
};

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "head_dim": 64, "hidden_size": 1024, "intermediate_size": 2048, "mamba_conv_bias": true, "mamba_d_conv": 4,
        "mamba_d_head": 64, "mamba_d_ssm": 1536, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_n_heads": 24,
        "num_attention_heads": 8, "num_hidden_layers": 36, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "vocab_size": 32_784,
    });
    config.with_defaults(defaults, read)
}

fn read(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    blocks::silu(config)?;
    let traditional = config.bool_or("rope_traditional", false)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional, theta: Some(1e11), context })?;
    // The limits of steps are fixed, whatever the file says.
    let limits = json!({"time_step_limit": null});
    let mamba = config.with(json!(null), limits, |config| Mamba2::read(config, &KEYS, [0.0, f64::INFINITY]))?;
    let width = config.usize("mamba_d_ssm", 1..=blocks::MAX_HIDDEN)?;
    if width != mamba.width() {
        let message = format!("must be the {} channels of the heads together", mamba.width());
        return Err(config.corrupt("mamba_d_ssm", message));
    }
    let (normed, norm_before_gate) =
        (config.bool_or("mamba_rms_norm", false)?, config.bool_or("mamba_norm_before_gate", false)?);
    let (bias, mlp_bias) = (config.bool_or("attention_bias", false)?, config.bool_or("mlp_bias", false)?);
    let projectors_bias = config.bool_or("projectors_bias", false)?;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let block = name(i, "mamba");
        let mixer = mamba.mixer(&sizes, &block, normed.then(|| mamba.norm(&sizes, &block, false)));
        let mut output = mixer.output.clone();
        output.bias = projectors_bias;
        let mixer = StateSpace { norm_before_gate, output, ..mixer };
        let attention = sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope);
        let ffn = sizes.split_mlp(i, mlp_bias, Activation::Silu);
        Layer { beside: Some(Mixer::StateSpace(Box::new(mixer))), ..sizes.layer(i, attention, ffn) }
    })?;
    let multiplier = |key, default| config.f64_or(key, default, 1e-9..=1e9);
    let logits = multiplier("lm_head_multiplier", 0.0390625)? / multiplier("embedding_multiplier", 5.656854249492381)?;
    let logit_scale = if tied { logits as f32 } else { 1.0 };
    Ok(Spec { logit_scale, ..spec }.renamed(&[
        ("post_attention_layernorm", "pre_ff_layernorm"),
        ("model.norm", "model.final_layernorm"),
        (".mlp.", ".feed_forward."),
    ]))
}
