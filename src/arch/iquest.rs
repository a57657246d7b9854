//! IQuest Loop Coder: Llama whose layers run twice. The second time each looks at the keys and values of the first, and
//! at its own within a window.

use serde_json::{Value, json};

use super::blocks::{self, Sizes, linear};
use super::config::Config;
use super::rope::{self, Base};
use super::spec::{Layer, Loops, Mixer, SecondLook, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    config.with(json!({"rope_theta": 500_000.0}), Value::Null, read)
}

fn read(config: &Config) -> Result<Spec> {
    const TIMES: &str = "loop_num";
    if config.usize_or(TIMES, 2, 0..=usize::MAX)? != 2 {
        return Err(config.unsupported(TIMES, "is not supported; 2 is"));
    }
    let window = config.usize_or("loop_window_size", 64, 1..=blocks::MAX_CONTEXT)?;
    let sizes = Sizes::read(config)?;
    if 2 * sizes.layers > blocks::MAX_LAYERS {
        return Err(config.unsupported("num_hidden_layers", "is not supported where layers run twice"));
    }
    let context = blocks::context_length(config, 131_072)?;
    let rope = rope::rope(config, &Base { dims: sizes.head_dim, traditional: false, theta: None, context })?;
    rope::refuse_partial(config)?;
    let bias = config.bool_or("attention_bias", false)?;
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    let activation = blocks::silu(config)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let look = |i: usize, first| {
        let gate = linear(format!("model.gate_projections.{i}"), sizes.heads, sizes.head_dim, true);
        Some(Box::new(SecondLook { gate, first }))
    };
    let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let mut attention = sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope);
        attention.second_look = look(i, None);
        sizes.layer(i, attention, sizes.split_mlp(i, mlp_bias, activation))
    })?;
    let again = |(i, layer): (usize, &Layer)| {
        let mut layer = layer.clone();
        if let Mixer::Attention(attention) = &mut layer.mixer {
            attention.window = Some(window);
            attention.second_look = look(i, Some(i));
        }
        layer
    };
    let second: Vec<_> = spec.layers.iter().enumerate().map(again).collect();
    spec.layers.extend(second);
    spec.loops = Some(Loops { times: 2, normed: false });
    Ok(spec)
}
