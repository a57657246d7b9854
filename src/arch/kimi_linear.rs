//! Kimi Linear: delta nets whose memory decays column by column, latent attention without rotation in every fourth layer.

use serde_json::{Value, json};

use super::blocks::{self, MAX_HEAD_DIM, MAX_HEADS, MAX_INTERMEDIATE, MAX_LAYERS, Sizes};
use super::blocks::{attention_name, linear, name};
use super::config::Config;
use super::deepseek::Latent;
use super::experts;
use super::moe::grouped_sigmoid;
use super::spec::{Activation, Conv, Ffn, GatedDelta, Mixer, Routing, Score, ShortGates, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = config.usize("model_max_length", 1..=blocks::MAX_CONTEXT)?;
    blocks::silu(config)?;
    let Some(linear_config) = config.object("linear_attn_config")? else {
        return Err(config.wrong("linear_attn_config", "an object"));
    };
    let delta = Delta::read(&linear_config)?;
    let latent = latent(config, &sizes)?;
    let count = config.usize("num_experts", 0..=experts::MAX)?;
    let routing = if count > 0 { Some(routing(config, count)?) } else { None };
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.usize_or("num_shared_experts", 0, 0..=256)?;
    let first = config.usize_or("first_k_dense_replace", 0, 0..=1 << 16)?;
    let every = config.usize_or("moe_layer_freq", 1, 1..=1 << 16)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let ffn: Ffn = match &routing {
            Some(routing) if i >= first && i.is_multiple_of(every) => {
                let correction = Some(name(i, "mlp.e_score_correction_bias"));
                let mut moe = sizes.moe(i, "mlp", count, width, false, Routing { correction, ..routing.clone() });
                if shared > 0 {
                    let name = name(i, "mlp.shared_experts");
                    moe.shared = Some(sizes.mlp_of(name, width * shared, false, Activation::Silu).into());
                }
                moe.into()
            }
            _ => sizes.split_mlp(i, false, Activation::Silu).into(),
        };
        match delta.layers.contains(&(i + 1)) {
            true => sizes.layer_with(i, Mixer::GatedDelta(delta.mixer(&sizes, i)), ffn),
            false => latent.layer(&sizes, i, true, ffn),
        }
    })?;
    spec.ignored.push("model.mtp".into());
    Ok(spec)
}

/// Attention over compressed vectors, whose rotated parts are not.
fn latent(config: &Config, sizes: &Sizes) -> Result<Latent> {
    let width = |key| config.usize_or(key, sizes.head_dim, 1..=MAX_HEAD_DIM);
    let forced = json!({
        "qk_nope_head_dim": width("qk_nope_head_dim")?, "v_head_dim": width("v_head_dim")?, "q_lora_rank": null,
        "attention_bias": false,
    });
    config.with(Value::Null, forced, |config| Latent::unrotated(config, sizes))
}

fn routing(config: &Config, count: usize) -> Result<Routing> {
    const SCORE: &str = "moe_router_activation_func";
    let score = match config.string(SCORE)? {
        None | Some("sigmoid") => Score::Sigmoid,
        Some("softmax") => Score::Softmax,
        Some(_) => return Err(config.unsupported(SCORE, "is not supported; sigmoid and softmax are")),
    };
    let keys = ["num_experts_per_token", "num_expert_group", "topk_group", "moe_renormalize"];
    let routing = grouped_sigmoid(config, count, keys)?;
    Ok(Routing { score, normalize: routing.normalize.map(|_| 1e-20), ..routing })
}

/// Sizes of the delta nets.
pub(super) struct Delta {
    /// The layers that are delta nets, counted from 1.
    pub layers: Vec<usize>,
    heads: usize,
    width: usize,
    conv: usize,
}

impl Delta {
    pub fn read(config: &Config) -> Result<Self> {
        const LAYERS: &str = "kda_layers";
        let Some(layers) = config.usizes(LAYERS, 1..=MAX_LAYERS)? else {
            return Err(config.wrong(LAYERS, "a list of layers"));
        };
        Ok(Self {
            layers,
            heads: config.usize("num_heads", 1..=MAX_HEADS)?,
            width: config.usize("head_dim", 1..=MAX_HEAD_DIM)?,
            conv: config.usize_or("short_conv_kernel_size", 4, 2..=64)?,
        })
    }

    pub fn mixer(&self, sizes: &Sizes, i: usize) -> GatedDelta {
        let Self { heads, width, conv, .. } = *self;
        let all = heads * width;
        let part = |part, outputs, inputs| linear(attention_name(i, part), outputs, inputs, false);
        let from_hidden = |name, outputs| part(name, outputs, sizes.hidden);
        GatedDelta {
            key_heads: heads,
            value_heads: heads,
            key_dim: width,
            value_dim: width,
            input: vec![
                from_hidden("q_proj", all),
                from_hidden("k_proj", all),
                from_hidden("v_proj", all),
                from_hidden("g_a_proj", width),
                from_hidden("b_proj", heads),
                from_hidden("f_a_proj", width),
            ],
            short_gates: Some(ShortGates {
                rank: width,
                gate: Some(part("g_b_proj", all, width)),
                decay: part("f_b_proj", all, width),
            }),
            conv: Conv {
                weights: ["q", "k", "v"].map(|part| attention_name(i, &format!("{part}_conv.conv.weight"))).into(),
                biases: Vec::new(),
                channels: 3 * all,
                width: conv,
            },
            decay_by_column: true,
            sigmoid_gate: true,
            lowest_decay: None,
            rate_scale: 1.0,
            decay: attention_name(i, "A_log"),
            step: attention_name(i, "dt_bias"),
            norm: sizes.norm_of(attention_name(i, "o_norm"), width),
            output: part("o_proj", sizes.hidden, all),
        }
    }
}
