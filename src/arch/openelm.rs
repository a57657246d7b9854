//! OpenELM, whose layers have sizes of their own, and Lille 130M.

use super::blocks::{self, Keys, MAX_HEADS, MAX_INTERMEDIATE, Sizes};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let layers = config.usize("num_transformer_layers", 1..=blocks::MAX_LAYERS)?;
    let heads = |key| of_layers(config, key, layers, config.usizes(key, 1..=MAX_HEADS)?);
    let (heads, kv_heads) = (heads("num_query_heads")?, heads("num_kv_heads")?);
    const MULTIPLIERS: &str = "ffn_multipliers";
    let multipliers = of_layers(config, MULTIPLIERS, layers, config.f64s(MULTIPLIERS, 1e-3..=1e3)?)?;
    let keys = Keys { hidden: "model_dim", layers: "num_transformer_layers", intermediate: "", ..Keys::STANDARD };
    let defaults = serde_json::json!({"rms_norm_eps": 1e-6});
    let forced = serde_json::json!({"num_attention_heads": 1, "num_key_value_heads": 1});
    config.usize("head_dim", 2..=blocks::MAX_HEAD_DIM)?;
    let sizes = config.with(defaults, forced, |config| Sizes::read_as(config, &keys))?;
    let divisor = config.usize("ffn_dim_divisor", 1..=1 << 16)?;
    let mut own = Vec::with_capacity(layers);
    for i in 0..layers {
        let (heads, kv_heads) = (heads[i], kv_heads[i]);
        if !heads.is_multiple_of(kv_heads) {
            return Err(config.corrupt("num_kv_heads", format_args!("does not divide the heads of layer {i}")));
        }
        let intermediate = width(multipliers[i] * sizes.hidden as f64, divisor).min(MAX_INTERMEDIATE);
        own.push(Sizes { heads, kv_heads, intermediate, ..sizes.clone() });
    }
    let context = config.usize_or("max_context_length", 2048, 1..=blocks::MAX_CONTEXT)?;
    let theta = rope::theta_or(config, "rope_freq_constant", 10_000.0)?;
    let rope = rope::plain(config, sizes.head_dim, false, theta)?;
    let normed = config.bool_or("normalize_qk_projections", true)?;
    if !config.bool_or("ffn_with_glu", true)? {
        return Err(config.unsupported("ffn_with_glu", "is not supported; true is"));
    }
    let tied = config.bool_or("share_input_output_layers", true)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let norm = |part| normed.then(|| sizes.head_norm(i, part));
        let attention = Attention {
            query_norm: norm("q_norm"),
            key_norm: norm("k_norm"),
            ..own[i].attention(i, own[i].fused_qkv(i, false), false, &rope)
        };
        own[i].layer(i, attention, own[i].fused_mlp(i, false, Activation::Silu))
    })?;
    Ok(spec.renamed(&[
        ("model.layers.", "transformer.layers."),
        ("self_attn.o_proj", "attn.out_proj"),
        ("self_attn.", "attn."),
        ("mlp.gate_up_proj", "ffn.proj_1"),
        ("mlp.down_proj", "ffn.proj_2"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("model.norm", "transformer.norm"),
        ("model.embed_tokens", "transformer.token_embeddings"),
    ]))
}

/// A list that has a number for each layer.
fn of_layers<T>(config: &Config, key: &str, layers: usize, numbers: Option<Vec<T>>) -> Result<Vec<T>> {
    let wrong = || config.wrong(key, format_args!("a list with a number for each of the {layers} layers"));
    numbers.filter(|numbers| numbers.len() == layers).ok_or_else(wrong)
}

/// A width near `wanted` that `divisor` divides, and that is not smaller by more than a tenth.
fn width(wanted: f64, divisor: usize) -> usize {
    let near = ((wanted + divisor as f64 / 2.0) as usize / divisor * divisor).max(divisor);
    if (near as f64) < 0.9 * wanted { near + divisor } else { near }
}

/// Lille 130M: Llama with fused projections, and norms that are parts of what they stand before.
pub(super) fn lille(config: &Config) -> Result<Spec> {
    let keys =
        Keys { hidden: "n_embd", layers: "n_layer", intermediate: "", heads: "n_head", epsilon: "layer_norm_eps" };
    let kv_heads = config.usize("n_kv_heads", 1..=MAX_HEADS)?;
    let forced = serde_json::json!({"num_key_value_heads": kv_heads, "head_dim": null});
    let mut sizes = config.with(serde_json::json!(null), forced, |config| Sizes::read_as(config, &keys))?;
    // Eight thirds of the model's width, to a multiple of 256.
    sizes.intermediate = 256 * ((8 * sizes.hidden / 3) as f64 / 256.0).round_ties_even().max(1.0) as usize;
    let context = config.usize("block_size", 1..=blocks::MAX_CONTEXT)?;
    let theta = config.f64("rope_theta", 1.001..=1e15)?;
    let rope = rope::plain(config, sizes.head_dim, true, theta)?;
    let spec = blocks::decoder(config, &sizes, context, true, |i| {
        let attention = sizes.attention(i, sizes.fused_qkv(i, false), false, &rope);
        sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu))
    })?;
    Ok(spec.renamed(&[
        ("model.layers.", "transformer.layers."),
        ("self_attn.o_proj", "attention.out_proj"),
        ("self_attn.", "attention."),
        ("mlp.", "feed_forward."),
        ("input_layernorm", "attention.norm"),
        ("post_attention_layernorm", "feed_forward.norm"),
        ("model.norm", "transformer.norm"),
        ("model.embed_tokens", "transformer.tok_embeddings"),
    ]))
}
