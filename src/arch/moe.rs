//! Mixtures of experts around blocks that other families have, too: Mixtral, Phi 3.5 MoE, GPT-OSS, GLM 4.5, ERNIE 4.5.

use serde_json::json;

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, Groups, Routing, Score, Spec};
use crate::error::Result;

/// Mixtral.
pub(super) fn mixtral(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_experts_per_tok": 2, "num_key_value_heads": 8, "num_local_experts": 8,
        "rms_norm_eps": 1e-5,
    });
    let spec = config.with_defaults(defaults, |config| {
        let sizes = Sizes::read(config)?.with_even_heads(config)?;
        let context = blocks::context_length(config, 32_768)?;
        let theta = rope::theta_or(config, "rope_theta", 1e6)?;
        let rope = rope::plain(config, sizes.head_dim, config.bool_or("rope_traditional", false)?, theta)?;
        blocks::ignore_window(config, context)?;
        blocks::silu(config)?;
        let (count, top_k) = local_experts(config)?;
        blocks::decoder(config, &sizes, context, config.bool_or("tie_word_embeddings", false)?, |i| {
            let ffn = sizes.moe(i, "mlp", count, sizes.intermediate, false, Choice::softmax_of_chosen(top_k));
            sizes.layer(i, sizes.attention(i, sizes.split_qkv(i, false), false, &rope), ffn)
        })
    })?;
    Ok(spec.renamed(&[(".mlp.", ".block_sparse_moe.")]))
}

/// Phi 3.5 MoE: layer norms, the sparse mixer.
pub(super) fn phimoe(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 32_064, "hidden_size": 4096, "intermediate_size": 6400, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 131_072,
        "original_max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "num_local_experts": 16,
        "num_experts_per_tok": 2,
    });
    let mut spec = config.with_defaults(defaults, |config| {
        let sizes = Sizes::read(config)?.with_even_heads(config)?.with_layer_norms(true);
        let context = blocks::context_length(config, 131_072)?;
        let base = Base { dims: sizes.head_dim, traditional: false, theta: None, context };
        let theta = rope::theta_or(config, "rope_theta", 10_000.0)?;
        let scaling = config.object("rope_scaling")?;
        let rope = rope::longrope_with_own_magnitude(config, scaling.as_ref(), &base, theta)?;
        blocks::ignore_window(config, context)?;
        blocks::silu(config)?;
        let (count, top_k) = local_experts(config)?;
        let jitter = config.f64_or("router_jitter_noise", 0.01, 0.0..=1.0)? as f32;
        let routing = Routing { score: Score::SparseMixer(jitter), ..Choice::softmax(top_k) };
        blocks::decoder(config, &sizes, context, false, |i| {
            let ffn = sizes.moe(i, "mlp", count, sizes.intermediate, false, routing.clone());
            sizes.layer(i, sizes.attention(i, sizes.split_qkv(i, true), true, &rope), ffn)
        })
    })?;
    spec.head = spec.head.map(|head| linear(head.name, head.outputs, head.inputs, true));
    Ok(spec.renamed(&[(".mlp.", ".block_sparse_moe.")]))
}

/// GPT-OSS: sinks, sliding layers in turn with others, biases everywhere, a clipped gate.
pub(super) fn gpt_oss(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "num_hidden_layers": 36, "num_local_experts": 128, "num_experts_per_tok": 4, "vocab_size": 201_088,
        "rms_norm_eps": 1e-5, "hidden_size": 2880, "intermediate_size": 2880, "head_dim": 64,
        "num_attention_heads": 64, "num_key_value_heads": 8, "sliding_window": 128,
    });
    let spec = config.with_defaults(defaults, |config| {
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 131_072)?;
        let base = Base { dims: sizes.head_dim, traditional: false, theta: Some(150_000.0), context };
        let rope = rope::rope(config, &base)?;
        blocks::silu(config)?;
        // mlx-lm's numbers are fixed.
        if config.f64_or("swiglu_limit", 7.0, 0.0..=1e6)? != 7.0 {
            return Err(config.unsupported("swiglu_limit", "is not supported; 7 is"));
        }
        let windows = match blocks::layer_windows(config, sizes.layers)? {
            Some(windows) => windows,
            None => {
                let window = config.usize("sliding_window", 1..=blocks::MAX_CONTEXT)?;
                (0..sizes.layers).map(|i| i.is_multiple_of(2).then_some(window)).collect()
            }
        };
        let (count, top_k) = local_experts(config)?;
        blocks::decoder(config, &sizes, context, false, |i| {
            let attention = Attention {
                window: windows[i],
                sinks: Some(attention_name(i, "sinks")),
                ..sizes.attention(i, sizes.split_qkv(i, true), true, &rope)
            };
            let mut moe = sizes.moe(i, "mlp", count, sizes.intermediate, true, Choice::softmax_of_chosen(top_k));
            moe.mlp.activation = Activation::ClippedSwiglu { alpha: 1.702, limit: 7.0 };
            moe.router.bias = true;
            for linear in moe.mlp.gate_up.iter_mut().chain([&mut moe.mlp.down]) {
                linear.bias = true;
            }
            sizes.layer(i, attention, moe)
        })
    })?;
    Ok(spec.renamed(&[(".mlp.gate", ".mlp.router"), ("mlp.switch_mlp.", "mlp.experts.")]))
}

