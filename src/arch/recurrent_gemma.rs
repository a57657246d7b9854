//! RecurrentGemma (Griffin): gated linear recurrences, and attention within a window in some layers.

use super::blocks::{self, Sizes, linear, name};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Conv, HeadGate, Mixer, Norm, Recurrence, Spec};
use crate::error::Result;

/// Positions of the convolution.
const CONV: usize = 4;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 8192)?;
    refuse_others(config, &sizes)?;
    blocks::expect_activation(config, &["gelu_pytorch_tanh", "gelu_new", "gelu_fast"])?;
    const WIDTH: &str = "intermediate_size";
    if sizes.intermediate < 2 {
        return Err(config.corrupt(WIDTH, "is halved, so it must be 2 at least"));
    }
    let kinds = kinds(config)?;
    let window = config.usize("attention_window_size", 1..=blocks::MAX_CONTEXT)?;
    let cap = config.f64("logits_soft_cap", 0.0..=1e9)?;
    let sizes = Sizes { intermediate: sizes.intermediate / 2, kv_heads: 1, norm_offset: 1.0, ..sizes };
    let rope = rope::plain(config, sizes.head_dim / 2, false, 10_000.0)?;
    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        let mixer = match kinds[i % kinds.len()] {
            true => Mixer::Recurrence(Box::new(recurrence(&sizes, i))),
            false => Mixer::Attention(Attention {
                window: Some(window),
                ..sizes.attention(i, sizes.split_qkv(i, false), true, &rope)
            }),
        };
        let mut layer = sizes.layer_with(i, mixer, sizes.split_mlp(i, true, Activation::GeluTanh));
        // As mlx-lm has it, whatever the file says.
        let epsilon = |norm: Norm| Norm { epsilon: 1e-5, ..norm };
        layer.mixer_norm = layer.mixer_norm.map(epsilon);
        layer.ffn_norm = layer.ffn_norm.map(epsilon);
        layer
    })?;
    let scaled = config.bool_or("embeddings_scale_by_sqrt_dim", true)?;
    let spec = Spec {
        embedding_scale: if scaled { (sizes.hidden as f32).sqrt() } else { 1.0 },
        head_optional: true,
        logit_softcap: (cap != 0.0).then_some(cap as f32),
        ..spec
    };
    Ok(spec.renamed(&[
        ("self_attn.", "temporal_block."),
        (".mlp.", ".mlp_block."),
        ("input_layernorm", "temporal_pre_norm"),
        ("post_attention_layernorm", "channel_pre_norm"),
        ("model.norm", "model.final_norm"),
    ]))
}

/// Whether layers are recurrent, as a pattern that repeats.
fn kinds(config: &Config) -> Result<Vec<bool>> {
    let key = if config.get("block_types").is_some() { "block_types" } else { "_block_types" };
    let kind = |kind: &str| match kind {
        "recurrent" => Ok(true),
        "attention" => Ok(false),
        other => Err(config.unsupported(key, format_args!("names {other:?}; recurrent and attention are known"))),
    };
    match config.strings(key)? {
        Some(kinds) if !kinds.is_empty() => kinds.into_iter().map(kind).collect(),
        _ => Err(config.wrong("block_types", "a list of kinds of layers")),
    }
}

fn recurrence(sizes: &Sizes, i: usize) -> Recurrence {
    let (part, hidden) = (|part: &str| name(i, &format!("temporal_block.{part}")), sizes.hidden);
    let matrix = |name| linear(part(name), hidden, hidden, true);
    let gate = |name: &str| HeadGate {
        weight: part(&format!("rg_lru.{name}_gate_weight")),
        bias: part(&format!("rg_lru.{name}_gate_bias")),
    };
    Recurrence {
        heads: sizes.heads,
        input: vec![matrix("linear_y"), matrix("linear_x")],
        conv: Conv {
            weights: vec![part("conv_1d.weight")],
            biases: vec![part("conv_1d.bias")],
            channels: hidden,
            width: CONV,
        },
        input_gate: gate("input"),
        keep_gate: gate("recurrent"),
        decay: part("rg_lru.recurrent_param"),
        output: matrix("linear_out"),
    }
}

/// What mlx-lm takes for given.
fn refuse_others(config: &Config, sizes: &Sizes) -> Result<()> {
    let numbers = [
        ("conv1d_width", CONV as f64),
        ("num_key_value_heads", 1.0),
        ("rope_theta", 10_000.0),
        ("partial_rotary_factor", 0.5),
        ("lru_width", sizes.hidden as f64),
    ];
    for (key, only) in numbers {
        if config.optional_f64(key, 0.0..=1e9)?.is_some_and(|number| number != only) {
            return Err(config.unsupported(key, format_args!("is not supported; {only} is")));
        }
    }
    match config.bool_or("attention_bias", false)? {
        true => Err(config.unsupported("attention_bias", "is not supported")),
        false => Ok(()),
    }
}
