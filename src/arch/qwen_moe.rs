//! Qwen's mixtures of experts: the third generation, and the second with a shared expert.

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, SharedExpert, Spec};
use crate::error::Result;

/// Qwen 3 MoE.
pub(super) fn third(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 40_960)?;
    let rope = rope::plain(config, sizes.head_dim, false, config.f64("rope_theta", 1.001..=1e15)?)?;
    blocks::ignore_window(config, context)?;
    let activation = blocks::silu(config)?;
    let count = config.usize("num_experts", 0..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count.max(1))?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let routing = match config.bool("norm_topk_prob")? {
        true => Choice::softmax_of_chosen(top_k),
        false => Choice::softmax(top_k),
    };
    let sparse = sparse_layers(config, sizes.layers)?;
    blocks::decoder(config, &sizes, context, config.bool("tie_word_embeddings")?, |i| {
        let ffn: Ffn = match count > 0 && sparse[i] {
            true => sizes.moe(i, "mlp", count, width, false, routing.clone()).into(),
            false => sizes.split_mlp(i, false, activation).into(),
        };
        sizes.layer(i, sizes.normed_attention(i, false, false, &rope), ffn)
    })
}

/// Mellum: Qwen 3 MoE with sliding layers, and a rotary embedding for each kind of layer.
pub(super) fn mellum(config: &Config) -> Result<Spec> {
    const ROPES: &str = "rope_parameters";
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let Some(windows) = blocks::layer_windows(config, sizes.layers)? else {
        return Err(config.wrong("layer_types", "there"));
    };
    rope::refuse_rope_scaling(config)?;
    let rope = |kind: &str| {
        let Some(own) = config.object(ROPES)?.and_then(|ropes| ropes.object(kind).transpose()).transpose()? else {
            return Err(config.wrong(ROPES, format_args!("an object with {kind}")));
        };
        if own.string("rope_type")? == Some("linear") {
            return Err(own.unsupported("rope_type", "is not supported for this model_type"));
        }
        let theta = own.f64("rope_theta", 1.001..=1e15)?;
        rope::scaled(
            config,
            Some(&own),
            &Base { dims: sizes.head_dim, traditional: false, theta: None, context },
            theta,
        )
    };
    // Only the kinds that the layers have need be there.
    let of_kind = |kind, wanted: bool| if wanted { rope(kind).map(Some) } else { Ok(None) };
    let full = of_kind("full_attention", windows.contains(&None))?;
    let sliding = of_kind("sliding_attention", windows.iter().any(Option::is_some))?;
    blocks::silu(config)?;
    let count = config.usize("num_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let routing = match config.bool("norm_topk_prob")? {
        true => Choice::softmax_of_chosen(top_k),
        false => Choice::softmax(top_k),
    };
    blocks::decoder(config, &sizes, context, config.bool("tie_word_embeddings")?, |i| {
        let rope = if windows[i].is_some() { &sliding } else { &full };
        let attention = sizes.normed_attention(i, false, false, rope.as_ref());
        let attention = Attention { window: windows[i], ..attention };
        sizes.layer(i, attention, sizes.moe(i, "mlp", count, width, false, routing.clone()))
    })
}

/// Qwen 1.5 and 2 MoE.
pub(super) fn second(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 32_768)?;
    let theta = rope::theta_or(config, "rope_theta", 1_000_000.0)?;
    let rope = rope::plain(config, sizes.head_dim, config.bool_or("rope_traditional", false)?, theta)?;
    blocks::ignore_window(config, context)?;
    blocks::silu(config)?;
    let count = config.usize("num_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.usize("shared_expert_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    blocks::decoder(config, &sizes, context, false, |i| {
        let mut moe = sizes.moe(i, "mlp", count, width, false, Choice::softmax(top_k));
        moe.shared = Some(shared_expert(&sizes, i, shared));
        sizes.layer(i, sizes.attention(i, sizes.split_qkv(i, true), false, &rope), moe)
    })
}

/// The expert of every row, with a gate of one number.
pub(super) fn shared_expert(sizes: &Sizes, layer: usize, width: usize) -> SharedExpert {
    let gate = linear(name(layer, "mlp.shared_expert_gate"), 1, sizes.hidden, false);
    let mlp = sizes.mlp_of(name(layer, "mlp.shared_expert"), width, false, Activation::Silu);
    SharedExpert { gate: Some(gate), ..mlp.into() }
}

/// Whether each layer has experts: every so many do, but for a list of exceptions.
pub(super) fn sparse_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    let step = config.usize_or("decoder_sparse_step", 1, 1..=1 << 16)?;
    let dense = config.usizes("mlp_only_layers", 0..=1 << 16)?.unwrap_or_default();
    Ok((0..layers).map(|i| (i + 1).is_multiple_of(step) && !dense.contains(&i)).collect())
}