/// GLM 4.5 and 4.6: sigmoid routing with a correction, a shared expert, the first layers dense.
pub(super) fn glm4_moe(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let dims = (sizes.head_dim as f64 * config.f64("partial_rotary_factor", 0.0..=1.0)?) as usize;
    let rope = rope::plain(config, dims, false, config.f64("rope_theta", 1.001..=1e15)?)?;
    let activation = blocks::silu(config)?;
    let bias = config.bool("attention_bias")?;
    let normed = config.bool("use_qk_norm")?;
    let count = config.usize("n_routed_experts", 1..=experts::MAX)?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.optional_usize("n_shared_experts", 0..=256)?.unwrap_or(0);
    let first = config.usize("first_k_dense_replace", 0..=1 << 16)?;
    let routing = corrected_sigmoid(config, count)?;
    let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
        let attention = match normed {
            true => sizes.normed_attention(i, bias, false, &rope),
            false => sizes.attention(i, sizes.split_qkv(i, bias), false, &rope),
        };
        if i < first {
            return sizes.layer(i, attention, sizes.split_mlp(i, false, activation));
        }
        let routing = Routing { correction: Some(name(i, "mlp.gate.e_score_correction_bias")), ..routing.clone() };
        let mut moe = sizes.moe(i, "mlp", count, width, false, routing);
        if shared > 0 {
            moe.shared = Some(sizes.mlp_of(name(i, "mlp.shared_experts"), width * shared, false, activation).into());
        }
        sizes.layer(i, attention, moe)
    })?;
    // The layer that predicts a further token.
    spec.ignored.push(format!("model.layers.{}.", sizes.layers));
    Ok(spec)
}

/// The rule of DeepSeek 3 and those who took it over: sigmoids with a correction, two best of each group.
pub(super) fn corrected_sigmoid(config: &Config, count: usize) -> Result<Routing> {
    for (key, only) in [("topk_method", "noaux_tc"), ("scoring_func", "sigmoid")] {
        if config.string(key)?.is_some_and(|value| value != only) {
            return Err(config.unsupported(key, format_args!("is not supported; {only} is")));
        }
    }
    grouped_sigmoid(config, count, ["num_experts_per_tok", "n_group", "topk_group", "norm_topk_prob"])
}

/// The same with other names of the keys: experts of a row, groups, groups of a row, whether weights are normalised.
pub(super) fn grouped_sigmoid(config: &Config, count: usize, keys: [&str; 4]) -> Result<Routing> {
    let [top_k, n_group, topk_group, normalized] = keys;
    let top_k = config.usize(top_k, 1..=count)?;
    let groups = config.usize_or(n_group, 1, 1..=count)?;
    let chosen = config.usize_or(topk_group, 1, 1..=groups)?;
    if !count.is_multiple_of(groups) || (groups > 1 && count / groups < 2) || count / groups * chosen < top_k {
        return Err(config.corrupt(n_group, format_args!("does not fit {count} experts, {top_k} of them chosen")));
    }
    let grouped = (groups > 1 && chosen < groups).then_some(Groups { count: groups, chosen, best: 2, strict: false });
    let normalize = (top_k > 1 && config.bool_or(normalized, true)?).then_some(0.0);
    let scale = config.f64_or("routed_scaling_factor", 1.0, 1e-6..=1e6)? as f32;
    Ok(Routing { normalize, scale, ..Choice::sigmoid(top_k, None, grouped) })
}

