//! Nanbeige: Llama whose layers may run several times.

use serde_json::json;

use super::blocks;
use super::config::Config;
use super::llama;
use super::spec::{Loops, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    for key in ["enable_double_loop_split", "loop_share_kv", "enable_depth_attention"] {
        if config.bool_or(key, false)? {
            return Err(config.unsupported(key, "is not supported"));
        }
    }
    let times = match config.f64s("loop_loss_weights", -1e9..=1e9)? {
        Some(weights) if !weights.is_empty() => weights.len() + 1,
        _ => config.usize_or("num_loops", 1, 1..=64)?,
    };
    let forced = json!({"rope_traditional": false, "layer_types": null});
    let mut spec = config.with(json!({"tie_word_embeddings": false}), forced, llama::spec)?;
    if times > 1 {
        let own = spec.layers.len();
        if own * times > blocks::MAX_LAYERS {
            return Err(config.unsupported("num_loops", format_args!("is not supported with {own} layers")));
        }
        spec.layers = (0..times).flat_map(|_| spec.layers.clone()).collect();
        spec.loops = Some(Loops { times, normed: !config.bool_or("skip_loop_final_norm", false)? });
    }
    Ok(spec)
}
