//! Llama 4: attention within chunks, every fourth layer without rotation and to all, experts. And its small text model.

use serde_json::Value;

use super::blocks::{self, Keys, MAX_INTERMEDIATE, Sizes, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, Norm, QueryGrowth, Routing, Spec};
use super::wrapper;
use crate::error::Result;

/// Every so many layers see all positions.
const FULL: usize = 4;

/// Scout and Maverick: the text part.
pub(super) fn multimodal(config: &Config) -> Result<Spec> {
    wrapper::text_part(config, Value::Null, None, "language_model.", mixture)
}

fn mixture(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let base = Base { dims: sizes.head_dim, traditional: true, theta: None, context };
    let rope = rope::rope(config, &base)?;
    blocks::silu(config)?;
    let chunk = config.usize("attention_chunk_size", 1..=blocks::MAX_CONTEXT)?;
    let bias = config.bool("attention_bias")?;
    let normed = config.bool("use_qk_norm")?;
    let growth = QueryGrowth {
        beta: config.f64_or("attn_scale", 0.1, 0.0..=1e6)? as f32,
        original: config.usize_or("floor_scale", 8192, 1..=blocks::MAX_CONTEXT)?,
        shift: 1,
    };
    // A switch, which some files write as a number.
    let grows = match config.get("attn_temperature_tuning") {
        None => true,
        Some(Value::Bool(grows)) => *grows,
        Some(_) => config.usize("attn_temperature_tuning", 0..=usize::MAX)? != 0,
    };
    let every = config.usize("interleave_moe_layer_step", 1..=blocks::MAX_LAYERS)?;
    let count = config.usize("num_local_experts", 1..=experts::MAX)?;
    if config.usize("num_experts_per_tok", 1..=count)? != 1 {
        return Err(config.unsupported("num_experts_per_tok", "is not supported for this model_type; 1 is"));
    }
    let dense = config.usize("intermediate_size_mlp", 1..=MAX_INTERMEDIATE)?;
    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        let local = !(i + 1).is_multiple_of(FULL);
        let norm = || (normed && local).then(|| Norm { epsilon: 1e-6, ..sizes.bare_norm(sizes.head_dim) });
        let attention = Attention {
            query_norm: norm(),
            key_norm: norm(),
            norm_after_rope: true,
            window: local.then_some(chunk),
            chunk: local.then_some(chunk),
            query_growth: (grows && !local).then_some(growth),
            ..sizes.attention(i, sizes.split_qkv(i, bias), bias, local.then_some(&rope))
        };
        let ffn: Ffn = if i % every == every - 1 {
            let routing = Routing { weighs_input: true, ..Choice::sigmoid(1, None, None) };
            let mut moe = sizes.moe(i, "mlp", count, sizes.intermediate, false, routing);
            moe.router.name = name(i, "mlp.router");
            moe.shared =
                Some(sizes.mlp_of(name(i, "mlp.shared_expert"), sizes.intermediate, false, Activation::Silu).into());
            moe.into()
        } else {
            sizes.mlp_of(name(i, "mlp"), dense, false, Activation::Silu).into()
        };
        sizes.layer(i, attention, ffn)
    })?;
    Ok(spec.renamed(&[(".mlp.switch_mlp.", ".mlp.experts."), (".mlp.", ".feed_forward.")]))
}

/// The dense text model, which stands alone.
pub(super) fn text(config: &Config) -> Result<Spec> {
    let keys = Keys { intermediate: "intermediate_size_mlp", ..Keys::STANDARD };
    let sizes = Sizes::read_as(config, &keys)?;
    let context = blocks::context_length(config, 131_072)?;
    let rope = rope::plain(config, sizes.head_dim, true, config.f64("rope_theta", 1.001..=1e15)?)?;
    blocks::silu(config)?;
    const ROTATED: &str = "no_rope_layers";
    let rotated = match config.f64s(ROTATED, 0.0..=1.0)? {
        Some(list) if list.len() >= sizes.layers => list,
        _ => return Err(config.wrong(ROTATED, format_args!("a list with 1 or 0 for each of {} layers", sizes.layers))),
    };
    let normed = config.bool("use_qk_norm")?;
    let tied = config.bool("tie_word_embeddings")?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let norm = || normed.then(|| sizes.bare_norm(sizes.head_dim));
        let rope = (rotated[i] != 0.0).then_some(&rope);
        let attention = Attention {
            query_norm: norm(),
            key_norm: norm(),
            ..sizes.attention(i, sizes.split_qkv(i, false), false, rope)
        };
        sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu))
    })?;
    Ok(spec.renamed(&[(".mlp.", ".feed_forward."), ("lm_head", "output")]))
}