/// ERNIE 4.5 MoE: the middle layers have experts.
pub(super) fn ernie(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let rope = rope::plain(config, sizes.head_dim, true, config.f64("rope_theta", 1.001..=1e15)?)?;
    let activation = blocks::silu(config)?;
    let bias = config.bool("use_bias")?;
    let count = config.usize("moe_num_experts", 1..=experts::MAX)?;
    let top_k = config.usize_or("moe_k", 1, 1..=count)?;
    let width = match config.optional_usize("moe_intermediate_size", 0..=MAX_INTERMEDIATE)? {
        None | Some(0) => sizes.intermediate,
        Some(width) => width,
    };
    let shared = config.usize_or("moe_num_shared_experts", 0, 0..=256)?;
    let score = match config.string("moe_gate_act")? {
        None | Some("softmax") => Score::Softmax,
        Some("sigmoid") => Score::Sigmoid,
        Some(_) => return Err(config.unsupported("moe_gate_act", "is not supported; softmax and sigmoid are")),
    };
    let routing = Routing { score, ..Choice::softmax_of_chosen(top_k) };
    let interval = config.usize_or("moe_layer_interval", 1, 1..=1 << 16)?;
    let start = bound(config, "moe_layer_start_index", usize::min)?.unwrap_or(0);
    let end = bound(config, "moe_layer_end_index", usize::max)?.unwrap_or(sizes.layers - 1);
    let tied = config.bool("tie_word_embeddings")?;
    let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let ffn: Ffn = if (i + 1).is_multiple_of(interval) && (start..=end).contains(&i) {
            let mut moe = sizes.moe(i, "mlp", count, width, bias, routing.clone());
            if shared > 0 {
                moe.shared = Some(sizes.mlp_of(name(i, "mlp.shared_experts"), width * shared, bias, activation).into());
            }
            moe.into()
        } else {
            sizes.split_mlp(i, bias, activation).into()
        };
        sizes.layer(i, sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope), ffn)
    })?;
    spec.ignored.extend(["mtp_", "e_score_correction_bias"].map(String::from));
    Ok(spec)
}

/// MiniMax M2: norms over all heads together, sigmoid routing with a correction.
pub(super) fn minimax(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 196_608)?;
    let dims = config.usize("rotary_dim", 2..=sizes.head_dim)?;
    let rope = rope::plain(config, dims, false, config.f64("rope_theta", 1.001..=1e15)?)?;
    blocks::silu(config)?;
    if config.string("scoring_func")?.is_some_and(|score| score != "sigmoid") {
        return Err(config.unsupported("scoring_func", "is not supported; sigmoid is"));
    }
    let (count, top_k) = local_experts(config)?;
    let normed = config.bool_or("use_qk_norm", true)?;
    let spec = blocks::decoder(config, &sizes, context, config.bool_or("tie_word_embeddings", false)?, |i| {
        let attention = match normed {
            true => sizes.wide_normed_attention(i, false, &rope),
            false => sizes.attention(i, sizes.split_qkv(i, false), false, &rope),
        };
        let correction = Some(name(i, "mlp.e_score_correction_bias"));
        let routing = Routing { normalize: Some(1e-20), ..Choice::sigmoid(top_k, correction, None) };
        sizes.layer(i, attention, sizes.moe(i, "mlp", count, sizes.intermediate, false, routing))
    })?;
    Ok(spec.renamed(&[(".mlp.", ".block_sparse_moe.")]))
}

/// A number, or the least or largest of a list.
fn bound(config: &Config, key: &str, of: fn(usize, usize) -> usize) -> Result<Option<usize>> {
    Ok(config.usizes_or_one(key, 0..=1 << 16)?.and_then(|numbers| numbers.into_iter().reduce(of)))
}

fn local_experts(config: &Config) -> Result<(usize, usize)> {
    let count = config.usize("num_local_experts", 1..=experts::MAX)?;
    Ok((count, config.usize("num_experts_per_tok", 1..=count)?))
}
