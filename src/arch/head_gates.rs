//! Families whose attention is gated head by head, and whose kinds of layers have rotary embeddings of their own: Laguna,
//! Spark 2.5, Step 3.5.

use serde_json::json;

use super::blocks::{self, MAX_HEADS, MAX_INTERMEDIATE, MAX_LAYERS, Sizes, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, Gate, Rope, Routing, Score, Spec};
use crate::error::Result;

/// Laguna: a softplus gates each head; experts, and a shared one, in most layers.
pub(super) fn laguna(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 100_352, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 40,
        "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "rms_norm_eps": 1e-6,
        "sliding_window": 512, "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
    });
    config.with_defaults(defaults, |config| {
        const SCORE: &str = "moe_router_score_func";
        const KINDS: &str = "mlp_layer_types";
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 262_144)?;
        let windows = blocks::layer_windows(config, sizes.layers)?.unwrap_or_else(|| vec![None; sizes.layers]);
        let partial = config.f64_or("partial_rotary_factor", 1.0, 0.0..=1.0)?;
        let [full, sliding] = ropes(config, &sizes, &windows, context, partial, true)?;
        let heads = heads_of_layers(config, &sizes)?;
        let sparse: Vec<bool> = match config.strings(KINDS)? {
            Some(kinds) if kinds.len() == sizes.layers => kinds.into_iter().map(|kind| kind == "sparse").collect(),
            Some(_) => return Err(config.wrong(KINDS, format_args!("a kind for each of {} layers", sizes.layers))),
            None => (0..sizes.layers).map(|i| i > 0).collect(),
        };
        let (bias, qkv_bias) = (config.bool_or("attention_bias", false)?, config.bool_or("qkv_bias", false)?);
        let gating = config.bool_or("gating", true)?;
        let count = config.usize("num_experts", 1..=experts::MAX)?;
        let top_k = config.usize("num_experts_per_tok", 1..=count)?;
        let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
        let shared = config.usize("shared_expert_intermediate_size", 1..=MAX_INTERMEDIATE)?;
        let cap = config.f64_or("moe_router_logit_softcapping", 0.0, 0.0..=1e6)? as f32;
        let score = match config.string(SCORE)? {
            None | Some("sigmoid") => Score::Sigmoid,
            Some("sqrtsoftplus") => Score::SqrtSoftplus,
            Some(_) => return Err(config.unsupported(SCORE, "is not supported; sigmoid and sqrtsoftplus are")),
        };
        let scale = config.f64_or("moe_routed_scaling_factor", 1.0, 1e-6..=1e6)? as f32;
        blocks::silu(config)?;
        let tied = config.bool_or("tie_word_embeddings", false)?;
        blocks::decoder(config, &sizes, context, tied, |i| {
            let own = Sizes { heads: heads[i], ..sizes.clone() };
            let rope = if windows[i].is_some() { &sliding } else { &full };
            let attention = own.normed_attention(i, qkv_bias, bias, rope.as_ref());
            let attention = Attention { window: windows[i], ..attention };
            let attention = match gating {
                true => own.with_head_gate(i, Gate::HeadSoftplus, false, attention),
                false => attention,
            };
            if !sparse[i] {
                return sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu));
            }
            let correction = Some(name(i, "mlp.gate.e_score_correction_bias"));
            let softcap = (cap > 0.0).then_some(cap);
            let routing = Choice::sigmoid(top_k, correction, None);
            let routing = Routing { score, softcap, scale, normalize: Some(0.0), ..routing };
            let mut moe = sizes.moe(i, "mlp", count, width, false, routing);
            moe.router.name = name(i, "mlp.gate.proj");
            let shared = sizes.mlp_of(name(i, "mlp.shared_expert"), shared, false, Activation::Silu);
            moe.shared = Some(shared.into());
            sizes.layer(i, attention, moe)
        })
    })
}

/// Query heads of each layer.
fn heads_of_layers(config: &Config, sizes: &Sizes) -> Result<Vec<usize>> {
    const KEY: &str = "num_attention_heads_per_layer";
    let Some(heads) = config.usizes(KEY, 1..=MAX_HEADS)? else { return Ok(vec![sizes.heads; sizes.layers]) };
    if heads.len() != sizes.layers || heads.iter().any(|heads| !heads.is_multiple_of(sizes.kv_heads)) {
        let message = format!("multiples of {} for each of {} layers", sizes.kv_heads, sizes.layers);
        return Err(config.wrong(KEY, message));
    }
    Ok(heads)
}

