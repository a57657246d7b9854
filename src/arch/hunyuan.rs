//! Hunyuan (Large and A13B): experts beside a shared MLP, keys and values that neighbouring layers may share.

use super::blocks::{self, MAX_INTERMEDIATE, MAX_LAYERS, Sizes, name};
use super::config::Config;
use super::dense;
use super::experts::{self, Choice};
use super::spec::{Activation, Attention, Ffn, Norm, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    if config.object("rope_scaling")?.is_none() {
        return Err(config.wrong("rope_scaling", "an object"));
    }
    let (context, rope) = dense::hunyuan_rope(config, &sizes)?;
    let bias = config.bool("attention_bias")?;
    let normed = config.bool("use_qk_norm")?;
    // Every so many layers have keys and values of their own.
    let every = match config.bool("use_cla")? {
        true => config.usize("cla_share_factor", 1..=MAX_LAYERS)?,
        false => 1,
    };
    blocks::silu(config)?;
    let count = config.usize("num_experts", 1..=experts::MAX)?;
    let mixed = config.bool("use_mixed_mlp_moe")?;
    let mut layers = Vec::with_capacity(sizes.layers);
    for i in 0..sizes.layers {
        if count == 1 {
            layers.push(Ffn::from(sizes.split_mlp(i, false, Activation::Silu)));
            continue;
        }
        let top_k = of_layer(config, "moe_topk", i, count)?.ok_or_else(|| config.wrong("moe_topk", "there"))?;
        let width = of_layer(config, "moe_intermediate_size", i, MAX_INTERMEDIATE)?.unwrap_or(sizes.intermediate);
        let mut moe = sizes.moe(i, "mlp", count, width, false, Choice::softmax(top_k));
        moe.router.name = name(i, "mlp.gate.wg");
        if mixed {
            let shared = of_layer(config, "num_shared_expert", i, 256)?;
            let shared = shared.ok_or_else(|| config.wrong("num_shared_expert", "there"))?;
            let width = shared * sizes.intermediate;
            moe.shared = Some(sizes.mlp_of(name(i, "mlp.shared_mlp"), width, false, Activation::Silu).into());
        }
        layers.push(moe.into());
    }
    blocks::decoder(config, &sizes, context, true, |i| {
        let own = i.is_multiple_of(every);
        let mut qkv = sizes.split_qkv(i, bias);
        if !own {
            qkv.truncate(1);
        }
        // The key heads of a layer that shares are normed with weights of its own. What is kept is without weights, and
        // queries take them over: a score is the same.
        let folded = Norm {
            times: Some(format!("{}.weight", blocks::attention_name(i, "key_layernorm"))),
            ..sizes.head_norm(i, "query_layernorm")
        };
        let attention = Attention {
            query_norm: normed.then_some(if every > 1 { folded } else { sizes.head_norm(i, "query_layernorm") }),
            key_norm: normed.then(|| match every {
                1 => sizes.head_norm(i, "key_layernorm"),
                _ => sizes.bare_norm(sizes.head_dim),
            }),
            norm_after_rope: true,
            shares_kv_of: (!own).then_some(i / every * every),
            ..sizes.attention(i, qkv, bias, &rope)
        };
        sizes.layer(i, attention, layers[i].clone())
    })
}

/// A number that holds for all layers, or that of a list with one for each.
fn of_layer(config: &Config, key: &str, layer: usize, most: usize) -> Result<Option<usize>> {
    match config.usizes_or_one(key, 1..=most)? {
        None => Ok(None),
        Some(numbers) => match numbers.get(if numbers.len() == 1 { 0 } else { layer }) {
            Some(number) => Ok(Some(*number)),
            None => Err(config.corrupt(key, format_args!("has nothing for layer {layer}"))),
        },
    }
}
