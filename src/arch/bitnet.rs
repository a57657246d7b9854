//! BitNet b1.58: ternary matrices, a gate with squared ReLU, norms before the last projections.

use serde_json::{Value, json};

use super::blocks::{self, Sizes, attention_name, name};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Linear, Mlp, Spec};
use crate::error::Result;

const METHOD: &str = "quantization_config";

pub(super) fn spec(config: &Config) -> Result<Spec> {
    // What it says of ternary matrices is no format of MLX.
    let ternary = config.object(METHOD)?.filter(|method| method.get("quant_method").is_some());
    let Some(ternary) = ternary else { return read(config) };
    if ternary.string("quant_method")? != Some("bitnet") {
        return Err(ternary.unsupported("quant_method", "is not supported; bitnet is"));
    }
    // Others divide by the scale.
    if ternary.string("linear_class")?.is_some_and(|class| class != "autobitlinear") {
        return Err(ternary.unsupported("linear_class", "is not supported; autobitlinear is"));
    }
    let kept = ternary.strings("modules_to_not_convert")?.unwrap_or_default();
    if !config.bool_or("tie_word_embeddings", true)? && !kept.contains(&"lm_head") {
        return Err(ternary.unsupported("modules_to_not_convert", "leaves the head ternary, which is not supported"));
    }
    config.with(Value::Null, json!({"quantization_config": null}), read)
}

fn read(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    for (key, size) in [("hidden_size", sizes.hidden), ("intermediate_size", sizes.intermediate)] {
        if !size.is_multiple_of(32) {
            return Err(config.unsupported(key, "is not supported; multiples of 32 are"));
        }
    }
    if sizes.query_width() != sizes.hidden {
        let message = format!("makes {} heads that are not {} wide together", sizes.heads, sizes.hidden);
        return Err(config.corrupt("head_dim", message));
    }
    if !sizes.key_width().is_multiple_of(4) {
        return Err(config.unsupported("num_key_value_heads", "is not supported with keys that are not whole bytes"));
    }
    let context = blocks::context_length(config, 4096)?;
    let traditional = config.bool_or("rope_traditional", false)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional, theta: Some(10_000.0), context })?;
    rope::refuse_partial(config)?;
    blocks::expect_activation(config, &["relu2"])?;
    let bias = config.bool_or("attention_bias", false)?;
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let ternary = |linear: Linear| Linear { ternary: true, ..linear };
    blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope);
        let attention = Attention {
            qkv: attention.qkv.into_iter().map(ternary).collect(),
            output: ternary(attention.output),
            output_norm: Some(Box::new(sizes.norm(attention_name(i, "attn_sub_norm")))),
            ..attention
        };
        let mlp = sizes.split_mlp(i, mlp_bias, Activation::Relu2);
        let mlp = Mlp {
            gate_up: mlp.gate_up.into_iter().map(ternary).collect(),
            down: ternary(mlp.down),
            norm: Some(Box::new(sizes.norm_of(name(i, "mlp.ffn_sub_norm"), sizes.intermediate))),
            ..mlp
        };
        sizes.layer(i, attention, mlp)
    })
}
