//! Mixtures of experts whose router takes sigmoids from the best groups: dots.llm1, Ling (Bailing), Solar Open.

use serde_json::json;

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::moe::{glm4_moe, grouped_sigmoid};
use super::rope::{self, Base};
use super::spec::{Attention, Ffn, Routing, Score, Spec};
use crate::error::Result;

/// dots.llm1: norms on heads, the first layers dense.
pub(super) fn dots(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 32_768)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional: false, theta: None, context })?;
    let activation = blocks::silu(config)?;
    let bias = config.bool_or("mlp_bias", false)?;
    let count = config.usize("n_routed_experts", 1..=experts::MAX)?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.usize("n_shared_experts", 1..=256)?;
    let first = config.usize("first_k_dense_replace", 0..=1 << 16)?;
    let keys = ["num_experts_per_tok", "n_group", "topk_group", "norm_topk_prob"];
    let routing = grouped_sigmoid(config, count, keys)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.normed_attention(i, false, false, &rope);
        if i < first {
            return sizes.layer(i, attention, sizes.split_mlp(i, bias, activation));
        }
        let routing = Routing { correction: Some(name(i, "mlp.gate.e_score_correction_bias")), ..routing.clone() };
        let mut moe = sizes.moe(i, "mlp", count, width, false, routing);
        moe.shared = Some(sizes.mlp_of(name(i, "mlp.shared_experts"), width * shared, bias, activation).into());
        sizes.layer(i, attention, moe)
    })?;
    Ok(spec.renamed(&[("mlp.switch_mlp.", "mlp.experts.")]))
}

/// Ling and Ring (Bailing): fused projections, sigmoids or a softmax.
pub(super) fn bailing(config: &Config) -> Result<Spec> {
    const SCORE: &str = "score_function";
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 32_768)?;
    let activation = blocks::silu(config)?;
    let dims = match config.optional_usize("rotary_dim", 2..=sizes.head_dim)? {
        Some(dims) => dims,
        None => (sizes.head_dim as f64 * config.f64_or("partial_rotary_factor", 1.0, 0.0..=1.0)?) as usize,
    };
    let rope = rope::rope(config, &Base { dims, traditional: false, theta: None, context })?;
    let (bias, qkv_bias) = (config.bool_or("use_bias", false)?, config.bool_or("use_qkv_bias", false)?);
    let normed = config.bool_or("use_qk_norm", false)?;
    if config.bool_or("norm_head", false)? {
        return Err(config.unsupported("norm_head", "is not supported"));
    }
    let count = config.optional_usize("num_experts", 1..=experts::MAX)?;
    let first = config.usize("first_k_dense_replace", 0..=1 << 16)?;
    let moe = match count {
        Some(count) => {
            let score = match config.string(SCORE)? {
                None | Some("softmax") => Score::Softmax,
                Some("sigmoid") => Score::Sigmoid,
                Some(_) => return Err(config.unsupported(SCORE, "is not supported; sigmoid and softmax are")),
            };
            let routing = config.with_defaults(json!({"topk_group": 1}), |config| {
                grouped_sigmoid(config, count, ["num_experts_per_tok", "n_group", "topk_group", "norm_topk_prob"])
            })?;
            Some((count, Routing { score, normalize: routing.normalize.map(|_| 1e-20), ..routing }))
        }
        None => None,
    };
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let one = config.usize_or("moe_shared_expert_intermediate_size", width, 1..=MAX_INTERMEDIATE)?;
    let shared = match config.bool_or("moe_router_enable_shared_expert", true)? {
        true => one * config.usize("num_shared_experts", 0..=256)?,
        false => 0,
    };
    let corrected = config.bool_or("moe_router_enable_expert_bias", false)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let norm = |part| normed.then(|| sizes.norm_of(attention_name(i, part), sizes.head_dim));
        let mut qkv = sizes.fused_qkv(i, qkv_bias);
        qkv[0].name = attention_name(i, "query_key_value");
        let attention = Attention {
            query_norm: norm("query_layernorm"),
            key_norm: norm("key_layernorm"),
            ..sizes.attention(i, qkv, bias, &rope)
        };
        let ffn: Ffn = match &moe {
            Some((count, routing)) if i >= first => {
                let correction = corrected.then(|| name(i, "mlp.gate.expert_bias"));
                let mut moe = sizes.moe(i, "mlp", *count, width, bias, Routing { correction, ..routing.clone() });
                moe.router = linear(name(i, "mlp.gate.gate_proj"), *count, sizes.hidden, false);
                moe.shared =
                    (shared > 0).then(|| sizes.mlp_of(name(i, "mlp.shared_experts"), shared, bias, activation).into());
                moe.into()
            }
            _ => sizes.split_mlp(i, bias, activation).into(),
        };
        sizes.layer(i, attention, ffn)
    })?;
    Ok(spec.renamed(&[
        (".self_attn.o_proj", ".attention.dense"),
        (".self_attn.", ".attention."),
        ("embed_tokens", "word_embeddings"),
    ]))
}

/// DeepSeek 1: Llama with experts in its later layers.
pub(super) fn deepseek(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 102_400, "hidden_size": 4096, "intermediate_size": 11_008, "moe_intermediate_size": 1407,
        "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-6,
    });
    config.with_defaults(defaults, |config| {
        let sizes = Sizes::read(config)?.with_even_heads(config)?;
        let context = blocks::context_length(config, 2048)?;
        if !matches!(rope::kind(config)?, "default" | "linear") {
            return Err(config.unsupported("rope_scaling", "is not supported for this model_type; linear is"));
        }
        let base = Base { dims: sizes.head_dim, traditional: false, theta: Some(10_000.0), context };
        let rope = rope::rope(config, &base)?;
        let activation = blocks::silu(config)?;
        let bias = config.bool_or("attention_bias", false)?;
        let routing = match config.optional_usize("n_routed_experts", 1..=experts::MAX)? {
            Some(count) => Some((count, Choice::softmax(config.usize("num_experts_per_tok", 1..=count)?))),
            None => None,
        };
        if config.bool_or("norm_topk_prob", false)? {
            return Err(config.unsupported("norm_topk_prob", "is not supported for this model_type"));
        }
        let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
        let shared = config.optional_usize("n_shared_experts", 0..=256)?.unwrap_or(0);
        let first = config.usize_or("first_k_dense_replace", 0, 0..=1 << 16)?;
        let every = config.usize_or("moe_layer_freq", 1, 1..=1 << 16)?;
        blocks::decoder(config, &sizes, context, false, |i| {
            let attention = sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope);
            let ffn: Ffn = match &routing {
                Some((count, routing)) if i >= first && i.is_multiple_of(every) => {
                    let mut moe = sizes.moe(i, "mlp", *count, width, false, routing.clone());
                    let name = name(i, "mlp.shared_experts");
                    moe.shared = (shared > 0).then(|| sizes.mlp_of(name, width * shared, false, activation).into());
                    moe.into()
                }
                _ => sizes.split_mlp(i, false, activation).into(),
            };
            sizes.layer(i, attention, ffn)
        })
    })
}

/// Solar Open: GLM 4.5 with other defaults.
pub(super) fn solar(config: &Config) -> Result<Spec> {
    let defaults = json!({"attention_bias": false, "use_qk_norm": false, "n_group": 1, "topk_group": 1});
    config.with_defaults(defaults, glm4_moe)
}
