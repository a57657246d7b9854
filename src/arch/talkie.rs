//! Talkie: norms without weights, learned factors of each branch, the embedding added again after every layer, a rotary
//! embedding that turns the other way.

use serde_json::{Value, json};

use super::blocks::{self, Sizes, linear, name};
use super::config::Config;
use super::rope;
use super::spec::{Activation, Attention, Gains, Layer, Linear, Norm, Rope, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40, "head_dim": 128,
        "intermediate_size": 13_696, "vocab_size": 65_540, "rms_norm_eps": 1.192_092_895_507_812_5e-7,
    });
    config.with(defaults, json!({"num_key_value_heads": Value::Null}), read)
}

fn read(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 2048)?;
    let rope = rope::plain(config, sizes.head_dim, false, rope::theta_or(config, "rope_theta", 1e6)?)?;
    let rope = Rope { inverse_frequencies: rope.inverse_frequencies.iter().map(|inverse| -inverse).collect(), ..rope };
    blocks::silu(config)?;
    let bare = || Some(sizes.bare_norm(sizes.hidden));
    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        // Without weights of their dimensions, these norms may as well come before the rotation.
        let key_norm = sizes.bare_norm(sizes.head_dim);
        let weights = vec![name(i, "self_attn.head_gain.head_g")];
        let query_norm = Norm { weights, heads: sizes.heads, by_head: true, ..key_norm.clone() };
        let attention = Attention {
            query_norm: Some(query_norm),
            key_norm: Some(key_norm),
            ..sizes.attention(i, sizes.split_qkv(i, false), false, &rope)
        };
        let gain = |part| name(i, &format!("{part}.a_g"));
        Layer {
            mixer_norm: bare(),
            ffn_norm: bare(),
            gains: Some(Gains { mixer: gain("attn_gain"), ffn: gain("mlp_gain"), embedding: gain("embed_skip") }),
            ..sizes.layer(i, attention, sizes.split_mlp(i, false, Activation::Silu))
        }
    })?;
    let mut spec = Spec {
        embedding_norm: bare(),
        final_norm: sizes.bare_norm(sizes.hidden),
        head: Some(Linear { bare: true, ..linear("lm_head", sizes.vocab, sizes.hidden, false) }),
        logit_gain: Some("lm_head_gain.w_g".into()),
        ..spec
    };
    spec.ignored.extend(["rotary", ".cos", ".sin"].map(String::from));
    Ok(spec.renamed(&[
        ("model.layers.", "model.blocks."),
        ("self_attn.", "attn."),
        ("attn.q_proj", "attn.attn_query"),
        ("attn.k_proj", "attn.attn_key"),
        ("attn.v_proj", "attn.attn_value"),
        ("attn.o_proj", "attn.attn_resid"),
        ("mlp.gate_proj", "mlp.mlp_gate"),
        ("mlp.up_proj", "mlp.mlp_linear"),
        ("mlp.down_proj", "mlp.mlp_resid"),
        ("model.embed_tokens", "model.embed"),
    ]))
}
