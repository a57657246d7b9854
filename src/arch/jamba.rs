//! Jamba: Mamba, attention without rotation, MLPs and experts.

use super::blocks::{self, MAX_HEAD_DIM, MAX_LAYERS, Sizes, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::mamba::Mamba;
use super::spec::{Activation, Ffn, Mixer, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 262_144)?;
    blocks::silu(config)?;
    let attends = attending_layers(config, sizes.layers)?;
    let mamba = Mamba {
        channels: config.usize("mamba_expand", 1..=64)? * sizes.hidden,
        state: config.usize("mamba_d_state", 1..=MAX_HEAD_DIM)?,
        rank: Mamba::rank(config, "mamba_dt_rank", sizes.hidden)?,
        conv: config.usize("mamba_d_conv", 2..=64)?,
        bias: config.bool_or("mamba_proj_bias", false)?,
        conv_bias: config.bool_or("mamba_conv_bias", true)?,
    };
    let count = config.usize("num_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let offset = config.usize("expert_layer_offset", 0..=MAX_LAYERS)?;
    let period = config.usize("expert_layer_period", 1..=MAX_LAYERS)?;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let ffn: Ffn = match count > 1 && (i + offset).is_multiple_of(period) {
            true => {
                let mut moe = sizes.moe(i, "mlp", count, sizes.intermediate, false, Choice::softmax_of_chosen(top_k));
                moe.router.name = name(i, "mlp.router");
                moe.into()
            }
            false => sizes.split_mlp(i, false, Activation::Silu).into(),
        };
        if attends[i] {
            return sizes.layer(i, sizes.attention(i, sizes.split_qkv(i, false), false, None), ffn);
        }
        let block = name(i, "mamba");
        let norm = |part: &str, size| sizes.norm_of(format!("{block}.{part}_layernorm"), size);
        let norms = [norm("dt", mamba.rank), norm("b", mamba.state), norm("c", mamba.state)];
        sizes.layer_with(i, Mixer::StateSpace(Box::new(mamba.mixer(&sizes, &block, Some(norms)))), ffn)
    })?;
    Ok(spec.renamed(&[
        ("post_attention_layernorm", "pre_ff_layernorm"),
        ("model.norm", "model.final_layernorm"),
        (".mlp.", ".feed_forward."),
    ]))
}

/// Whether each layer attends: by names, or every so many layers.
fn attending_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "layers_block_type";
    let Some(types) = config.strings(KEY)? else {
        let period = config.usize("attn_layer_period", 1..=MAX_LAYERS)?;
        let offset = config.usize("attn_layer_offset", 0..=MAX_LAYERS)?;
        return Ok((0..layers).map(|i| i % period == offset).collect());
    };
    if types.len() != layers {
        return Err(config.corrupt(KEY, format_args!("must have one entry for each of the {layers} layers")));
    }
    let attends = |kind: &str| match kind {
        "attention" => Ok(true),
        "mamba" => Ok(false),
        other => Err(config.unsupported(KEY, format_args!("names {other:?}, which is not supported"))),
    };
    types.into_iter().map(attends).collect()
}
