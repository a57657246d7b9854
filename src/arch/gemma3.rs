//! Gemma 3: norms on queries and keys, five sliding layers for each that sees all, with a rotary base of their own.

use half::bf16;
use serde_json::json;

use super::blocks::{self, Sizes};
use super::config::Config;
use super::gemma2::sandwich;
use super::rope::{self, Base};
use super::spec::{Attention, Spec};
use super::wrapper;
use crate::error::Result;

/// The text model alone.
pub(super) fn text(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 1152, "num_hidden_layers": 26, "intermediate_size": 6912, "num_attention_heads": 4,
        "head_dim": 256, "rms_norm_eps": 1e-6, "vocab_size": 262_144, "num_key_value_heads": 1,
        "sliding_window": 512, "sliding_window_pattern": 6, "max_position_embeddings": 32_768,
    });
    config.with_defaults(defaults, with_sizes)
}

/// The text part of a model that also sees.
pub(super) fn multimodal(config: &Config) -> Result<Spec> {
    let defaults = json!({"num_attention_heads": 8, "num_key_value_heads": 4});
    wrapper::text_part(config, defaults, Some(262_208), "language_model.", text)
}

fn with_sizes(config: &Config) -> Result<Spec> {
    let sizes = Sizes { norm_offset: 1.0, ..Sizes::read(config)? };
    let context = blocks::context_length(config, 32_768)?;
    let theta = rope::theta_or(config, "rope_theta", 1_000_000.0)?;
    let base = Base { dims: sizes.head_dim, traditional: false, theta: None, context };
    let global = rope::scaled(config, config.object("rope_scaling")?.as_ref(), &base, theta)?;
    let local = rope::theta_or(config, "rope_local_base_freq", 10_000.0)?;
    let local = rope::local(config, sizes.head_dim, false, local)?;
    blocks::expect_activation(config, &["gelu_pytorch_tanh", "gelu_new"])?;
    let windows = blocks::pattern_windows(config, sizes.layers)?;
    let scale = config.f64_or("query_pre_attn_scalar", 256.0, 1e-3..=1e6)?.powf(-0.5) as f32;

    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        let rope = if windows[i].is_some() { &local } else { &global };
        let attention = sizes.normed_attention(i, false, false, rope);
        sandwich(&sizes, i, Attention { scale, window: windows[i], ..attention })
    })?;
    let embedding_scale = bf16::from_f64((sizes.hidden as f64).sqrt()).to_f32();
    // Checkpoints without a head use the embedding table; which it is the tensors' names say.
    Ok(Spec { embedding_scale, head_optional: true, ..spec })
}
