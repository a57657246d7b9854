//! MiMo V2 Flash: sliding layers with sizes and a rotary base of their own, values that are narrower than keys, sinks,
//! experts.

use super::blocks::{self, Keys, MAX_HEAD_DIM, MAX_HEADS, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts;
use super::moe::corrected_sigmoid;
use super::rope;
use super::spec::{Activation, Attention, Ffn, Rope, Routing, Spec};
use crate::error::Result;

/// What a kind of layer has of its own.
struct Kind {
    sizes: Sizes,
    value_dim: usize,
    rope: Rope,
    sinks: bool,
    window: Option<usize>,
}

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read_as(config, &Keys { epsilon: "layernorm_epsilon", ..Keys::STANDARD })?;
    let context = blocks::context_length(config, 262_144)?;
    let window = Some(config.usize("sliding_window_size", 1..=blocks::MAX_CONTEXT)?);
    let full = Kind::read(config, &sizes, ["", "rope_theta", "add_full_attention_sink_bias"], None)?;
    let sliding = Kind::read(config, &sizes, ["swa_", "swa_rope_theta", "add_swa_attention_sink_bias"], window)?;
    let slides = flags(config, "hybrid_layer_pattern", sizes.layers)?;
    let sparse = flags(config, "moe_layer_freq", sizes.layers)?;
    let value_scale = config.f64_or("attention_value_scale", 1.0, 1e-6..=1e6)? as f32;
    blocks::silu(config)?;
    let count = config.optional_usize("n_routed_experts", 1..=experts::MAX)?;
    let routing = match count {
        Some(count) => Some((count, corrected_sigmoid(config, count)?)),
        None => None,
    };
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.optional_usize("n_shared_experts", 0..=256)?.unwrap_or(0);
    let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
        let kind = if slides[i] { &sliding } else { &full };
        let own = &kind.sizes;
        let part = |part, outputs, inputs| linear(attention_name(i, part), outputs, inputs, false);
        let mut qkv = own.split_qkv(i, false);
        qkv[2] = part("v_proj", own.kv_heads * kind.value_dim, own.hidden);
        let attention = Attention {
            value_dim: Some(kind.value_dim),
            value_scale,
            window: kind.window,
            sinks: kind.sinks.then(|| attention_name(i, "attention_sink_bias")),
            output: part("o_proj", own.hidden, own.heads * kind.value_dim),
            ..own.attention(i, qkv, false, &kind.rope)
        };
        let ffn: Ffn = match &routing {
            Some((count, routing)) if sparse[i] => {
                let correction = Some(name(i, "mlp.gate.e_score_correction_bias"));
                let normalize = routing.normalize.map(|_| 1e-20);
                let routing = Routing { correction, normalize, ..routing.clone() };
                let mut moe = sizes.moe(i, "mlp", *count, width, false, routing);
                if shared > 0 {
                    let name = name(i, "mlp.shared_experts");
                    moe.shared = Some(sizes.mlp_of(name, width * shared, false, Activation::Silu).into());
                }
                moe.into()
            }
            _ => sizes.split_mlp(i, false, Activation::Silu).into(),
        };
        sizes.layer(i, attention, ffn)
    })?;
    spec.ignored.push("model.mtp".into());
    Ok(spec)
}

impl Kind {
    fn read(config: &Config, sizes: &Sizes, keys: [&str; 3], window: Option<usize>) -> Result<Self> {
        let [prefix, theta, sinks] = keys;
        let usize = |key: &str, most| config.usize(&format!("{prefix}{key}"), 1..=most);
        let heads = usize("num_attention_heads", MAX_HEADS)?;
        let kv_heads = usize("num_key_value_heads", heads)?;
        let (head_dim, value_dim) = (usize("head_dim", MAX_HEAD_DIM)?, usize("v_head_dim", MAX_HEAD_DIM)?);
        if !heads.is_multiple_of(kv_heads) {
            let message = format!("does not divide the {heads} query heads");
            return Err(config.corrupt(&format!("{prefix}num_key_value_heads"), message));
        }
        if value_dim > head_dim {
            let message = format!("is not supported: values wider than keys, which are {head_dim} wide");
            return Err(config.unsupported(&format!("{prefix}v_head_dim"), message));
        }
        let dims = (config.f64("partial_rotary_factor", 0.0..=1.0)? * head_dim as f64) as usize;
        Ok(Self {
            sizes: Sizes { heads, kv_heads, head_dim, ..sizes.clone() },
            value_dim,
            rope: rope::plain(config, dims, false, config.f64(theta, 1.001..=1e15)?)?,
            sinks: config.bool(sinks)?,
            window,
        })
    }
}

/// A list with 1 or 0 for each layer.
fn flags(config: &Config, key: &str, layers: usize) -> Result<Vec<bool>> {
    match config.f64s(key, 0.0..=1.0)? {
        Some(list) if list.len() == layers => Ok(list.into_iter().map(|flag| flag == 1.0).collect()),
        _ => Err(config.wrong(key, format_args!("a list with 1 or 0 for each of the {layers} layers"))),
    }
}
