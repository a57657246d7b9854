//! Phi 3, 3.5 and 4 (dense): Llama with fused projections, rotating only a part of each head.

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::Spec;
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 131_072)?;
    let base = Base {
        dims: rope::partial(config, sizes.head_dim)?,
        traditional: config.bool_or("rope_traditional", false)?,
        theta: Some(10_000.0),
        context,
    };
    let rope = rope::rope(config, &base)?;
    blocks::ignore_window(config, context)?;
    let activation = blocks::silu(config)?;

    let tied = config.bool_or("tie_word_embeddings", false)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.fused_qkv(i, false), false, &rope);
        sizes.layer(i, attention, sizes.fused_mlp(i, false, activation))
    })
}
