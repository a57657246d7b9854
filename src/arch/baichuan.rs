//! Baichuan M1: keys and values go through a short convolution before anything else, some layers slide and have heads of
//! their own, and rows of the head have unit length.

use serde_json::json;

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope;
use super::spec::{Attention, KvConv, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let full = config.with(json!(null), json!({"head_dim": null}), Sizes::read)?;
    let context = blocks::context_length(config, 32_768)?;
    let theta = config.f64("rope_theta", 1.001..=1e15)?;
    let window = config.usize("sliding_window", 1..=blocks::MAX_CONTEXT)?;
    let sliding = config.usizes("sliding_window_layers", 0..=blocks::MAX_LAYERS)?;
    let Some(sliding) = sliding else { return Err(config.wrong("sliding_window_layers", "a list of layers")) };
    let heads =
        |key, usual: usize| Ok(config.optional_usize(key, 0..=blocks::MAX_HEADS)?.filter(|&n| n > 0).unwrap_or(usual));
    let forced = json!({
        "head_dim": null, "num_attention_heads": heads("num_swa_attention_heads", full.heads)?,
        "num_key_value_heads": heads("num_swa_key_value_heads", full.kv_heads)?,
    });
    let narrow = config.with(json!(null), forced, Sizes::read)?;
    const WIDTH: &str = "conv_window";
    if config.usize(WIDTH, 0..=usize::MAX)? != 2 {
        return Err(config.unsupported(WIDTH, "is not supported; 2 is"));
    }
    if config.bool_or("tie_word_embeddings", false)? {
        return Err(config.unsupported("tie_word_embeddings", "is not supported for this model_type"));
    }
    blocks::silu(config)?;
    let rope = |sizes: &Sizes| rope::plain(config, sizes.head_dim, false, theta);
    let (full_rope, narrow_rope) = (rope(&full)?, rope(&narrow)?);
    let spec = blocks::decoder(config, &full, context, false, |i| {
        let slides = sliding.contains(&i);
        let (sizes, rope) = if slides { (&narrow, &narrow_rope) } else { (&full, &full_rope) };
        let part = |part| blocks::attention_name(i, part);
        let attention = Attention {
            window: slides.then_some(window),
            conv: Some(Box::new(KvConv { key: part("conv_k"), value: part("conv_v"), width: 2 })),
            ..sizes.attention(i, sizes.fused_qkv(i, false), false, rope)
        };
        sizes.layer(i, attention, sizes.split_mlp(i, false, super::spec::Activation::Silu))
    })?;
    Ok(Spec { head_normed: true, ..spec }.renamed(&[("self_attn.qkv_proj", "self_attn.W_pack")]))
}
