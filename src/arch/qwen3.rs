//! Qwen 3 (dense): Llama with norms on queries and keys.

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::Spec;
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 32_768)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional: false, theta: None, context })?;
    rope::refuse_partial(config)?;
    blocks::ignore_window(config, context)?;
    let bias = config.bool_or("attention_bias", false)?;
    let activation = blocks::silu(config)?;

    let tied = config.bool("tie_word_embeddings")?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        sizes.layer(i, sizes.normed_attention(i, bias, bias, &rope), sizes.split_mlp(i, false, activation))
    })
}
