use serde_json::{Value, json};

use super::llama;
use crate::arch::Activations::{ByLayer, ByOperation};
use crate::arch::{Kept, Recording, from_config, memory};
use crate::support::known_models;

/// Plain numbers of some bytes each.
fn numbers(width: usize) -> impl Fn(Kept) -> u64 {
    move |kept| ((2 * kept.heads * kept.head_dim * width) as u64).saturating_mul(kept.positions as u64)
}

#[test]
fn keys_and_values() {
    // 2 layers of 2 heads of 16.
    let spec = llama(&[]).unwrap();
    assert_eq!(memory(&spec, 100, ByOperation, numbers(2)).kv, 2 * 2 * 2 * 16 * 100 * 2);
    assert_eq!(memory(&spec, 0, ByOperation, numbers(2)).kv, 0);
    let window = [("layer_types", json!(["sliding_attention", "full_attention"])), ("sliding_window", json!(8))];
    assert_eq!(
        memory(&llama(&window).unwrap(), 10_000, ByOperation, numbers(4)).kv,
        2 * 2 * 16 * 4 * (10_000 + 8 + 512)
    );
}

#[test]
fn streams_that_are_put_aside() {
    let kimi = |block: usize| {
        let known = known_models().into_iter().find(|known| known.name == "kimi_k3-plain-f32").unwrap();
        let mut config: Value = known.config.into();
        config["text_config"]["attn_res_block_size"] = json!(block);
        config["text_config"]["hidden_size"] = json!(4096);
        let memory = memory(&from_config(&config, "config.json").unwrap(), 100, ByOperation, numbers(4));
        // Two delta nets of two heads of 32 columns and rows, each twice; a cache of latent vectors.
        assert_eq!(memory.kv, 2 * 2 * 4 * (3 * 3 * 64 + 2 * 32 * 32) + 2 * 48 * 100 * 4);
        memory.work
    };
    // Each of 512 rows has one more put aside, and twice as much while they are mixed.
    assert_eq!(kimi(1) - kimi(2), 3 * 4096 * 512 * 4);
}

#[test]
fn absurd_sizes_do_not_overflow() {
    let changes = [
        ("num_hidden_layers", json!(1024)),
        ("hidden_size", json!(65_536)),
        ("intermediate_size", json!(1 << 20)),
        ("num_attention_heads", json!(1024)),
        ("num_key_value_heads", json!(1024)),
        ("head_dim", json!(1024)),
        ("vocab_size", json!(4_194_304)),
    ];
    let spec = llama(&changes).unwrap();
    let by_operation = memory(&spec, usize::MAX, ByOperation, numbers(4));
    assert_eq!(by_operation.kv, u64::MAX);
    assert!(by_operation.work > 1 << 32);
    let by_layer = memory(&spec, usize::MAX, ByLayer(Recording { float_bytes: 2, keeps_scores: true }), numbers(4));
    assert_eq!(by_layer.work, u64::MAX);
}

#[test]
fn layers_that_are_recorded() {
    let work = |changes: &[(&str, Value)], context: usize, keeps_scores: bool| {
        let recording = Recording { float_bytes: 2, keeps_scores };
        memory(&llama(changes).unwrap(), context, ByLayer(recording), numbers(2)).work
    };
    let head_dim = |width: usize| [("head_dim", json!(width))];
    // Three layers; scores of each head and a mask, for each of 512 rows and of what they see, where heads are too wide.
    let heads = llama(&[]).unwrap().layers[0].attention().unwrap().heads as u64;
    let grows = |changes: &[(&str, Value)], keeps: bool| work(changes, 2048, keeps) - work(changes, 1024, keeps);
    assert_eq!(grows(&head_dim(128), false), 0);
    assert_eq!(grows(&head_dim(256), false), 3 * (heads + 1) * 1024 * 512 * 2);
    assert_eq!(grows(&head_dim(128), true), 3 * (2 * heads + 1) * 1024 * 512 * 2);
    // A prompt shorter than a slice takes its part.
    assert!(work(&[], 256, false) < work(&[], 512, false) * 51 / 100);
}
