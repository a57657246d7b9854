//! nanochat: norms without weights everywhere, the embedding included; rotation the other way round, before the norms of
//! queries and keys; squared ReLU; capped logits.

use serde_json::json;

use super::blocks::{self, Sizes};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Layer, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 1280, "num_hidden_layers": 20, "num_attention_heads": 10, "num_key_value_heads": 10,
        "vocab_size": 65_536, "max_position_embeddings": 2048, "intermediate_size": 5120,
    });
    let spec = config.with(defaults, json!({"rms_norm_eps": 1e-5, "head_dim": null}), |config| {
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 2048)?;
        let theta = rope::theta_or(config, "rope_theta", 10_000.0)?;
        let mut rope = rope::plain(config, sizes.head_dim, false, theta)?;
        rope.inverse_frequencies.iter_mut().for_each(|frequency| *frequency = -*frequency);
        let norm = || Some(sizes.bare_norm(sizes.hidden));
        let head_norm = || Some(sizes.bare_norm(sizes.head_dim));
        let spec = blocks::decoder(config, &sizes, context, false, |i| {
            let attention = Attention {
                query_norm: head_norm(),
                key_norm: head_norm(),
                norm_after_rope: true,
                ..sizes.attention(i, sizes.split_qkv(i, false), false, &rope)
            };
            let layer = sizes.layer(i, attention, sizes.plain_mlp(i, false, Activation::Relu2));
            Layer { mixer_norm: norm(), ffn_norm: norm(), ..layer }
        })?;
        let final_norm = sizes.bare_norm(sizes.hidden);
        Ok(Spec { embedding_norm: norm(), final_norm, logit_softcap: Some(15.0), ..spec })
    })?;
    Ok(spec.renamed(&[
        ("model.layers.", "transformer.h."),
        ("self_attn.q_proj", "attn.c_q"),
        ("self_attn.k_proj", "attn.c_k"),
        ("self_attn.v_proj", "attn.c_v"),
        ("self_attn.o_proj", "attn.c_proj"),
        ("mlp.up_proj", "mlp.c_fc"),
        ("mlp.down_proj", "mlp.c_proj"),
        ("model.embed_tokens", "transformer.wte"),
    ]))
}