/// The rotary embeddings of full and of sliding layers, where there are such. Families that do not scale them refuse it.
fn ropes(
    config: &Config,
    sizes: &Sizes,
    windows: &[Option<usize>],
    context: usize,
    partial: f64,
    scaled: bool,
) -> Result<[Option<Rope>; 2]> {
    rope::refuse_rope_scaling(config)?;
    let parameters = config.object("rope_parameters")?;
    let rope = |kind: &str| {
        let own = match &parameters {
            Some(parameters) => parameters.object(kind)?,
            None => None,
        };
        let Some(own) = own else {
            return rope::local(config, (sizes.head_dim as f64 * partial) as usize, false, 10_000.0);
        };
        if !scaled && own.string("rope_type")?.is_some_and(|kind| kind != "default") {
            return Err(own.unsupported("rope_type", "is not supported for this model_type"));
        }
        let theta = rope::theta_or(&own, "rope_theta", 10_000.0)?;
        let partial = own.f64_or("partial_rotary_factor", partial, 0.0..=1.0)?;
        let dims = (sizes.head_dim as f64 * partial) as usize;
        rope::scaled(config, Some(&own), &Base { dims, traditional: false, theta: None, context }, theta)
    };
    let full = windows.contains(&None).then(|| rope("full_attention")).transpose()?;
    let sliding = windows.iter().any(Option::is_some).then(|| rope("sliding_attention")).transpose()?;
    Ok([full, sliding])
}

/// Spark 2.5: dense, with GELU; three of four layers slide.
pub(super) fn spark(config: &Config) -> Result<Spec> {
    let sizes = config.with_defaults(json!({"rms_norm_eps": 1e-6}), Sizes::read)?;
    let context = blocks::context_length(config, 8192)?;
    let windows = match blocks::layer_windows(config, sizes.layers)? {
        Some(windows) => windows,
        None => {
            let window = config.usize("sliding_window", 1..=blocks::MAX_CONTEXT)?;
            (1..=sizes.layers).map(|layer| (!layer.is_multiple_of(4)).then_some(window)).collect()
        }
    };
    let [full, sliding] = ropes(config, &sizes, &windows, context, 1.0, false)?;
    blocks::expect_activation(config, &["gelu"])?;
    if config.string("gate_attn_act_mode")?.is_some_and(|mode| mode != "sigmoid") {
        return Err(config.unsupported("gate_attn_act_mode", "is not supported; sigmoid is"));
    }
    if !config.bool_or("headwise_attn_output_gate", true)? {
        return Err(config.unsupported("headwise_attn_output_gate", "is not supported; true is"));
    }
    let (bias, mlp_bias) = (config.bool_or("attention_bias", false)?, config.bool_or("mlp_bias", false)?);
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let rope = if windows[i].is_some() { &sliding } else { &full };
        let attention = sizes.attention(i, sizes.fused_qkv(i, bias), bias, rope.as_ref());
        let attention = Attention { window: windows[i], ..attention };
        let attention = sizes.with_head_gate(i, Gate::HeadSigmoid, bias, attention);
        sizes.layer(i, attention, sizes.split_mlp(i, mlp_bias, Activation::Gelu))
    })?;
    Ok(spec.renamed(&[
        ("self_attn.qkv_proj", "self_attn.q_k_v_proj"),
        ("self_attn.o_proj", "self_attn.out_proj"),
        ("model.embed_tokens", "model.embedding"),
    ]))
}

/// Step 3.5: experts with limited gates, sliding layers that may have heads of their own.
pub(super) fn step(config: &Config) -> Result<Spec> {
    let groups = config.usize("num_attention_groups", 1..=MAX_HEADS)?;
    let defaults = json!({
        "rms_norm_eps": 1e-5, "sliding_window": 512, "moe_num_experts": 288, "moe_top_k": 8,
        "moe_intermediate_size": 1280, "share_expert_dim": 1280,
    });
    config.with(defaults, json!({"num_key_value_heads": groups}), read_step)
}

