//! State spaces: what families share, and Mamba and Mamba-2 themselves.

use serde_json::json;

use super::blocks::{self, MAX_HEAD_DIM, MAX_HEADS, MAX_HIDDEN, MAX_LAYERS, MAX_VOCAB, Sizes, linear, name};
use super::config::Config;
use super::spec::{Conv, Ffn, InnerSelection, Layer, Linear, Mixer, Norm, NormKind, Selection, Spec, StateSpace};
use crate::error::Result;

/// What a model that keeps no positions takes where its file says nothing.
const CONTEXT: usize = 1 << 20;

/// What the keys of a Mamba-2 block are called.
pub(super) struct Keys {
    pub heads: &'static str,
    pub head_dim: &'static str,
    pub groups: &'static str,
    pub state: &'static str,
    pub conv: &'static str,
    pub bias: &'static str,
    pub conv_bias: &'static str,
}

/// Sizes of a Mamba-2 block.
pub(super) struct Mamba2 {
    heads: usize,
    head_dim: usize,
    groups: usize,
    state: usize,
    conv: usize,
    bias: bool,
    conv_bias: bool,
    limits: [f32; 2],
}

impl Mamba2 {
    /// `limits` are those of steps where the file has none.
    pub fn read(config: &Config, keys: &Keys, limits: [f64; 2]) -> Result<Self> {
        let heads = config.usize(keys.heads, 1..=MAX_HEADS)?;
        let groups = config.usize(keys.groups, 1..=heads)?;
        if !heads.is_multiple_of(groups) {
            return Err(config.corrupt(keys.groups, format_args!("does not divide the {heads} heads")));
        }
        Ok(Self {
            heads,
            head_dim: config.usize(keys.head_dim, 1..=MAX_HEAD_DIM)?,
            groups,
            state: config.usize(keys.state, 1..=MAX_HEAD_DIM)?,
            conv: config.usize(keys.conv, 2..=64)?,
            bias: config.bool_or(keys.bias, false)?,
            conv_bias: config.bool_or(keys.conv_bias, false)?,
            limits: step_limits(config, limits)?,
        })
    }

    /// Width of what the heads give.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The norm of what the heads give, all of them together or each group by itself.
    pub fn norm(&self, sizes: &Sizes, block: &str, by_group: bool) -> Norm {
        let heads = if by_group { self.groups } else { 1 };
        Norm { heads, ..sizes.norm_of(format!("{block}.norm"), self.width() / heads) }
    }

    /// The block, whose tensors' names begin with `block`.
    pub fn mixer(&self, sizes: &Sizes, block: &str, norm: Option<Norm>) -> StateSpace {
        let Self { heads, head_dim, groups, state, limits, .. } = *self;
        let part = |part: &str| format!("{block}.{part}");
        let channels = self.width() + 2 * groups * state;
        StateSpace {
            heads,
            head_dim,
            groups,
            state,
            input: vec![linear(part("in_proj"), self.width() + channels + heads, sizes.hidden, self.bias)],
            conv: conv(block, channels, self.conv, self.conv_bias),
            selection: Selection::Input { bias: part("dt_bias") },
            decay: part("A_log"),
            decay_by_state: false,
            skip: part("D"),
            limits,
            norm,
            norm_before_gate: false,
            output: linear(part("out_proj"), sizes.hidden, self.width(), self.bias),
        }
    }
}

fn conv(block: &str, channels: usize, width: usize, bias: bool) -> Conv {
    let weights = vec![format!("{block}.conv1d.weight")];
    let biases = bias.then(|| format!("{block}.conv1d.bias")).into_iter().collect();
    Conv { weights, biases, channels, width }
}

/// The limits of steps.
fn step_limits(config: &Config, default: [f64; 2]) -> Result<[f32; 2]> {
    const KEY: &str = "time_step_limit";
    let limits = match config.f64s(KEY, 0.0..=f64::MAX)? {
        None => default,
        Some(limits) => match *limits {
            [low, high] if low <= high => [low, high],
            _ => return Err(config.wrong(KEY, "two numbers, the lower one first")),
        },
    };
    Ok(limits.map(|limit| limit as f32))
}

/// Sizes of a Mamba block.
pub(super) struct Mamba {
    pub channels: usize,
    pub state: usize,
    pub rank: usize,
    pub conv: usize,
    pub bias: bool,
    pub conv_bias: bool,
}

impl Mamba {
    /// The rank of steps: a number, or a sixteenth of the model's width.
    pub fn rank(config: &Config, key: &str, hidden: usize) -> Result<usize> {
        match config.get(key).and_then(|value| value.as_str()) {
            Some("auto") => Ok(hidden.div_ceil(16)),
            _ => config.usize_or(key, hidden.div_ceil(16), 1..=MAX_HIDDEN),
        }
    }

