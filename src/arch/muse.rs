//! Muse Glimmer: gated attention, of which sliding layers alone are rotated, norms around each block and of embeddings.

use serde_json::{Value, json};

use super::blocks::{self, Sizes, attention_name, linear};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Gate, Layer, Norm, Spec};
use super::wrapper;
use crate::error::Result;

/// Muse Glimmer, alone or the text part of a model that also sees.
pub(super) fn glimmer(config: &Config) -> Result<Spec> {
    match config.object("text_config")? {
        Some(_) => wrapper::text_part(config, Value::Null, None, "", text),
        None => text(config),
    }
}

fn text(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 6656, "num_hidden_layers": 52, "intermediate_size": 19_968, "num_attention_heads": 32,
        "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 202_048, "rms_norm_eps": 1e-5,
        "sliding_window": 2048,
    });
    config.with_defaults(defaults, read)
}

fn read(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let theta = match config.object("rope_parameters")? {
        Some(parameters) if parameters.get("rope_theta").is_some() => parameters.f64("rope_theta", 1.001..=1e15)?,
        _ => rope::theta_or(config, "rope_theta", 500_000.0)?,
    };
    let rope = rope::plain(config, sizes.head_dim, false, theta)?;
    let windows = match blocks::layer_windows(config, sizes.layers)? {
        Some(windows) => windows,
        None => {
            let window = config.usize("sliding_window", 1..=blocks::MAX_CONTEXT)?;
            (1..=sizes.layers).map(|layer| (!layer.is_multiple_of(4)).then_some(window)).collect()
        }
    };
    const BASES: &str = "layer_rope_theta";
    let rotated: Vec<bool> = match config.f64s(BASES, 0.0..=1e15)? {
        Some(bases) if bases.len() == sizes.layers => bases.into_iter().map(|base| base != 0.0).collect(),
        Some(_) => return Err(config.wrong(BASES, format_args!("a number for each of {} layers", sizes.layers))),
        None => windows.iter().map(Option::is_some).collect(),
    };
    blocks::silu(config)?;
    let post = config.f64_or("post_norm_eps", 1e-8, 0.0..=1.0)? as f32;
    let scale = config.f64_or("qk_scale_factor", 3.87, 1e-6..=1e6)? / (sizes.head_dim as f64).sqrt();
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let mut qkv = sizes.split_qkv(i, false);
        qkv.push(linear(attention_name(i, "gate_proj"), sizes.query_width(), sizes.hidden, false));
        let head_norm = || Some(sizes.bare_norm(sizes.head_dim));
        let attention = Attention {
            scale: scale as f32,
            query_norm: head_norm(),
            key_norm: head_norm(),
            window: windows[i],
            gate: Some(Gate::Sigmoid),
            ..sizes.attention(i, qkv, false, rotated[i].then_some(&rope))
        };
        let norm = |part, epsilon| Some(Norm { offset: 1.0, epsilon, ..sizes.layer_norm(i, part) });
        Layer {
            mixer_norm: norm("input_layernorm", sizes.epsilon),
            mixer_post_norm: norm("post_attention_layernorm", post),
            ffn_norm: norm("pre_feedforward_layernorm", sizes.epsilon),
            ffn_post_norm: norm("post_feedforward_layernorm", post),
            ..sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu))
        }
    })?;
    Ok(Spec {
        embedding_norm: Some(sizes.bare_norm(sizes.hidden)),
        logit_scale: config.f64_or("output_multiplier", 0.196_116_135_138_184_04, 1e-9..=1e9)? as f32,
        logit_softcap: Some(config.f64_or("final_logit_softcapping", 20.0, 1e-3..=1e6)? as f32),
        ..spec
    })
}