fn read_step(config: &Config) -> Result<Spec> {
    const OTHER: &str = "attention_other_setting";
    let full = Sizes::read(config)?;
    let context = blocks::context_length(config, 262_144)?;
    let windows = match blocks::layer_windows(config, full.layers)? {
        Some(windows) => windows,
        None => {
            let window = config.usize("sliding_window", 1..=blocks::MAX_CONTEXT)?;
            (0..full.layers).map(|i| i.is_multiple_of(2).then_some(window)).collect()
        }
    };
    let sliding = match config.object(OTHER)? {
        Some(other) => {
            let heads = other.usize("num_attention_heads", 1..=MAX_HEADS)?;
            let kv_heads = other.usize("num_attention_groups", 1..=heads)?;
            if !heads.is_multiple_of(kv_heads) {
                return Err(other.corrupt("num_attention_groups", format_args!("does not divide the {heads} heads")));
            }
            Sizes { heads, kv_heads, ..full.clone() }
        }
        None => full.clone(),
    };
    let ropes = (0..full.layers).map(|i| step_rope(config, &full, i, context)).collect::<Result<Vec<_>>>()?;
    let gated = config.bool_or("use_head_wise_attn_gate", true)?;
    let sparse = step_sparse_layers(config, full.layers)?;
    let count = config.usize("moe_num_experts", 1..=experts::MAX)?;
    let top_k = config.usize("moe_top_k", 1..=count)?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.usize("share_expert_dim", 1..=MAX_INTERMEDIATE)?;
    let scale = config.f64_or("moe_router_scaling_factor", 3.0, 1e-6..=1e6)? as f32;
    let normalize = config.bool_or("norm_expert_weight", true)?.then_some(1e-20);
    let limits = |key| Ok::<_, crate::error::Error>(config.f64s(key, 0.0..=1e6)?.unwrap_or_default());
    let (of_experts, of_shared) = (limits("swiglu_limits")?, limits("swiglu_limits_shared")?);
    let activation = |limits: &[f64], i: usize| match limits.get(i) {
        Some(&limit) if limit > 0.0 => Activation::LimitedSwiglu { limit: limit as f32 },
        _ => Activation::Silu,
    };
    blocks::decoder(config, &full, context, false, |i| {
        let sizes = if windows[i].is_some() { &sliding } else { &full };
        let attention = Attention { window: windows[i], ..sizes.normed_attention(i, false, false, &ropes[i]) };
        let attention = match gated {
            true => sizes.with_head_gate(i, Gate::HeadSigmoid, false, attention),
            false => attention,
        };
        let ffn: Ffn = if sparse[i] {
            let correction = Some(name(i, "mlp.gate.router_bias"));
            let routing = Routing { normalize, scale, ..Choice::sigmoid(top_k, correction, None) };
            let mut moe = sizes.moe(i, "mlp", count, width, false, routing);
            moe.router.name = name(i, "mlp.gate.gate");
            moe.mlp.activation = activation(&of_experts, i);
            let shared = sizes.mlp_of(name(i, "mlp.share_expert"), shared, false, activation(&of_shared, i));
            moe.shared = Some(shared.into());
            moe.into()
        } else {
            sizes.split_mlp(i, false, activation(&of_shared, i)).into()
        };
        sizes.layer(i, attention, ffn)
    })
}

/// The rotary embedding of a layer: bases and rotated parts may be listed, and scaling may hold for some kinds alone.
fn step_rope(config: &Config, sizes: &Sizes, layer: usize, context: usize) -> Result<Rope> {
    let theta = match config.f64s_or_one("rope_theta", 1.001..=1e15)? {
        None => 10_000.0,
        Some(all) => match all.get(if all.len() == 1 { 0 } else { layer }) {
            Some(theta) => *theta,
            None => return Err(config.corrupt("rope_theta", format_args!("has nothing for layer {layer}"))),
        },
    };
    let partial = config.f64s("partial_rotary_factors", 0.0..=1.0)?.unwrap_or_default();
    let dims = (sizes.head_dim as f64 * partial.get(layer).copied().unwrap_or(1.0)) as usize;
    let kinds = config.strings("layer_types")?.unwrap_or_default();
    let kind = kinds.get(layer).copied().unwrap_or("full_attention");
    let only = config.strings("yarn_only_types")?.unwrap_or_default();
    let scaling = if only.is_empty() || only.contains(&kind) { config.object("rope_scaling")? } else { None };
    rope::scaled(config, scaling.as_ref(), &Base { dims, traditional: false, theta: None, context }, theta)
}

/// Whether each layer has experts: those that a string lists, or all but the first.
fn step_sparse_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "moe_layers_enum";
    let Some(list) = config.string(KEY)?.filter(|list| !list.is_empty()) else {
        return Ok((0..layers).map(|i| i > 0).collect());
    };
    let mut sparse = vec![false; layers];
    for number in list.trim().split(',') {
        let layer = number.trim().parse::<usize>().ok().filter(|layer| *layer < MAX_LAYERS);
        let layer = layer.ok_or_else(|| config.wrong(KEY, "numbers of layers between commas"))?;
        sparse.iter_mut().skip(layer).take(1).for_each(|sparse| *sparse = true);
    }
    Ok(sparse)
}
