//! Qwen 3 Next and Qwen 3.5: gated delta nets, with gated attention in every fourth layer.

use serde_json::{Value, json};

use super::blocks::{self, MAX_HEAD_DIM, MAX_HEADS, MAX_INTERMEDIATE, Sizes, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::qwen_moe::{shared_expert, sparse_layers};
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Conv, Ffn, Gate, GatedDelta, Layer, Linear, Mixer, Norm, Rope, Spec};
use super::wrapper;
use crate::error::Result;

/// Qwen 3 Next, whose delta nets have their projections fused by key head.
pub(super) fn next(config: &Config) -> Result<Spec> {
    let sparse = sparse_layers(config, blocks::MAX_LAYERS)?;
    let theta = config.f64("rope_theta", 1.001..=1e15)?;
    let partial = config.f64("partial_rotary_factor", 0.0..=1.0)?;
    let scaling = config.object("rope_scaling")?;
    let mut spec = family(config, scaling.as_ref(), theta, partial, false, &sparse, Delta::fused_input)?;
    spec.ignored.push("mtp.".into());
    Ok(spec)
}

/// Qwen 3.5 and later, dense or with experts, alone or as the text part of a model that also sees.
pub(super) fn third_and_a_half(config: &Config) -> Result<Spec> {
    let mut spec = match config.object("text_config")? {
        Some(_) => wrapper::text_part(config, Value::Null, None, "language_model.", text)?,
        None => text(config)?.within("language_model."),
    };
    spec.ignored.extend(["mtp.", "model.visual."].map(String::from));
    Ok(spec)
}

fn text(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "rms_norm_eps": 1e-6, "vocab_size": 151_936, "num_key_value_heads": 8, "linear_num_value_heads": 64,
        "linear_num_key_heads": 16, "linear_key_head_dim": 192, "linear_value_head_dim": 128,
        "linear_conv_kernel_dim": 4, "num_experts": 0,
    });
    config.with_defaults(defaults, |config| {
        rope::refuse_rope_scaling(config)?;
        let parameters = config.object("rope_parameters")?;
        let (theta, partial) = match &parameters {
            Some(parameters) => (
                rope::theta_or(parameters, "rope_theta", 100_000.0)?,
                parameters.f64_or("partial_rotary_factor", 0.25, 0.0..=1.0)?,
            ),
            // Without the key mlx-lm takes its default for all of it.
            None => (100_000.0, 0.25),
        };
        let sparse = vec![true; blocks::MAX_LAYERS];
        family(config, parameters.as_ref(), theta, partial, true, &sparse, Delta::split_input)
    })
}

fn family(
    config: &Config,
    scaling: Option<&Config>,
    theta: f64,
    partial: f64,
    normalized: bool,
    sparse: &[bool],
    input: fn(&Delta, &Sizes, usize) -> Vec<Linear>,
) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 262_144)?;
    let dims = (sizes.head_dim as f64 * partial) as usize;
    let rope = rope::scaled(config, scaling, &Base { dims, traditional: false, theta: None, context }, theta)?;
    let bias = config.bool_or("attention_bias", false)?;
    let interval = config.usize_or("full_attention_interval", 4, 1..=blocks::MAX_LAYERS)?;
    let delta = Delta::read(config)?;
    blocks::silu(config)?;
    let count = config.usize("num_experts", 0..=experts::MAX)?;
    let moe = match count {
        0 => None,
        _ => {
            let top_k = config.usize("num_experts_per_tok", 1..=count)?;
            let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
            let shared = config.usize("shared_expert_intermediate_size", 1..=MAX_INTERMEDIATE)?;
            let routing = match config.bool_or("norm_topk_prob", normalized)? {
                true => Choice::softmax_of_chosen(top_k),
                false => Choice::softmax(top_k),
            };
            Some((width, shared, routing))
        }
    };
    blocks::decoder(config, &sizes, context, config.bool_or("tie_word_embeddings", false)?, |i| {
        let ffn: Ffn = match &moe {
            Some((width, shared, routing)) if sparse[i] => {
                let mut moe = sizes.moe(i, "mlp", count, *width, false, routing.clone());
                moe.shared = Some(shared_expert(&sizes, i, *shared));
                moe.into()
            }
            _ => sizes.split_mlp(i, false, Activation::Silu).into(),
        };
        let layer = sizes.layer(i, gated_attention(&sizes, i, bias, &rope), ffn);
        if (i + 1).is_multiple_of(interval) {
            return layer;
        }
        Layer { mixer: Mixer::GatedDelta(delta.layer(&sizes, i, input(&delta, &sizes, i))), ..layer }
    })
}

