//! Phixtral: Phi 2 with experts, under the names of Phi's first format.

use serde_json::json;

use super::blocks::{self, Keys, Sizes, linear};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope;
use super::spec::{Activation, Layer, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "num_vocab": 51_200, "model_dim": 2560, "num_heads": 32, "num_layers": 32, "rotary_dim": 32,
        "num_experts_per_tok": 2, "num_local_experts": 4, "layer_norm_eps": 1e-5,
    });
    config.with_defaults(defaults, |config| {
        let vocab = config.usize("num_vocab", 1..=blocks::MAX_VOCAB)?;
        let forced =
            json!({"vocab_size": vocab, "num_key_value_heads": null, "head_dim": null, "layer_norm_eps": 1e-5});
        config.with(json!(null), forced, read)
    })
}

fn read(config: &Config) -> Result<Spec> {
    let keys = Keys {
        hidden: "model_dim",
        layers: "num_layers",
        intermediate: "",
        heads: "num_heads",
        epsilon: "layer_norm_eps",
    };
    let sizes = Sizes::read_as(config, &keys)?.with_layer_norms(true);
    let context = config.usize_or("n_positions", 2048, 1..=blocks::MAX_CONTEXT)?;
    let rope = rope::plain(config, config.usize("rotary_dim", 2..=sizes.head_dim)?, false, 10_000.0)?;
    let count = config.usize("num_local_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
        let routing = Choice::softmax_of_chosen(top_k);
        let mut moe = sizes.moe(i, "moe", count, sizes.intermediate, true, routing);
        moe.mlp.gate_up.remove(0);
        moe.mlp.gated = false;
        moe.mlp.activation = Activation::GeluTanh;
        let layer = sizes.layer(i, sizes.attention(i, sizes.fused_qkv(i, true), true, &rope), moe);
        Layer { parallel: true, ffn_norm: None, ..layer }
    })?;
    spec.head = Some(linear("lm_head.linear", sizes.vocab, sizes.hidden, true));
    Ok(spec.renamed(&[
        ("model.layers.", "transformer.h."),
        ("self_attn.qkv_proj", "mixer.Wqkv"),
        ("self_attn.o_proj", "mixer.out_proj"),
        ("switch_mlp.up_proj", "switch_mlp.fc1"),
        ("switch_mlp.down_proj", "switch_mlp.fc2"),
        ("input_layernorm", "ln"),
        ("model.norm", "lm_head.ln"),
        ("model.embed_tokens", "transformer.embd.wte"),
    ]))
}
