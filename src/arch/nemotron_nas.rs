//! Nemotron from a search of architectures: Llama whose layers lack parts, have one matrix in their place, or have them in
//! sizes of their own.

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, linear, name};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::{Activation, Ffn, Layer, Mixer, Spec};
use crate::error::Result;

const BLOCKS: &str = "block_configs";
/// Multiples of this are the widths of MLPs.
const STEP: usize = 256;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = serde_json::json!({
        "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "rms_norm_eps": 1e-5,
        "vocab_size": 128_256, "intermediate_size": STEP,
    });
    config.with_defaults(defaults, read)
}

fn read(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let base = Base { dims: sizes.head_dim, traditional: false, theta: Some(500_000.0), context };
    let rope = rope::rope(config, &base)?;
    let activation = match config.string("hidden_act")? {
        None | Some("silu") => Activation::Silu,
        Some("gelu") => Activation::Gelu,
        Some("gelu_new" | "gelu_fast") => Activation::GeluTanh,
        Some(_) => return Err(config.unsupported("hidden_act", "is not supported; silu and the kinds of gelu are")),
    };
    let (bias, mlp_bias) = (config.bool_or("attention_bias", false)?, config.bool_or("mlp_bias", false)?);
    let all = config.objects(BLOCKS)?;
    if all.len() != sizes.layers {
        return Err(config.corrupt(BLOCKS, format_args!("must have one entry for each of the {} layers", sizes.layers)));
    }
    let square = |i, part: &str, bias| Ffn::Linear(linear(name(i, part), sizes.hidden, sizes.hidden, bias));
    let mut layers = Vec::new();
    for (i, block) in all.iter().enumerate() {
        let norm = |part| Some(sizes.layer_norm(i, part));
        let mut layer = blocks::bare_layer(Mixer::None, Ffn::None);
        match Part::read(block, "attention")? {
            Part::Missing => {}
            Part::Matrix => layers.push(Layer {
                ffn_norm: norm("input_layernorm"),
                ..blocks::bare_layer(Mixer::None, square(i, "self_attn.linear", bias))
            }),
            Part::Whole(attention) => {
                let group = attention.usize("n_heads_in_group", 1..=sizes.heads)?;
                if !sizes.heads.is_multiple_of(group) {
                    let message = format!("does not divide the {} query heads", sizes.heads);
                    return Err(attention.corrupt("n_heads_in_group", message));
                }
                let own = Sizes { kv_heads: sizes.heads / group, ..sizes.clone() };
                layer.mixer = Mixer::Attention(own.attention(i, own.split_qkv(i, bias), bias, &rope));
                layer.mixer_norm = norm("input_layernorm");
            }
        }
        match Part::read(block, "ffn")? {
            Part::Missing => {}
            Part::Matrix => {
                layer.ffn = square(i, "mlp.linear", mlp_bias);
                layer.ffn_norm = norm("post_attention_layernorm");
            }
            Part::Whole(ffn) => {
                let factor = ffn.f64("ffn_mult", 1e-3..=1e3)?;
                let width = (2.0 * factor * sizes.hidden as f64 / 3.0) as usize;
                let width = width.max(1).next_multiple_of(STEP).min(MAX_INTERMEDIATE);
                layer.ffn = sizes.mlp_of(name(i, "mlp"), width, mlp_bias, activation).into();
                layer.ffn_norm = norm("post_attention_layernorm");
            }
        }
        layers.push(layer);
    }
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let whole = blocks::decoder(config, &sizes, context, tied, |_| blocks::bare_layer(Mixer::None, Ffn::None))?;
    Ok(Spec { layers, ..whole })
}

/// A part of a layer.
enum Part<'a> {
    Missing,
    /// One matrix in its place.
    Matrix,
    Whole(Config<'a>),
}

impl<'a> Part<'a> {
    fn read(block: &Config<'a>, key: &str) -> Result<Self> {
        let Some(part) = block.object(key)? else { return Err(block.wrong(key, "an object")) };
        if part.bool_or("no_op", false)? {
            return Ok(Self::Missing);
        }
        Ok(if part.bool_or("replace_with_linear", false)? { Self::Matrix } else { Self::Whole(part) })
    }
}