/// Attention whose query projection also has the gate, head by head.
fn gated_attention(sizes: &Sizes, i: usize, bias: bool, rope: &Rope) -> Attention {
    let attention = sizes.normed_attention(i, bias, bias, rope);
    let (head, all) = (sizes.head_dim, 2 * sizes.query_width());
    let half = |index: usize| Linear { outputs: head, part: Some((index * head, all)), ..attention.qkv[0].clone() };
    let halves = |first: usize| (0..sizes.heads).map(move |h| 2 * h + first);
    let mut qkv: Vec<Linear> = halves(0).map(half).collect();
    qkv.extend_from_slice(&attention.qkv[1..]);
    qkv.extend(halves(1).map(half));
    Attention { qkv, gate: Some(Gate::Sigmoid), ..attention }
}

/// Sizes of the delta nets.
pub(super) struct Delta {
    pub key_heads: usize,
    pub value_heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    /// Positions of the convolution.
    pub width: usize,
}

impl Delta {
    pub fn read(config: &Config) -> Result<Self> {
        let delta = Self {
            key_heads: config.usize("linear_num_key_heads", 1..=MAX_HEADS)?,
            value_heads: config.usize("linear_num_value_heads", 1..=MAX_HEADS)?,
            key_dim: config.usize("linear_key_head_dim", 1..=MAX_HEAD_DIM)?,
            value_dim: config.usize("linear_value_head_dim", 1..=MAX_HEAD_DIM)?,
            width: config.usize("linear_conv_kernel_dim", 2..=64)?,
        };
        if !delta.value_heads.is_multiple_of(delta.key_heads) {
            let message = format!("does not divide the {} value heads", delta.value_heads);
            return Err(config.corrupt("linear_num_key_heads", message));
        }
        Ok(delta)
    }

    pub fn layer(&self, sizes: &Sizes, i: usize, input: Vec<Linear>) -> GatedDelta {
        let Self { key_heads, value_heads, key_dim, value_dim, width } = *self;
        let part = |part: &str| name(i, &format!("linear_attn.{part}"));
        let values = value_heads * value_dim;
        let channels = 2 * key_heads * key_dim + values;
        let norm: Norm = sizes.norm_of(part("norm"), value_dim);
        GatedDelta {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
            input,
            short_gates: None,
            conv: Conv { weights: vec![part("conv1d.weight")], biases: Vec::new(), channels, width },
            decay_by_column: false,
            sigmoid_gate: false,
            lowest_decay: None,
            rate_scale: 1.0,
            decay: part("A_log"),
            step: part("dt_bias"),
            norm,
            output: linear(part("out_proj"), sizes.hidden, values, false),
        }
    }

    /// Four tensors.
    fn split_input(&self, sizes: &Sizes, i: usize) -> Vec<Linear> {
        let values = self.value_heads * self.value_dim;
        let qkv = 2 * self.key_heads * self.key_dim + values;
        let part = |part: &str, outputs| linear(name(i, &format!("linear_attn.{part}")), outputs, sizes.hidden, false);
        let heads = self.value_heads;
        vec![part("in_proj_qkv", qkv), part("in_proj_z", values), part("in_proj_b", heads), part("in_proj_a", heads)]
    }

    /// Two tensors, in which each key head has its query, key, values and `z`, or its `b` and `a`.
    fn fused_input(&self, sizes: &Sizes, i: usize) -> Vec<Linear> {
        let group = self.value_heads / self.key_heads;
        let (key, values) = (self.key_dim, group * self.value_dim);
        let pieces = |tensor: &str, widths: &[usize]| {
            let stride: usize = widths.iter().sum();
            let whole = linear(name(i, &format!("linear_attn.{tensor}")), self.key_heads * stride, sizes.hidden, false);
            let mut parts = Vec::new();
            let mut at = 0;
            for &outputs in widths {
                parts.extend((0..self.key_heads).map(|head| Linear {
                    outputs,
                    part: Some((head * stride + at, whole.outputs)),
                    ..whole.clone()
                }));
                at += outputs;
            }
            parts
        };
        let mut input = pieces("in_proj_qkvz", &[key, key, values, values]);
        input.extend(pieces("in_proj_ba", &[group, group]));
        input
    }
}
