//! Mixtures of experts with sliding layers, which alone are rotated: Trinity (AFMoE), EXAONE MoE.

use serde_json::{Value, json};

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts;
use super::moe::grouped_sigmoid;
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, Gate, Layer, Moe, Routing, Score, Spec};
use crate::error::Result;

const SCORES: &str = "is not supported; sigmoid and softmax are";

/// Trinity: gated attention, norms around each block, scaled embeddings.
pub(super) fn trinity(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 200_192, "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 1024,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 64,
        "rms_norm_eps": 1e-5, "num_experts": 128, "num_experts_per_tok": 8, "sliding_window": 2048,
    });
    config.with_defaults(defaults, |config| {
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 131_072)?;
        let base = Base { dims: sizes.head_dim, traditional: false, theta: Some(10_000.0), context };
        let rope = rope::rope(config, &base)?;
        let windows = windows(config, &sizes)?;
        blocks::silu(config)?;
        let dense = config.usize_or("num_dense_layers", 2, 0..=1 << 16)?;
        let keys = ["num_experts_per_tok", "n_group", "topk_group", "route_norm"];
        let count = config.usize("num_experts", 1..=experts::MAX)?;
        let scale = config.f64_or("route_scale", 2.826, 1e-6..=1e6)? as f32;
        let score = match config.string("score_func")? {
            None | Some("sigmoid") => Score::Sigmoid,
            Some("softmax") => Score::Softmax,
            Some(_) => return Err(config.unsupported("score_func", SCORES)),
        };
        let routing = Routing { scale, score, ..grouped_sigmoid(config, count, keys)? };
        let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
        let shared = config.usize_or("num_shared_experts", 1, 0..=256)?;
        let tied = config.bool_or("tie_word_embeddings", false)?;
        let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
            let mut attention = sizes.normed_attention(i, false, false, &rope);
            attention.qkv.push(linear(attention_name(i, "gate_proj"), sizes.query_width(), sizes.hidden, false));
            let rope = attention.rope.filter(|_| windows[i].is_some());
            let attention = Attention { gate: Some(Gate::Sigmoid), window: windows[i], rope, ..attention };
            let ffn: Ffn = if i < dense {
                sizes.split_mlp(i, false, Activation::Silu).into()
            } else {
                let correction = Some(name(i, "mlp.expert_bias"));
                let routing = Routing { correction, ..routing.clone() };
                with_shared(&sizes, i, shared * width, sizes.moe(i, "mlp", count, width, false, routing)).into()
            };
            Layer {
                mixer_post_norm: Some(sizes.layer_norm(i, "post_attention_layernorm")),
                ffn_norm: Some(sizes.layer_norm(i, "pre_mlp_layernorm")),
                ffn_post_norm: Some(sizes.layer_norm(i, "post_mlp_layernorm")),
                ..sizes.layer(i, attention, ffn)
            }
        })?;
        if config.bool_or("mup_enabled", true)? {
            spec.embedding_scale = (sizes.hidden as f32).sqrt();
        }
        Ok(renamed_router(spec).renamed(&[(".mlp.switch_mlp.", ".mlp.experts.")]))
    })
}

/// The router is a part of a part; `mlp.gate_proj` of dense layers is not it.
fn renamed_router(mut spec: Spec) -> Spec {
    for layer in &mut spec.layers {
        if let Ffn::Moe(moe) = &mut layer.ffn {
            moe.router.name = moe.router.name.replace(".mlp.gate", ".mlp.router.gate");
        }
    }
    spec
}

/// EXAONE MoE: norms on heads, layers with experts by a list.
pub(super) fn exaone(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let theta = match config.object("rope_parameters")? {
        Some(parameters) if parameters.get("rope_theta").is_some() => rope::theta_or(&parameters, "rope_theta", 1e6)?,
        _ => rope::theta_or(config, "rope_theta", 1e6)?,
    };
    let base = Base { dims: sizes.head_dim, traditional: false, theta: None, context };
    let rope = rope::scaled(config, config.object("rope_scaling")?.as_ref(), &base, theta)?;
    let windows = windows(config, &sizes)?;
    let rotated = |i: usize| windows[i].is_some() || windows.iter().all(Option::is_none);
    blocks::silu(config)?;
    let sparse = sparse_layers(config, sizes.layers)?;
    for (key, only) in [("topk_method", "noaux_tc"), ("scoring_func", "sigmoid")] {
        if config.string(key)?.is_some_and(|value| value != only) {
            return Err(config.unsupported(key, format_args!("is not supported; {only} is")));
        }
    }
    let count = config.usize("num_experts", 1..=experts::MAX)?;
    let keys = ["num_experts_per_tok", "n_group", "topk_group", "norm_topk_prob"];
    let routing = grouped_sigmoid(config, count, keys)?;
    let scale = config.f64_or("routed_scaling_factor", 2.5, 1e-6..=1e6)? as f32;
    let routing = Routing { scale, normalize: routing.normalize.map(|_| 1e-20), ..routing };
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.optional_usize("num_shared_experts", 0..=256)?.unwrap_or(0);
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.normed_attention(i, false, false, &rope);
        let rope = attention.rope.filter(|_| rotated(i));
        let attention = Attention { window: windows[i], rope, ..attention };
        if !sparse[i] {
            return sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu));
        }
        let correction = Some(name(i, "mlp.gate.e_score_correction_bias"));
        let moe = sizes.moe(i, "mlp", count, width, false, Routing { correction, ..routing.clone() });
        sizes.layer(i, attention, with_shared(&sizes, i, shared * width, moe))
    })?;
    spec.ignored.push("mtp.".into());
    Ok(spec)
}

fn with_shared(sizes: &Sizes, i: usize, width: usize, moe: Moe) -> Moe {
    let shared = || sizes.mlp_of(name(i, "mlp.shared_experts"), width, false, Activation::Silu).into();
    Moe { shared: (width > 0).then(shared), ..moe }
}

fn windows(config: &Config, sizes: &Sizes) -> Result<Vec<Option<usize>>> {
    match blocks::layer_windows(config, sizes.layers)? {
        Some(windows) => Ok(windows),
        None => Err(config.wrong("layer_types", "there")),
    }
}

/// Whether each layer has experts.
fn sparse_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "is_moe_layer";
    let list = config.get(KEY).and_then(Value::as_array);
    let list: Option<Vec<bool>> = list.and_then(|list| list.iter().map(Value::as_bool).collect());
    match list {
        Some(list) if list.len() == layers => Ok(list),
        _ => Err(config.wrong(KEY, format_args!("a list with true or false for each of the {layers} layers"))),
    }
}
