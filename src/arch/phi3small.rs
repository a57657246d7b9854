//! Phi 3 Small: every other layer sees blocks of positions that differ from head to head; GEGLU with limits, whose gate
//! and up take turns; multipliers of muP.

use super::blocks::{self, Keys, Sizes};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Mlp, Rope, SparseBlocks, Spec};
use crate::error::Result;

/// Ids that the tokenizer never gives, as mlx-lm has them.
const UNUSED: [std::ops::Range<u32>; 4] = [100_256..100_257, 100_258..100_261, 100_264..100_266, 100_267..100_352];
const FACTOR: std::ops::RangeInclusive<f64> = 1e-9..=1e9;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let keys = Keys { intermediate: "ff_intermediate_size", epsilon: "layer_norm_epsilon", ..Keys::STANDARD };
    let sizes = Sizes::read_as(config, &keys)?.with_even_heads(config)?.with_layer_norms(true);
    let context = blocks::context_length(config, 8192)?;
    blocks::expect_activation(config, &["gegelu"])?;
    let limit = config.f64("gegelu_limit", FACTOR)? as f32;
    let activation = Activation::ClippedSwiglu { alpha: 1.702, limit };
    let theta = rope::theta_or(config, "rope_embedding_base", 1e6)?;
    let rope = rope::plain(config, sizes.head_dim, false, theta)?;
    let position_scale = config.f64_or("rope_position_scale", 1.0, FACTOR)?;
    let slower = |inverse: &f32| (f64::from(*inverse) * position_scale) as f32;
    let rope = Rope { inverse_frequencies: rope.inverse_frequencies.iter().map(slower).collect(), ..rope };
    let width = sizes.head_dim as f64;
    let scale = match config.bool_or("mup_use_scaling", true)? {
        true => config.f64_or("mup_attn_multiplier", 1.0, FACTOR)? / width,
        false => width.powf(-0.5),
    };
    let sparse = sparse_blocks(config)?;
    let mut spec = blocks::decoder(config, &sizes, context, true, |i| {
        let attention = Attention {
            scale: scale as f32,
            blocks: i.is_multiple_of(2).then_some(sparse),
            ..sizes.attention(i, sizes.grouped_qkv(i, true), true, &rope)
        };
        let mlp = Mlp { interleaved: true, ..sizes.plain_mlp(i, true, activation) };
        sizes.layer(i, attention, Mlp { gate_up: both(&mlp, sizes.intermediate), gated: true, ..mlp })
    })?;
    // Zero is none.
    let multiplier = |key, default| config.f64_or(key, default, 0.0..=1e9);
    let (embedding, logits) = (multiplier("mup_embedding_multiplier", 10.0)?, multiplier("mup_width_multiplier", 8.0)?);
    spec.embedding_scale = if embedding == 0.0 { 1.0 } else { embedding as f32 };
    spec.logit_scale = if logits == 0.0 { 1.0 } else { (1.0 / logits) as f32 };
    spec.unused_ids = match config.usizes("dummy_token_indices", 0..=u32::MAX as usize)? {
        Some(ids) => ids.into_iter().map(|id| id as u32).collect(),
        None => UNUSED.into_iter().flatten().collect(),
    };
    spec.unused_ids.retain(|id| (*id as usize) < sizes.vocab);
    Ok(spec.renamed(&[
        ("self_attn.qkv_proj", "self_attn.query_key_value"),
        ("self_attn.o_proj", "self_attn.dense"),
        ("model.norm", "model.final_layernorm"),
    ]))
}

/// Gate and up in one matrix.
fn both(mlp: &Mlp, width: usize) -> Vec<super::spec::Linear> {
    mlp.gate_up.iter().map(|up| super::spec::Linear { outputs: 2 * width, ..up.clone() }).collect()
}

fn sparse_blocks(config: &Config) -> Result<SparseBlocks> {
    // transformers and mlx-lm mean the same layers only then.
    let every = config.usize("dense_attention_every_n_layers", 0..=blocks::MAX_LAYERS)?;
    if every != 2 {
        return Err(config.unsupported("dense_attention_every_n_layers", "is not supported; 2 is"));
    }
    if config.bool_or("blocksparse_homo_head_pattern", false)? {
        return Err(config.unsupported("blocksparse_homo_head_pattern", "is not supported"));
    }
    const SIZE: &str = "blocksparse_block_size";
    let size = config.usize_or(SIZE, 64, 1..=blocks::MAX_CONTEXT)?;
    if !matches!(size, 32 | 64) {
        return Err(config.unsupported(SIZE, "is not supported; 32 and 64 are"));
    }
    let local = config.usize_or("blocksparse_num_local_blocks", 16, 1..=blocks::MAX_CONTEXT)?;
    let stride = config.usize_or("blocksparse_vert_stride", 8, 1..=blocks::MAX_CONTEXT)?;
    Ok(SparseBlocks { size, local, stride })
}
