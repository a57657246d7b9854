//! PLaMo: the first, whose query heads share key heads by turns; the second, with Mamba; the third, with sliding layers.

use serde_json::json;

use super::blocks::{self, MAX_HEAD_DIM, MAX_HEADS, MAX_LAYERS, Sizes, linear, name};
use super::config::Config;
use super::rope;
use super::spec::{
    Activation, Attention, Conv, Ffn, InnerSelection, Layer, Linear, Mixer, Norm, Selection, Spec, StateSpace,
};
use crate::error::Result;

/// PLaMo 1: attention and MLP side by side.
pub(super) fn first(config: &Config) -> Result<Spec> {
    let shared = config.usize_or("n_shared_head", 8, 1..=MAX_HEADS)?;
    let heads = config.usize("num_attention_heads", 1..=MAX_HEADS)?;
    if !heads.is_multiple_of(shared) {
        return Err(config.corrupt("n_shared_head", format_args!("does not divide the {heads} query heads")));
    }
    let forced = json!({"num_key_value_heads": heads / shared, "head_dim": null});
    let sizes = config.with(json!(null), forced, Sizes::read)?;
    let context = blocks::context_length(config, 4096)?;
    let theta = rope::theta_or(config, "rope_theta", 10_000.0)?;
    let rope = rope::plain(config, sizes.head_dim, config.bool_or("rope_traditional", false)?, theta)?;
    blocks::silu(config)?;
    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        let mut qkv = sizes.split_qkv(i, false);
        let queries = qkv.remove(0);
        let of_key_head = |key: usize| (0..shared).map(move |turn| key + turn * sizes.kv_heads);
        let queries = (0..sizes.kv_heads).flat_map(of_key_head).map(|head| Linear {
            outputs: sizes.head_dim,
            part: Some((head * sizes.head_dim, queries.outputs)),
            ..queries.clone()
        });
        let qkv = queries.chain(qkv).collect();
        let attention = Attention { strided: true, ..sizes.attention(i, qkv, false, &rope) };
        let layer = sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu));
        Layer { parallel: true, ffn_norm: None, ..layer }
    })?;
    Ok(spec.renamed(&[("model.layers.", "model.layers.layers."), ("input_layernorm", "norm")]))
}

/// PLaMo 2.
pub(super) fn second(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 4096, "num_hidden_layers": 32, "rms_norm_eps": 1e-6, "num_attention_heads": 32,
        "num_key_value_heads": 4, "hidden_size_per_head": 128, "mamba_d_state": 64, "mamba_d_conv": 4,
        "mamba_num_heads": 64, "mamba_step": 2, "intermediate_size": 13_312, "vocab_size": 32_000,
    });
    config.with_defaults(defaults, |config| {
        let head_dim = config.usize("hidden_size_per_head", 2..=MAX_HEAD_DIM)?;
        let sizes = config.with(json!(null), json!({"head_dim": head_dim}), Sizes::read)?;
        let context = blocks::context_length(config, 2048)?;
        let rope = rope::plain(config, head_dim, false, 10_000.0)?;
        let recurrent = recurrent_layers(config, sizes.layers)?;
        let mamba = Mamba::read(config)?;
        let tied = config.bool_or("tie_word_embeddings", true)?;
        let spec = blocks::decoder(config, &sizes, context, tied, |i| {
            if recurrent[i] {
                return layer(&sizes, i, Mixer::StateSpace(Box::new(mamba.mixer(&sizes, i))));
            }
            let norm = |part: &str, heads| {
                let weights = vec![name(i, &format!("mixer.{part}"))];
                Some(Norm { weights, heads, epsilon: 1e-6, ..sizes.norm_of("", head_dim) })
            };
            let attention = Attention {
                query_norm: norm("q_weight", sizes.heads),
                key_norm: norm("k_weight", sizes.kv_heads),
                ..sizes.attention(i, sizes.fused_qkv(i, false), false, &rope)
            };
            layer(&sizes, i, Mixer::Attention(attention))
        })?;
        Ok(renamed(spec))
    })
}

/// Which layers are recurrent: all but one of `mamba_step`.
fn recurrent_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    if !config.bool_or("mamba_enabled", true)? {
        return Ok(vec![false; layers]);
    }
    let step = config.usize("mamba_step", 2..=MAX_LAYERS)?;
    let recurrent = |i| if layers <= step / 2 { i != layers - 1 } else { i % step != step / 2 };
    Ok((0..layers).map(recurrent).collect())
}

/// Sizes of PLaMo 2's state spaces: heads like Mamba-2, selection of what comes out of the convolution like Mamba.
struct Mamba {
    heads: usize,
    state: usize,
    conv: usize,
}

impl Mamba {
    fn read(config: &Config) -> Result<Self> {
        Ok(Self {
            heads: config.usize("mamba_num_heads", 1..=MAX_HEADS)?,
            state: config.usize("mamba_d_state", 1..=MAX_HEAD_DIM)?,
            conv: config.usize("mamba_d_conv", 2..=64)?,
        })
    }

