//! Weights beside a good config.json.
#![no_main]

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 32, "rms_norm_eps": 1e-5}"#;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    pocketmlx_fuzz::open(&[("model.safetensors", data), ("config.json", CONFIG.as_bytes())], false);
});
