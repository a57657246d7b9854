//! Configurations as they are published, shortened only where lists repeat.

use serde_json::{Value, json};

use crate::arch::spec::Spec;
use crate::arch::{from_config, memory};

fn spec(config: Value) -> Spec {
    from_config(&config, "config.json").unwrap()
}

#[test]
fn llama_3_2_1b_instruct_4bit() {
    let spec = spec(json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
        "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
        "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1,
        "quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"group_size": 64, "bits": 4},
        "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256,
    }));
    assert_eq!((spec.layers.len(), &spec.head, spec.eos_ids.len()), (16, &None, 3));
    assert_eq!(spec.linears().count(), 1 + 16 * 7);
}

#[test]
fn qwen3_0_6b() {
    let spec = spec(json!({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "bos_token_id": 151643,
        "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
        "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
        "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true,
        "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936,
    }));
    assert_eq!(spec.layers[27].attention().unwrap().output.inputs, 2048);
    assert_eq!(spec.layers[0].attention().unwrap().query_norm.as_ref().map(|norm| norm.size), Some(128));
    assert_eq!(
        memory(&spec, 40_960, |heads, dim, positions| (2 * 2 * heads * dim * positions) as u64).kv,
        28 * 2 * 8 * 128 * 40_960 * 2
    );
}

#[test]
fn mistral_7b_of_the_first_version() {
    let spec = spec(json!({
        "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
        "vocab_size": 32000,
    }));
    assert!(spec.head.is_some() && spec.layers.iter().all(|layer| layer.attention().unwrap().window.is_none()));
    assert_eq!(spec.layers[0].attention().unwrap().head_dim, 128);
}

#[test]
fn phi_4_mini() {
    let long: Vec<f64> = (0..48).map(|i| 1.0 + i as f64).collect();
    let spec = spec(json!({
        "architectures": ["Phi3ForCausalLM"], "attention_bias": false, "auto_map": {"AutoConfig": "c.Phi3Config"},
        "bos_token_id": 199999, "embd_pdrop": 0.0, "eos_token_id": 199999, "full_attn_mod": 1, "hidden_act": "silu",
        "hidden_size": 3072, "intermediate_size": 8192, "interpolate_factor": 1, "lm_head_bias": false,
        "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "phi3", "num_attention_heads": 24,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "original_max_position_embeddings": 4096,
        "partial_rotary_factor": 0.75, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
        "rope_scaling": {"long_factor": long, "short_factor": vec![1.0; 48], "type": "longrope"},
        "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": true, "vocab_size": 200064,
    }));
    let attention = spec.layers[0].attention().unwrap();
    let rope = attention.rope.as_ref().unwrap();
    assert_eq!((attention.qkv.len(), attention.qkv[0].outputs), (1, 5120));
    assert_eq!((rope.dims, rope.inverse_frequencies[1]), (96, (10_000f64.powf(-1.0 / 48.0) / 2.0) as f32));
    assert!((rope.magnitude - 1.190_238).abs() < 1e-5);
    assert!(spec.head.is_none());
}

#[test]
fn qwen2_5_0_5b() {
    let spec = spec(json!({
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864,
        "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14,
        "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936,
    }));
    let attention = spec.layers[0].attention().unwrap();
    assert!(attention.qkv.iter().all(|linear| linear.bias) && !attention.output.bias);
    assert_eq!((attention.head_dim, attention.scale), (64, 0.125));
}