    fn mixer(&self, sizes: &Sizes, i: usize) -> StateSpace {
        let Self { heads, state, conv } = *self;
        let (head_dim, width) = (sizes.head_dim, heads * sizes.head_dim);
        let rank = (sizes.hidden / 16).max(64);
        let part = |part: &str| name(i, &format!("mixer.{part}"));
        // Each head has `z` and `x` side by side.
        let both = linear(part("in_proj"), 2 * width, sizes.hidden, false);
        let half = |half: usize| {
            let both = &both;
            (0..heads).map(move |head| Linear {
                outputs: head_dim,
                part: Some(((2 * head + half) * head_dim, both.outputs)),
                ..both.clone()
            })
        };
        let all = linear(part("bcdt_proj"), rank + 2 * state, width, false);
        let piece = |first, outputs| Linear { outputs, part: Some((first, all.outputs)), ..all.clone() };
        let norm = |weight: &str, size| Norm { weights: vec![part(weight)], ..sizes.norm_of("", size) };
        StateSpace {
            heads,
            head_dim,
            groups: 1,
            state,
            input: half(0).chain(half(1)).collect(),
            conv: Conv { weights: vec![part("conv1d.weight")], biases: Vec::new(), channels: width, width: conv },
            selection: Selection::Inner(Box::new(InnerSelection {
                rank,
                projection: vec![piece(2 * state, rank), piece(0, 2 * state)],
                norms: Some([norm("dt_norm_weight", rank), norm("B_norm_weight", state), norm("C_norm_weight", state)]),
                step: linear(part("dt_proj"), heads, rank, false),
                bias: Some(part("dt_bias")),
            })),
            decay: part("A_log"),
            decay_by_state: false,
            skip: part("D"),
            limits: [0.001, 100.0],
            norm: None,
            norm_before_gate: false,
            output: linear(part("out_proj"), sizes.hidden, width, false),
        }
    }
}

/// PLaMo 3: norms on heads, all but every so many layers slide.
pub(super) fn third(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 4096, "num_hidden_layers": 32, "rms_norm_eps": 1e-6, "num_attention_heads": 32,
        "num_key_value_heads": 4, "head_dim": 128, "window_size": 2048, "sliding_window_pattern": 8,
        "intermediate_size": 13_312, "vocab_size": 32_000,
    });
    config.with_defaults(defaults, |config| {
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 2048)?;
        let base = |key, default| rope::plain(config, sizes.head_dim, false, rope::theta_or(config, key, default)?);
        let (global, local) = (base("rope_theta", 1e6)?, base("rope_local_theta", 10_000.0)?);
        let key = if config.get("sliding_window").is_some() { "sliding_window" } else { "window_size" };
        // Beside itself a position sees as many as the window has.
        let window = config.usize(key, 1..=blocks::MAX_CONTEXT)? + 1;
        let pattern = config.usize("sliding_window_pattern", 1..=MAX_LAYERS)?;
        if config.string("linear_type")?.is_some_and(|kind| kind != "normal") {
            return Err(config.unsupported("linear_type", "is not supported; normal is"));
        }
        let tied = config.bool_or("tie_word_embeddings", true)?;
        let spec = blocks::decoder(config, &sizes, context, tied, |i| {
            let slides = !(i + 1).is_multiple_of(pattern);
            let rope = if slides { &local } else { &global };
            let norm = |part| Some(Norm { offset: 1.0, ..sizes.head_norm(i, part) });
            let attention = Attention {
                query_norm: norm("q_norm"),
                key_norm: norm("k_norm"),
                window: slides.then_some(window),
                ..sizes.attention(i, sizes.fused_qkv(i, false), false, rope)
            };
            layer(&sizes, i, Mixer::Attention(attention))
        })?;
        Ok(renamed(spec))
    })
}

/// A layer of the second and third generation: norms before and after each block, which differ in what is added to their
/// weights.
fn layer(sizes: &Sizes, i: usize, mixer: Mixer) -> Layer {
    let norm = |part, offset: f64| Some(Norm { offset: offset as f32, ..sizes.layer_norm(i, part) });
    Layer {
        mixer_norm: norm("pre_mixer_norm", 1.0),
        mixer_post_norm: norm("post_mixer_norm", 1.0 / 5.0),
        ffn_norm: norm("pre_mlp_norm", 1.0),
        ffn_post_norm: norm("post_mlp_norm", 1.0 / 5f64.powf(1.5)),
        ..blocks::bare_layer(mixer, Ffn::from(sizes.fused_mlp(i, false, Activation::Silu)))
    }
}

fn renamed(mut spec: Spec) -> Spec {
    spec.final_norm.offset = 1.0;
    spec.renamed(&[("model.layers.", "model.layers.layers."), (".self_attn.", ".mixer.")])
}