    /// The block, whose tensors' names begin with `block`. `norms` are those of the steps' short form, of `B` and of `C`.
    pub fn mixer(&self, sizes: &Sizes, block: &str, norms: Option<[Norm; 3]>) -> StateSpace {
        let Self { channels, state, rank, .. } = *self;
        let part = |part: &str| format!("{block}.{part}");
        let both = linear(part("in_proj"), 2 * channels, sizes.hidden, self.bias);
        let half = |first: usize| Linear { outputs: channels, part: Some((first, 2 * channels)), ..both.clone() };
        StateSpace {
            heads: channels,
            head_dim: 1,
            groups: 1,
            state,
            // Stored the other way round.
            input: vec![half(channels), half(0)],
            conv: conv(block, channels, self.conv, self.conv_bias),
            selection: Selection::Inner(Box::new(InnerSelection {
                rank,
                projection: vec![linear(part("x_proj"), rank + 2 * state, channels, false)],
                norms,
                step: linear(part("dt_proj"), channels, rank, true),
                bias: None,
            })),
            decay: part("A_log"),
            decay_by_state: true,
            skip: part("D"),
            limits: [0.0, f32::INFINITY],
            norm: None,
            norm_before_gate: false,
            output: linear(part("out_proj"), sizes.hidden, channels, self.bias),
        }
    }
}

/// Mamba, and Falcon Mamba with norms in its blocks.
pub(super) fn first(config: &Config) -> Result<Spec> {
    let hidden = width(config, &["hidden_size", "d_model"])?;
    let sizes = sizes(config, hidden, 1e-5, &["num_hidden_layers", "n_layer", "n_layers"])?;
    let mamba = Mamba {
        channels: width(config, &["intermediate_size", "d_inner"])?,
        state: first_of(config, &["state_size", "d_state"], MAX_HEAD_DIM)?,
        rank: Mamba::rank(config, "time_step_rank", hidden)?,
        conv: first_of(config, &["conv_kernel", "d_conv"], 64)?.max(2),
        bias: config.bool_or("use_bias", config.bool_or("bias", false)?)?,
        conv_bias: config.bool_or("use_conv_bias", config.bool_or("conv_bias", true)?)?,
    };
    let normed = config.bool_or("use_bcdt_rms", false)? || config.string("model_type")? == Some("falcon_mamba");
    let epsilon = config.f64_or("mixer_rms_eps", 1e-6, 0.0..=1.0)? as f32;
    let norm = |size| Norm { epsilon, weights: Vec::new(), ..sizes.norm_of("", size) };
    let norms = normed.then(|| [norm(mamba.rank), norm(mamba.state), norm(mamba.state)]);
    backbone(config, &sizes, |i| mamba.mixer(&sizes, &name(i, "mixer"), norms.clone()))
}

/// Mamba-2.
pub(super) fn second(config: &Config) -> Result<Spec> {
    const KEYS: Keys = Keys {
        heads: "num_heads",
        head_dim: "head_dim",
        groups: "n_groups",
        state: "ssm_state_size",
        conv: "conv_kernel",
        bias: "use_bias",
        conv_bias: "use_conv_bias",
    };
    let epsilon = config.f64("layer_norm_epsilon", 0.0..=1.0)? as f32;
    // mlx-lm's default for the norms of layers, whatever the configuration says.
    let sizes = sizes(config, width(config, &["hidden_size"])?, 1e-5, &["num_hidden_layers"])?;
    let inner = Sizes { epsilon, ..sizes.clone() };
    let state = config.usize("state_size", 1..=MAX_HEAD_DIM)?;
    let mamba = config
        .with_defaults(json!({"ssm_state_size": state}), |config| Mamba2::read(config, &KEYS, [0.0, f64::INFINITY]))?;
    let mut spec = backbone(config, &sizes, |i| {
        let block = name(i, "mixer");
        mamba.mixer(&sizes, &block, Some(mamba.norm(&inner, &block, false)))
    })?;
    spec.final_norm.epsilon = epsilon;
    Ok(spec)
}

/// Layers of a state space each and nothing else.
fn backbone(config: &Config, sizes: &Sizes, mixer: impl Fn(usize) -> StateSpace) -> Result<Spec> {
    let context = blocks::context_length(config, CONTEXT)?;
    blocks::silu(config)?;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let spec = blocks::decoder(config, sizes, context, tied, |i| Layer {
        mixer_norm: Some(sizes.layer_norm(i, "norm")),
        ..blocks::bare_layer(Mixer::StateSpace(Box::new(mixer(i))), Ffn::None)
    })?;
    Ok(spec.renamed(&BACKBONE))
}

/// The names of models without a `model`.
pub(super) const BACKBONE: [(&str, &str); 3] = [
    ("model.embed_tokens", "backbone.embeddings"),
    ("model.norm", "backbone.norm_f"),
    ("model.layers.", "backbone.layers."),
];

/// The sizes of a model that has no attention.
fn sizes(config: &Config, hidden: usize, epsilon: f32, layers: &[&str]) -> Result<Sizes> {
    Ok(Sizes {
        vocab: config.usize("vocab_size", 1..=MAX_VOCAB)?,
        hidden,
        layers: first_of(config, layers, MAX_LAYERS)?,
        intermediate: 0,
        heads: 1,
        kv_heads: 1,
        head_dim: 1,
        epsilon,
        norm: NormKind::Rms,
        norm_bias: false,
        norm_offset: 0.0,
    })
}

fn width(config: &Config, keys: &[&str]) -> Result<usize> {
    first_of(config, keys, MAX_HIDDEN)
}

/// The number under the first of the keys that is there.
fn first_of(config: &Config, keys: &[&str], highest: usize) -> Result<usize> {
    let key = keys.iter().find(|key| config.get(key).is_some()).unwrap_or(&keys[0]);
    config.usize(key, 1..=highest)
}
