//! LFM 2 and 2.5: short convolutions, with attention in some layers; and the mixture of experts.

use super::blocks::{self, Keys, MAX_INTERMEDIATE, Sizes, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope;
use super::spec::{Activation, Attention, Conv, Ffn, Layer, Mixer, Rope, Routing, ShortConv, Spec};
use super::wrapper;
use crate::error::Result;

/// The dense model.
pub(super) fn dense(config: &Config) -> Result<Spec> {
    let given = match config.optional_usize("block_ff_dim", 1..=MAX_INTERMEDIATE)? {
        Some(width) => width,
        None => config.usize("intermediate_size", 1..=MAX_INTERMEDIATE)?,
    };
    let width = match config.bool("block_auto_adjust_ff_dim")? {
        true => {
            let multiplier = config.f64_or("block_ffn_dim_multiplier", 1.0, 1e-3..=1e3)?;
            let width = (multiplier * (2 * given / 3) as f64) as usize;
            let multiple = config.usize("block_multiple_of", 1..=MAX_INTERMEDIATE)?;
            width.next_multiple_of(multiple)
        }
        false => given,
    };
    let intermediate = serde_json::json!({"intermediate_size": width});
    let spec = config.with(serde_json::Value::Null, intermediate, |config| {
        with_ffn(config, |sizes, i| sizes.split_mlp(i, false, Activation::Silu).into())
    })?;
    Ok(spec.renamed(&[
        ("mlp.gate_proj", "feed_forward.w1"),
        ("mlp.up_proj", "feed_forward.w3"),
        ("mlp.down_proj", "feed_forward.w2"),
    ]))
}

/// The mixture of experts.
pub(super) fn moe(config: &Config) -> Result<Spec> {
    let count = config.usize("num_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let dense = config.usize("num_dense_layers", 0..=1 << 16)?;
    let corrected = config.bool("use_expert_bias")?;
    let normalize = config.bool("norm_topk_prob")?.then_some(1e-6);
    let scale = config.f64_or("routed_scaling_factor", 1.0, 1e-6..=1e6)? as f32;
    let spec = with_ffn(config, |sizes, i| {
        if i < dense {
            return sizes.split_mlp(i, false, Activation::Silu).into();
        }
        let correction = corrected.then(|| name(i, "mlp.expert_bias"));
        let routing = Routing { normalize, scale, ..Choice::sigmoid(top_k, correction, None) };
        sizes.moe(i, "mlp", count, width, false, routing).into()
    })?;
    Ok(spec.renamed(&[(".mlp.", ".feed_forward.")]))
}

/// The text part of a model that also sees.
pub(super) fn multimodal(config: &Config) -> Result<Spec> {
    wrapper::text_part(config, serde_json::Value::Null, None, "language_model.", dense)
}

fn with_ffn(config: &Config, ffn: impl Fn(&Sizes, usize) -> Ffn) -> Result<Spec> {
    let keys = Keys { epsilon: "norm_eps", ..Keys::STANDARD };
    let sizes = Sizes::read_as(config, &keys)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 128_000)?;
    // A base within `rope_parameters` comes before one beside it.
    let theta = match config.object("rope_parameters")? {
        Some(parameters) if parameters.get("rope_theta").is_some() => parameters.f64("rope_theta", 1.001..=1e15)?,
        _ => rope::theta_or(config, "rope_theta", 1_000_000.0)?,
    };
    let rope = rope::plain(config, sizes.head_dim, false, theta)?;
    let full = full_layers(config, sizes.layers)?;
    let width = config.usize("conv_L_cache", 2..=64)?;
    let bias = config.bool("conv_bias")?;
    let spec = blocks::decoder(config, &sizes, context, true, |i| {
        let layer = sizes.layer(i, attention(&sizes, i, &rope), ffn(&sizes, i));
        match full[i] {
            true => layer,
            false => Layer { mixer: Mixer::ShortConv(short_conv(&sizes, i, width, bias)), ..layer },
        }
    })?;
    Ok(spec.renamed(&[
        ("input_layernorm", "operator_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "self_attn.out_proj"),
        ("model.norm", "model.embedding_norm"),
    ]))
}

fn attention(sizes: &Sizes, i: usize, rope: &Rope) -> Attention {
    Attention {
        query_norm: Some(sizes.head_norm(i, "q_layernorm")),
        key_norm: Some(sizes.head_norm(i, "k_layernorm")),
        ..sizes.attention(i, sizes.split_qkv(i, false), false, rope)
    }
}

fn short_conv(sizes: &Sizes, i: usize, width: usize, bias: bool) -> ShortConv {
    let hidden = sizes.hidden;
    ShortConv {
        input: linear(name(i, "conv.in_proj"), 3 * hidden, hidden, bias),
        conv: Conv {
            weights: vec![name(i, "conv.conv.weight")],
            biases: bias.then(|| name(i, "conv.conv.bias")).into_iter().collect(),
            channels: hidden,
            width,
        },
        output: linear(name(i, "conv.out_proj"), hidden, hidden, bias),
    }
}

/// Whether each layer attends: by a list of those that do, or by the layers' types.
fn full_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    if let Some(list) = config.usizes("full_attn_idxs", 0..=1 << 16)? {
        return Ok((0..layers).map(|i| list.contains(&i)).collect());
    }
    const KEY: &str = "layer_types";
    let Some(types) = config.strings(KEY)? else {
        return Err(config.wrong(KEY, "there when `full_attn_idxs` is not"));
    };
    if types.len() != layers {
        return Err(config.corrupt(KEY, format_args!("must have one entry for each of the {layers} layers")));
    }
    let full = |kind: &str| match kind {
        "full_attention" => Ok(true),
        "conv" => Ok(false),
        other => Err(config.unsupported(KEY, format_args!("names {other:?}, which is not supported"))),
    };
    types.into_iter().map(full).collect()
}
