//! Qwen 2 and 2.5: Llama with biases on queries, keys and values.

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::Spec;
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 32_768)?;
    let traditional = config.bool_or("rope_traditional", false)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional, theta: Some(1_000_000.0), context })?;
    rope::refuse_partial(config)?;
    blocks::ignore_window(config, context)?;
    let activation = blocks::silu(config)?;

    let tied = config.bool_or("tie_word_embeddings", true)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, true), false, &rope);
        sizes.layer(i, attention, sizes.split_mlp(i, false, activation))
    })
}
