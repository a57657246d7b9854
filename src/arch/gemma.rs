//! Gemma, first version: scaled embeddings, norms with `1 + weight`, a gate with GELU.

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Spec};
use crate::error::Result;

/// Where the file does not say, as in transformers.
pub(super) const CONTEXT: usize = 8192;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes { norm_offset: 1.0, ..Sizes::read(config)? };
    let context = blocks::context_length(config, CONTEXT)?;
    let theta = rope::theta_or(config, "rope_theta", 10_000.0)?;
    let rope = rope::plain(config, sizes.head_dim, config.bool_or("rope_traditional", false)?, theta)?;
    // What the files call gelu or gelu_pytorch_tanh, mlx-lm computes with the error function.
    blocks::expect_activation(config, &["gelu", "gelu_pytorch_tanh"])?;

    let spec = blocks::decoder(config, &sizes, context, true, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, false), false, &rope);
        sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Gelu))
    })?;
    Ok(Spec { embedding_scale: (sizes.hidden as f32).sqrt(), ..spec })
}
