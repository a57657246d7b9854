//! RWKV-7: time mixing and channel mixing, no attention.

use super::blocks::{self, MAX_HEAD_DIM, MAX_HIDDEN, MAX_INTERMEDIATE, MAX_LAYERS, MAX_VOCAB, Sizes, linear, name};
use super::config::Config;
use super::spec::{ChannelMix, Ffn, LowRank, Mixer, Norm, NormKind, Shifts, Spec, TimeMix};
use crate::error::Result;

/// Of the norm of each head, whatever the configuration says.
const HEAD_EPSILON: f32 = 64e-5;

/// What a model that keeps no positions takes where its file says nothing.
const CONTEXT: usize = 1 << 20;

pub(super) fn seventh(config: &Config) -> Result<Spec> {
    const HEAD: &str = "head_dim";
    let hidden = config.usize("hidden_size", 1..=MAX_HIDDEN)?;
    let head_dim = config.usize(HEAD, 1..=MAX_HEAD_DIM)?;
    if !hidden.is_multiple_of(head_dim) {
        return Err(config.corrupt(HEAD, format_args!("does not divide the hidden_size of {hidden}")));
    }
    refuse_others(config, hidden)?;
    let sizes = Sizes {
        vocab: config.usize("vocab_size", 1..=MAX_VOCAB)?,
        hidden,
        layers: config.usize("num_hidden_layers", 1..=MAX_LAYERS)?,
        intermediate: config.usize("intermediate_size", 1..=MAX_INTERMEDIATE)?,
        heads: hidden / head_dim,
        kv_heads: hidden / head_dim,
        head_dim,
        epsilon: config.f64("norm_eps", 0.0..=1.0)? as f32,
        norm: NormKind::Layer,
        norm_bias: true,
        norm_offset: 0.0,
    };
    let ranks = Ranks::read(config)?;
    let context = blocks::context_length(config, CONTEXT)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let mixer = Mixer::TimeMix(Box::new(ranks.time_mix(&sizes, i)));
        sizes.layer_with(i, mixer, Ffn::ChannelMix(Box::new(channel_mix(&sizes, i))))
    })?;
    let spec = Spec { embedding_norm: Some(sizes.layer_norm(0, "pre_norm")), ..spec };
    Ok(spec.renamed(&[
        ("model.embed_tokens", "model.embeddings"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ]))
}

/// What mlx-lm takes for given.
fn refuse_others(config: &Config, hidden: usize) -> Result<()> {
    blocks::expect_activation(config, &["sqrelu"])?;
    for key in ["norm_first", "norm_bias"] {
        if !config.bool_or(key, true)? {
            return Err(config.unsupported(key, "is not supported; true is"));
        }
    }
    if config.get("attn").is_some() {
        return Err(config.unsupported("attn", "is not supported: layers with attention beside those without"));
    }
    let widths = config.usizes_or_one("value_dim", 1..=MAX_HIDDEN)?.unwrap_or_default();
    if widths.iter().any(|width| *width != hidden) {
        let message = format!("is not supported with other values than the hidden_size of {hidden}");
        return Err(config.unsupported("value_dim", message));
    }
    Ok(())
}

/// Ranks of the matrices that are stored as two.
struct Ranks {
    decay: usize,
    rate: usize,
    residual: usize,
    gate: usize,
}

impl Ranks {
    fn read(config: &Config) -> Result<Self> {
        let rank = |key| config.usize(key, 1..=MAX_HIDDEN);
        Ok(Self {
            decay: rank("decay_low_rank_dim")?,
            rate: rank("a_low_rank_dim")?,
            residual: rank("v_low_rank_dim")?,
            gate: rank("gate_low_rank_dim")?,
        })
    }

    fn time_mix(&self, sizes: &Sizes, i: usize) -> TimeMix {
        let hidden = sizes.hidden;
        let part = |part: &str| name(i, &format!("attn.{part}"));
        let square = |name| linear(part(name), hidden, hidden, false);
        let low = |name: &str, rank, bias| LowRank {
            down: linear(part(&format!("{name}_lora.lora.0")), rank, hidden, false),
            up: linear(part(&format!("{name}_lora.lora.2")), hidden, rank, bias),
        };
        TimeMix {
            heads: sizes.heads,
            head_dim: sizes.head_dim,
            shifts: Shifts {
                receptance: part("x_r"),
                decay: part("x_w"),
                key: part("x_k"),
                value: part("x_v"),
                rate: part("x_a"),
                gate: part("x_g"),
            },
            receptance: square("r_proj"),
            key: square("k_proj"),
            value: square("v_proj"),
            decay: low("w", self.decay, true),
            rate: low("a", self.rate, true),
            residual: (i > 0).then(|| low("v", self.residual, true)),
            gate: low("g", self.gate, false),
            key_scale: part("k_k"),
            key_rate: part("k_a"),
            bonus: part("r_k"),
            norm: Norm { heads: sizes.heads, epsilon: HEAD_EPSILON, ..sizes.norm_of(part("g_norm"), sizes.head_dim) },
            output: square("o_proj"),
        }
    }
}

fn channel_mix(sizes: &Sizes, i: usize) -> ChannelMix {
    let part = |part: &str| name(i, &format!("ffn.{part}"));
    ChannelMix {
        shift: part("x_k"),
        key: linear(part("key"), sizes.intermediate, sizes.hidden, false),
        value: linear(part("value"), sizes.hidden, sizes.intermediate, false),
    }
}
