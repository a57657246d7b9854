use serde_json::{Value, json};

use super::llama;
use crate::arch::{Kept, from_config, memory};
use crate::support::known_models;

/// Plain numbers of some bytes each.
fn numbers(width: usize) -> impl Fn(Kept) -> u64 {
    move |kept| ((2 * kept.heads * kept.head_dim * width) as u64).saturating_mul(kept.positions as u64)
}

#[test]
fn keys_and_values() {
    // 2 layers of 2 heads of 16.
    let spec = llama(&[]).unwrap();
    assert_eq!(memory(&spec, 100, numbers(2)).kv, 2 * 2 * 2 * 16 * 100 * 2);
    assert_eq!(memory(&spec, 0, numbers(2)).kv, 0);
    let window = [("layer_types", json!(["sliding_attention", "full_attention"])), ("sliding_window", json!(8))];
    assert_eq!(memory(&llama(&window).unwrap(), 10_000, numbers(4)).kv, 2 * 2 * 16 * 4 * (10_000 + 8 + 512));
}

#[test]
fn streams_that_are_put_aside() {
    let kimi = |block: usize| {
        let known = known_models().into_iter().find(|known| known.name == "kimi_k3-plain-f32").unwrap();
        let mut config: Value = known.config.into();
        config["text_config"]["attn_res_block_size"] = json!(block);
        config["text_config"]["hidden_size"] = json!(4096);
        let memory = memory(&from_config(&config, "config.json").unwrap(), 100, numbers(4));
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
    let memory = memory(&llama(&changes).unwrap(), usize::MAX, numbers(4));
    assert_eq!(memory.kv, u64::MAX);
    assert!(memory.work > 1 << 32);
}
