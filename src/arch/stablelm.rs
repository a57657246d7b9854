//! StableLM: layer norms, partial rotation, optionally attention and MLP side by side, and norms on each head.

use super::blocks::{self, Keys, Sizes, attention_name};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Layer, Norm, NormKind, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read_as(config, &Keys::LAYER_NORM)?.with_even_heads(config)?.with_layer_norms(true);
    let context = blocks::context_length(config, 4096)?;
    let dims = (sizes.head_dim as f64 * config.f64("partial_rotary_factor", 0.0..=1.0)?) as usize;
    let rope = rope::plain(config, dims, false, config.f64("rope_theta", 1.001..=1e15)?)?;
    let bias = config.bool("use_qkv_bias")?;
    let normed = config.bool_or("qk_layernorm", false)?;
    let parallel = config.bool_or("use_parallel_residual", false)?;
    blocks::silu(config)?;
    blocks::decoder(config, &sizes, context, false, |i| {
        let norm = |part, heads| normed.then(|| head_norm(&sizes, i, part, heads));
        let attention = Attention {
            query_norm: norm("q_layernorm", sizes.heads),
            key_norm: norm("k_layernorm", sizes.kv_heads),
            ..sizes.attention(i, sizes.split_qkv(i, bias), false, &rope)
        };
        let layer = sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu));
        let ffn_norm = layer.ffn_norm.filter(|_| !parallel);
        Layer { parallel, ffn_norm, ..layer }
    })
}

/// A layer norm of each head with tensors of its own.
fn head_norm(sizes: &Sizes, layer: usize, part: &str, heads: usize) -> Norm {
    let weight = |head| attention_name(layer, &format!("{part}.norms.{head}.weight"));
    let weights = (0..heads).map(weight).collect();
    Norm { kind: NormKind::Layer, weights, bias: None, heads, ..sizes.head_norm(layer, part) }
}
