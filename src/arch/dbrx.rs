//! DBRX: clipped queries, keys and values in one tensor, layer norms without a bias, experts in tensors of their own.

use serde_json::{Value, json};

use super::blocks::{self, Keys, Sizes};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope;
use super::spec::{Attention, Spec};
use crate::error::Result;

const ATTENTION: &str = "attn_config";
const FFN: &str = "ffn_config";

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let (Some(attention), Some(ffn)) = (config.object(ATTENTION)?, config.object(FFN)?) else {
        let missing = if config.get(ATTENTION).is_none() { ATTENTION } else { FFN };
        return Err(config.corrupt(missing, "is missing"));
    };
    let kv_heads = attention.usize("kv_n_heads", 1..=blocks::MAX_HEADS)?;
    let forced = json!({"layer_norm_eps": 1e-5, "head_dim": null, "num_key_value_heads": kv_heads});
    config.with(Value::Null, forced, |config| read(config, &attention, &ffn))
}

fn read(config: &Config, attention: &Config, ffn: &Config) -> Result<Spec> {
    let keys =
        Keys { hidden: "d_model", layers: "n_layers", intermediate: "", heads: "n_heads", epsilon: "layer_norm_eps" };
    let sizes = Sizes::read_as(config, &keys)?.with_layer_norms(false);
    let context = config.usize_or("max_seq_len", 2048, 1..=blocks::MAX_CONTEXT)?;
    let rope = rope::plain(config, sizes.head_dim, false, attention.f64("rope_theta", 1.001..=1e15)?)?;
    let clip = attention.optional_f64("clip_qkv", 1e-6..=1e9)?.map(|limit| limit as f32);
    let width = ffn.usize("ffn_hidden_size", 1..=blocks::MAX_INTERMEDIATE)?;
    let count = ffn.usize("moe_num_experts", 1..=experts::MAX)?;
    let top_k = ffn.usize("moe_top_k", 1..=count)?;
    // What mlx-lm ignores and what would change the answers.
    if let Some(activation) = ffn.object("ffn_act_fn")?
        && activation.string("name")?.is_some_and(|name| name != "silu")
    {
        return Err(activation.unsupported("name", "is not supported; silu is"));
    }
    if ffn.f64_or("moe_normalize_expert_weights", 1.0, 0.0..=1e9)? != 1.0 {
        return Err(ffn.unsupported("moe_normalize_expert_weights", "is not supported; 1 is"));
    }
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = Attention { clip, ..sizes.attention(i, sizes.fused_qkv(i, false), false, &rope) };
        sizes.layer(i, attention, sizes.moe(i, "ffn", count, width, false, Choice::softmax_of_chosen(top_k)))
    })?;
    Ok(spec.renamed(&[
        ("model.layers.", "transformer.blocks."),
        ("self_attn.qkv_proj", "norm_attn_norm.attn.Wqkv"),
        ("self_attn.o_proj", "norm_attn_norm.attn.out_proj"),
        ("input_layernorm", "norm_attn_norm.norm_1"),
        ("post_attention_layernorm", "norm_attn_norm.norm_2"),
        ("ffn.gate", "ffn.router.layer"),
        ("switch_mlp.gate_proj", "experts.{}.w1"),
        ("switch_mlp.up_proj", "experts.{}.v1"),
        ("switch_mlp.down_proj", "experts.{}.w2"),
        ("model.norm", "transformer.norm_f"),
        ("model.embed_tokens", "transformer.wte"),
    ]))
}
