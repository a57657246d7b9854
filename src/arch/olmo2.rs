//! OLMo 2 and 3: norms after each block instead of before, and over all query heads together. The third version slides
//! in three of four layers. And EXAONE 4, which has its layers in the same order.

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, Layer, Spec};
use crate::error::Result;

/// OLMo 2.
pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 4096)?;
    let traditional = config.bool_or("rope_traditional", false)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional, theta: Some(10_000.0), context })?;
    rope::refuse_partial(config)?;
    let bias = config.bool_or("attention_bias", false)?;
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    let activation = blocks::silu(config)?;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.wide_normed_attention(i, bias, &rope);
        norms_after(&sizes, i, attention, sizes.split_mlp(i, mlp_bias, activation))
    })
}

/// OLMo 3.
pub(super) fn third(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 65_536)?;
    let base = Base { dims: sizes.head_dim, traditional: false, theta: None, context };
    let (full, theta) = (rope::rope(config, &base)?, rope::theta(config, &base)?);
    let sliding = rope::local(config, sizes.head_dim, false, theta)?;
    let windows = match blocks::layer_windows(config, sizes.layers)? {
        Some(windows) => windows,
        None => {
            let window = config.usize("sliding_window", 1..=blocks::MAX_CONTEXT)?;
            (1..=sizes.layers).map(|layer| (!layer.is_multiple_of(4)).then_some(window)).collect()
        }
    };
    let bias = config.bool_or("attention_bias", false)?;
    let activation = blocks::silu(config)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let rope = if windows[i].is_some() { &sliding } else { &full };
        let attention = Attention { window: windows[i], ..sizes.wide_normed_attention(i, bias, rope) };
        norms_after(&sizes, i, attention, sizes.split_mlp(i, false, activation))
    })
}

/// EXAONE 4. `sliding_window_pattern` is a string of `L` (local) and `G` (global, without rotary embedding).
pub(super) fn exaone4(config: &Config) -> Result<Spec> {
    const PATTERN: &str = "sliding_window_pattern";
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional: false, theta: None, context })?;
    let pattern: Vec<char> = config.string(PATTERN)?.unwrap_or_default().chars().collect();
    if let Some(other) = pattern.iter().find(|kind| !matches!(kind, 'L' | 'G')) {
        return Err(config.unsupported(PATTERN, format_args!("has {other:?}; L and G are known")));
    }
    let window = match pattern.contains(&'L') {
        true => Some(config.usize("sliding_window", 1..=blocks::MAX_CONTEXT)?),
        false => None,
    };
    let activation = blocks::silu(config)?;
    let tied = config.bool("tie_word_embeddings")?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let local = pattern.is_empty() || pattern[i % pattern.len()] == 'L';
        let attention = sizes.normed_attention(i, false, false, &rope);
        let rope = attention.rope.clone().filter(|_| local);
        let attention = Attention { rope, window: window.filter(|_| local), ..attention };
        norms_after(&sizes, i, attention, sizes.split_mlp(i, false, activation))
    })
}

/// A layer whose norms stand behind its blocks.
pub(super) fn norms_after(sizes: &Sizes, i: usize, attention: Attention, ffn: impl Into<Ffn>) -> Layer {
    Layer {
        mixer_norm: None,
        mixer_post_norm: Some(sizes.layer_norm(i, "post_attention_layernorm")),
        ffn_norm: None,
        ffn_post_norm: Some(sizes.layer_norm(i, "post_feedforward_layernorm")),
        ..sizes.layer(i, attention, ffn)
    }
}

/// OLMoE: wide norms on queries and keys, experts, norms before the blocks.
pub(super) fn moe(config: &Config) -> Result<Spec> {
    use super::experts::{self, Choice};
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 4096)?;
    let traditional = config.bool_or("rope_traditional", false)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional, theta: Some(10_000.0), context })?;
    let bias = config.bool_or("attention_bias", false)?;
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    let Activation::Silu = blocks::silu(config)? else {
        return Err(config.unsupported("hidden_act", "is not supported; silu is"));
    };
    let count = config.usize("num_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let routing = match config.bool_or("norm_topk_prob", false)? {
        true => Choice::softmax_of_chosen(top_k),
        false => Choice::softmax(top_k),
    };
    let tied = config.bool_or("tie_word_embeddings", true)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let ffn = sizes.moe(i, "mlp", count, sizes.intermediate, mlp_bias, routing.clone());
        sizes.layer(i, sizes.wide_normed_attention(i, bias, &rope), ffn)
    })
}
