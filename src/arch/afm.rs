//! AFM 7: keys and values rounded to 8 bits with learned steps, and last layers that read those of the layer before them.

use serde_json::{Value, json};

use super::blocks::{self, Keys, MAX_INTERMEDIATE, Sizes, attention_name, linear};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, KvRounding, Norm, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = json!({"rms_norm_eps": 1e-5});
    let forced = json!({
        "num_key_value_heads": config.usize("num_kv_heads", 1..=blocks::MAX_HEADS)?, "head_dim": Value::Null,
    });
    config.with(defaults, forced, read)
}

fn read(config: &Config) -> Result<Spec> {
    let keys = Keys {
        hidden: "hidden_dim",
        layers: "num_layers",
        intermediate: "",
        heads: "num_heads",
        epsilon: "rms_norm_eps",
    };
    let sizes = Sizes::read_as(config, &keys)?;
    const WIDER: &str = "hidden_dim_scale_factor";
    let intermediate = (sizes.hidden as f64 * config.f64_or(WIDER, 3.25, 0.0..=1e3)?) as usize;
    if !(1..=MAX_INTERMEDIATE).contains(&intermediate) {
        return Err(config.corrupt(WIDER, format_args!("gives a width of {intermediate}")));
    }
    let sizes = Sizes { intermediate, ..sizes };
    let context = blocks::context_length(config, 4096)?;
    let rope = rope::plain(config, sizes.head_dim, true, rope::theta_or(config, "rope_theta", 50_000.0)?)?;
    blocks::silu(config)?;
    let own = sizes.layers - config.usize("num_kv_reuse_layers", 0..=sizes.layers - 1)?;
    let mut spec = blocks::decoder(config, &sizes, context, true, |i| {
        let norm = |part| Some(Norm { epsilon: 1e-5, ..sizes.head_norm(i, part) });
        let reuses = i >= own;
        let query = linear(attention_name(i, "q_proj"), sizes.query_width(), sizes.hidden, false);
        let qkv = if reuses { vec![query] } else { sizes.fused_qkv(i, false) };
        let step = |part| attention_name(i, part);
        let rounding = KvRounding { key: step("quant_key_scale"), value: step("quant_value_scale") };
        let attention = Attention {
            query_norm: norm("q_norm"),
            key_norm: if reuses { None } else { norm("k_norm") },
            norm_after_rope: true,
            rounding: (!reuses).then(|| Box::new(rounding)),
            shares_kv_of: reuses.then(|| own - 1),
            ..sizes.attention(i, qkv, false, &rope)
        };
        sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu))
    })?;
    let later = spec.layers.split_off(own).into_iter().enumerate().map(|(index, layer)| {
        let rename = (format!("model.layers.{}.", own + index), format!("model.kv_reuse_layers.{index}."));
        layer.renamed(&[rename])
    });
    let later: Vec<_> = later.collect();
    spec.layers.extend(later);
    Ok(spec.renamed(&[
        ("self_attn.o_proj", "self_attn.out_proj"),
        ("model.norm", "model.output_norm"),
        ("model.embed_tokens", "model.embedding"),
    ]))
}
