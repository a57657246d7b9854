//! Granite: Llama with multipliers; its mixture of experts; and the hybrid with Mamba-2.

use serde_json::{Value, json};

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::falcon_h1::KEYS;
use super::mamba::Mamba2;
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Ffn, Layer, Mixer, Mlp, Spec};
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
    Ok(spec.renamed(&EXPERTS))
}

/// Granite 4: Mamba-2 in most layers, attention in others, an MLP or experts in all.
pub(super) fn hybrid(config: &Config) -> Result<Spec> {
    const TYPES: &str = "layer_types";
    let Some(types) = config.strings(TYPES)? else { return Err(config.wrong(TYPES, "there")) };
    let attends = |kind: &&str| match *kind {
        "attention" => Ok(true),
        "mamba" => Ok(false),
        other => Err(config.unsupported(TYPES, format_args!("names {other:?}, which is not supported"))),
    };
    let attends = types.iter().map(attends).collect::<Result<Vec<_>>>()?;
    let mamba = match attends.contains(&false) {
        true => Some(Mamba2::read(config, &KEYS, [0.001, 100.0])?),
        false => None,
    };
    let rotated = config.string("position_embedding_type")? != Some("nope");
    let count = config.optional_usize("num_local_experts", 0..=experts::MAX)?.unwrap_or(0);
    let bias = config.bool_or("mlp_bias", false)?;
    let experts = match count {
        0 => None,
        _ => {
            let width = config.usize("shared_intermediate_size", 1..=MAX_INTERMEDIATE)?;
            Some((config.usize("num_experts_per_tok", 1..=count)?, width))
        }
    };
    // A base within `rope_parameters` comes before one beside it, and nothing else counts there.
    let theta = match config.object("rope_parameters")? {
        Some(parameters) if parameters.get("rope_theta").is_some() => rope::theta_or(&parameters, "rope_theta", 1e4)?,
        _ => rope::theta_or(config, "rope_theta", 10_000.0)?,
    };
    rope::refuse_scaling(config)?;
    let forced = json!({"rope_scaling": null, "rope_parameters": null, "rope_theta": theta});
    let plain = config.with(Value::Null, forced, |config| {
        with_ffn(config, |sizes, i| {
            let Some((top_k, width)) = experts else { return Ok(sizes.split_mlp(i, bias, Activation::Silu).into()) };
            let block = |part: &str| name(i, &format!("shared_mlp.{part}"));
            let mut moe = sizes.moe(i, "mlp", count, sizes.intermediate, false, Choice::softmax_of_chosen(top_k));
            let shared = Mlp {
                gate_up: vec![linear(block("input_linear"), 2 * width, sizes.hidden, false)],
                down: linear(block("output_linear"), sizes.hidden, width, false),
                ..moe.mlp.clone()
            };
            moe.shared = Some(shared.into());
            Ok(moe.into())
        })
    })?;
    let sizes = Sizes::read(config)?;
    if attends.len() != plain.layers.len() {
        let message = format!("must have one entry for each of the {} layers", plain.layers.len());
        return Err(config.corrupt(TYPES, message));
    }
    let layer = |(i, layer): (usize, Layer)| {
        let mixer = match (layer.mixer, &mamba) {
            (Mixer::Attention(attention), _) if attends[i] => {
                Mixer::Attention(Attention { rope: attention.rope.filter(|_| rotated), ..attention })
            }
            (_, Some(mamba)) => {
                let block = name(i, "mamba");
                Mixer::StateSpace(Box::new(mamba.mixer(&sizes, &block, Some(mamba.norm(&sizes, &block, false)))))
            }
            (other, None) => other,
        };
        Layer { mixer, ..layer }
    };
    let spec = Spec { layers: plain.layers.into_iter().enumerate().map(layer).collect(), ..plain };
    Ok(match experts {
        Some(_) => spec.renamed(&EXPERTS),
        None => spec,
    })
}

/// What the parts of a mixture are called.
const EXPERTS: [(&str, &str); 2] = [(".mlp.gate", ".block_sparse_moe.router.layer"), (".mlp.", ".block_sparse_moe.")];

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
