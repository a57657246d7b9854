//! Gear: Gemma 3's layers, in turn with gated convolutions of keys and values.

use super::blocks::{self, Sizes, linear, name};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Conv, GatedConv, Layer, Mixer, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    const TYPES: &str = "layer_types";
    let sizes = Sizes { norm_offset: 1.0, ..Sizes::read(config)? };
    let context = blocks::context_length(config, 32_768)?;
    let Some(types) = config.strings(TYPES)?.filter(|types| types.len() == sizes.layers) else {
        return Err(config.wrong(TYPES, format_args!("a kind for each of the {} layers", sizes.layers)));
    };
    if let Some(other) =
        types.iter().find(|kind| !matches!(**kind, "full_attention" | "sliding_attention" | "conv_mixer"))
    {
        return Err(config.unsupported(TYPES, format_args!("names {other:?}, which is not supported")));
    }
    if config.bool_or("use_bidirectional_attention", false)? {
        return Err(config.unsupported("use_bidirectional_attention", "is not supported"));
    }
    let window = config.usize_or("sliding_window", 512, 1..=blocks::MAX_CONTEXT)?;
    let base = Base { dims: sizes.head_dim, traditional: false, theta: None, context };
    let scaling = config.object("rope_scaling")?;
    let full = rope::scaled(config, scaling.as_ref(), &base, rope::theta_or(config, "rope_theta", 1e6)?)?;
    let local = rope::theta_or(config, "rope_local_base_freq", 10_000.0)?;
    let sliding = rope::local(config, sizes.head_dim, false, local)?;
    let activation = match config.string("hidden_activation")? {
        None | Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Activation::GeluTanh,
        Some("gelu") => Activation::Gelu,
        Some("silu" | "swish") => Activation::Silu,
        Some(_) => {
            return Err(config.unsupported("hidden_activation", "is not supported; silu and the kinds of gelu are"));
        }
    };
    let bias = config.bool_or("attention_bias", false)?;
    let scale = config.f64_or("query_pre_attn_scalar", sizes.head_dim as f64, 1e-3..=1e6)?.powf(-0.5) as f32;
    let cap = |key| Ok::<_, crate::error::Error>(config.optional_f64(key, 0.0..=1e6)?.filter(|cap| *cap > 0.0));
    let (softcap, logit_softcap) = (cap("attn_logit_softcapping")?, cap("final_logit_softcapping")?);
    let width = config.usize_or("conv_L_cache", 3, 2..=64)?;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let slides = types[i] == "sliding_attention";
        let mixer = match types[i] {
            "conv_mixer" => Mixer::GatedConv(Box::new(mixer(&sizes, i, bias, width))),
            _ => Mixer::Attention(Attention {
                scale,
                softcap: softcap.map(|cap| cap as f32),
                window: slides.then_some(window),
                ..sizes.normed_attention(i, bias, bias, if slides { &sliding } else { &full })
            }),
        };
        Layer {
            mixer_post_norm: Some(sizes.layer_norm(i, "post_attention_layernorm")),
            ffn_norm: Some(sizes.layer_norm(i, "pre_feedforward_layernorm")),
            ffn_post_norm: Some(sizes.layer_norm(i, "post_feedforward_layernorm")),
            ..sizes.layer_with(i, mixer, sizes.split_mlp(i, false, activation))
        }
    })?;
    let embedding_scale = (sizes.hidden as f32).sqrt();
    Ok(Spec { embedding_scale, logit_softcap: logit_softcap.map(|cap| cap as f32), ..spec })
}

fn mixer(sizes: &Sizes, i: usize, bias: bool, width: usize) -> GatedConv {
    let part = |part: &str| name(i, &format!("local_mixer.{part}"));
    let input = |name, outputs| linear(part(name), outputs, sizes.hidden, bias);
    let both = |of: &str| ["key_conv", "value_conv"].map(|conv| part(&format!("{conv}.{of}"))).to_vec();
    GatedConv {
        heads: sizes.heads,
        kv_heads: sizes.kv_heads,
        head_dim: sizes.head_dim,
        input: vec![
            input("q_proj", sizes.query_width()),
            input("k_proj", sizes.key_width()),
            input("v_proj", sizes.key_width()),
        ],
        query_norm: sizes.norm_of(part("q_norm"), sizes.head_dim),
        key_norm: sizes.norm_of(part("k_norm"), sizes.head_dim),
        conv: Conv {
            weights: both("weight"),
            biases: if bias { both("bias") } else { Vec::new() },
            channels: 2 * sizes.key_width(),
            width,
        },
        output: linear(part("o_proj"), sizes.hidden, sizes.query_width(), bias),
    }
}
