//! Klear: experts and a shared one, of which each row says how much it takes of either.

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::qwen_moe::sparse_layers;
use super::rope;
use super::spec::{Activation, Ffn, Routing, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let context = blocks::context_length(config, 65_536)?;
    let rope = rope::plain(config, sizes.head_dim, false, config.f64("rope_theta", 1.001..=1e15)?)?;
    blocks::silu(config)?;
    let bias = config.bool("attention_bias")?;
    let count = config.usize("num_experts", 0..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count.max(1))?;
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.usize("n_shared_experts", 1..=256)?;
    let normalize = config.bool("norm_topk_prob")?.then_some(0.0);
    let sparse = sparse_layers(config, sizes.layers)?;
    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        let ffn: Ffn = if count > 0 && sparse[i] {
            let correction = Some(name(i, "mlp.expert_bias"));
            let routing = Routing { normalize, ..Choice::sigmoid(top_k, correction, None) };
            let mut moe = sizes.moe(i, "mlp", count, width, false, routing);
            let shared = sizes.mlp_of(name(i, "mlp.shared_experts"), width * shared, false, Activation::Silu);
            moe.shared = Some(shared.into());
            moe.balance = Some(linear(name(i, "mlp.coefficient"), 2, sizes.hidden, true));
            moe.into()
        } else {
            sizes.split_mlp(i, false, Activation::Silu).into()
        };
        sizes.layer(i, sizes.normed_attention(i, bias, bias, &rope), ffn)
    })?;
    Ok(spec.renamed(&[(".mlp.switch_mlp.", ".mlp.experts.")]))
}
