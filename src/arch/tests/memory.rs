use serde_json::json;

use super::llama;
use crate::arch::{Kept, memory};

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
