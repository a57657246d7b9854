//! OLMo Hybrid: gated delta nets whose memories may change their sign, and OLMo 2's attention in every fourth layer.

use super::blocks::{self, Sizes, linear, name};
use super::config::Config;
use super::olmo2;
use super::qwen_next::Delta;
use super::rope;
use super::spec::{Activation, Conv, GatedDelta, Mixer, Norm, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    const TYPES: &str = "layer_types";
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 65_536)?;
    let theta = match config.object("rope_parameters")? {
        // Explicitly none: not rotated at all.
        Some(parameters) => parameters.optional_f64("rope_theta", 1.001..=1e15)?,
        None => Some(rope::theta_or(config, "rope_theta", 10_000.0)?),
    };
    let rope = theta.map(|theta| rope::plain(config, sizes.head_dim, false, theta)).transpose()?;
    blocks::silu(config)?;
    let bias = config.bool("attention_bias")?;
    let delta = Delta::read(config)?;
    let rate_scale = if config.bool("linear_allow_neg_eigval")? { 2.0 } else { 1.0 };
    let epsilon = config.f64_or("layer_norm_epsilon", 1e-5, 0.0..=1.0)? as f32;
    let attends: Vec<bool> = match config.strings(TYPES)? {
        None => (0..sizes.layers).map(|i| i % 4 == 3).collect(),
        Some(types) if types.len() == sizes.layers => {
            let attends = |kind: &str| match kind {
                "full_attention" => Ok(true),
                "linear_attention" => Ok(false),
                other => Err(config.unsupported(TYPES, format_args!("names {other:?}, which is not supported"))),
            };
            types.into_iter().map(attends).collect::<Result<_>>()?
        }
        Some(_) => {
            return Err(config.corrupt(TYPES, format_args!("must have one entry for each of {} layers", sizes.layers)));
        }
    };
    blocks::decoder(config, &sizes, context, config.bool("tie_word_embeddings")?, |i| {
        let mlp = sizes.split_mlp(i, false, Activation::Silu);
        if attends[i] {
            return olmo2::norms_after(&sizes, i, sizes.wide_normed_attention(i, bias, rope.as_ref()), mlp);
        }
        let part = |part: &str| name(i, &format!("linear_attn.{part}"));
        let (keys, values) = (delta.key_heads * delta.key_dim, delta.value_heads * delta.value_dim);
        let input = |name, outputs| linear(part(name), outputs, sizes.hidden, false);
        let heads = delta.value_heads;
        let mixer = GatedDelta {
            conv: Conv {
                weights: ["q", "k", "v"].map(|of| part(&format!("{of}_conv1d.weight"))).into(),
                biases: Vec::new(),
                channels: 2 * keys + values,
                width: delta.width,
            },
            rate_scale,
            norm: Norm { epsilon, ..sizes.norm_of(part("o_norm"), delta.value_dim) },
            output: linear(part("o_proj"), sizes.hidden, values, false),
            ..delta.layer(
                &sizes,
                i,
                vec![
                    input("q_proj", keys),
                    input("k_proj", keys),
                    input("v_proj", values),
                    input("g_proj", values),
                    input("b_proj", heads),
                    input("a_proj", heads),
                ],
            )
        };
        sizes.layer_with(i, Mixer::GatedDelta(mixer), mlp)
    })
}
