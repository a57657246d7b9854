//! Gemma 2: Gemma with norms before and after each block, and capped scores and logits. All layers attend to all
//! positions, as in mlx-lm.

use super::blocks::{self, Sizes};
use super::config::Config;
use super::gemma::CONTEXT;
use super::rope;
use super::spec::{Activation, Attention, Layer, Spec};
use crate::error::Result;

const CAP: std::ops::RangeInclusive<f64> = 1e-3..=1e6;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes { norm_offset: 1.0, ..Sizes::read(config)? };
    let context = blocks::context_length(config, CONTEXT)?;
    let theta = rope::theta_or(config, "rope_theta", 10_000.0)?;
    let rope = rope::plain(config, sizes.head_dim, config.bool_or("rope_traditional", false)?, theta)?;
    blocks::expect_activation(config, &["gelu", "gelu_pytorch_tanh"])?;
    blocks::ignore_window(config, context)?;
    let scale = config.f64_or("query_pre_attn_scalar", 144.0, 1e-3..=1e6)?.powf(-0.5) as f32;
    let softcap = Some(config.f64_or("attn_logit_softcapping", 50.0, CAP)? as f32);
    let logit_softcap = Some(config.f64_or("final_logit_softcapping", 30.0, CAP)? as f32);

    let spec = blocks::decoder(config, &sizes, context, true, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, false), false, &rope);
        sandwich(&sizes, i, Attention { scale, softcap, ..attention })
    })?;
    Ok(Spec { embedding_scale: (sizes.hidden as f32).sqrt(), logit_softcap, ..spec })
}

/// A layer with norms before and after each block, as Gemma 2 and later have it.
pub(super) fn sandwich(sizes: &Sizes, i: usize, attention: Attention) -> Layer {
    Layer {
        mixer_post_norm: Some(sizes.layer_norm(i, "post_attention_layernorm")),
        ffn_norm: Some(sizes.layer_norm(i, "pre_feedforward_layernorm")),
        ffn_post_norm: Some(sizes.layer_norm(i, "post_feedforward_layernorm")),
        ..sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::GeluTanh))
    }
}
