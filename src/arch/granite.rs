//! Granite: Llama with multipliers; and its mixture of experts.

use super::blocks::{self, Sizes};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, Layer, Spec};
use crate::error::Result;

const FACTOR: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

pub(super) fn dense(config: &Config) -> Result<Spec> {
    let bias = config.bool("mlp_bias")?;
    with_ffn(config, |sizes, i| Ok(sizes.split_mlp(i, bias, Activation::Silu).into()))
}

pub(super) fn moe(config: &Config) -> Result<Spec> {
    let count = config.usize("num_local_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let spec = with_ffn(config, |sizes, i| {
        Ok(sizes.moe(i, "mlp", count, sizes.intermediate, false, Choice::softmax_of_chosen(top_k)).into())
    })?;
    Ok(spec.renamed(&[(".mlp.gate", ".block_sparse_moe.router.layer"), (".mlp.", ".block_sparse_moe.")]))
}

fn with_ffn(config: &Config, ffn: impl Fn(&Sizes, usize) -> Result<Ffn>) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 2048)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional: false, theta: None, context })?;
    rope::refuse_partial(config)?;
    let bias = config.bool("attention_bias")?;
    blocks::silu(config)?;
    let scale = config.f64("attention_multiplier", FACTOR)? as f32;
    let residual_scale = config.f64("residual_multiplier", FACTOR)? as f32;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let ffns = (0..sizes.layers).map(|i| ffn(&sizes, i)).collect::<Result<Vec<_>>>()?;

    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope);
        Layer { residual_scale, ..sizes.layer(i, Attention { scale, ..attention }, ffns[i].clone()) }
    })?;
    let embedding_scale = config.f64("embedding_multiplier", FACTOR)? as f32;
    Ok(Spec { embedding_scale, logit_scale: (1.0 / config.f64("logits_scaling", FACTOR)?) as f32, ..spec })
}
