//! Configurations as they are published, shortened only where lists repeat.

use serde_json::{Value, json};

use crate::arch::Activations::{ByLayer, ByOperation};
use crate::arch::spec::{Ffn, Mixer, QuantizationFormat, QuantizationMode, Spec};
use crate::arch::{Recording, from_config, memory};

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
        memory(&spec, 40_960, ByOperation, |kept| (2 * 2 * kept.heads * kept.head_dim * kept.positions) as u64).kv,
        28 * 2 * 8 * 128 * 40_960 * 2
    );
    // What MLX makes for each row of a layer was counted on a GPU.
    let recorded = ByLayer(Recording { float_bytes: 2, keeps_scores: false });
    assert_eq!(memory(&spec, 4096, recorded, |_| 0).work, 2 * (3 * 512 * 22_528 + 3 * 151_936));
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

#[test]
fn gpt_oss_20b() {
    let types = ["sliding_attention", "full_attention"].repeat(12);
    let spec = spec(json!({
        "architectures": ["GptOssForCausalLM"], "attention_bias": true, "attention_dropout": 0.0,
        "eos_token_id": 200_002, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
        "initial_context_length": 4096, "initializer_range": 0.02, "intermediate_size": 2880, "layer_types": types,
        "max_position_embeddings": 131_072, "model_type": "gpt_oss", "num_attention_heads": 64,
        "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
        "output_router_logits": false, "pad_token_id": 199_999,
        "quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4",
                         "model.embed_tokens": {"group_size": 64, "bits": 8},
                         "model.layers.0.mlp.router": {"group_size": 64, "bits": 8}},
        "rms_norm_eps": 1e-5, "rope_theta": 150_000, "swiglu_limit": 7.0, "sliding_window": 128,
        "rope_scaling": {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0,
                         "original_max_position_embeddings": 4096, "rope_type": "yarn", "truncate": false},
        "tie_word_embeddings": false, "use_cache": true, "vocab_size": 201_088,
    }));
    let attention = spec.layers[2].attention().unwrap();
    assert_eq!((attention.window, spec.layers[3].attention().unwrap().window), (Some(128), None));
    assert_eq!(attention.sinks.as_deref(), Some("model.layers.2.self_attn.sinks"));
    let Ffn::Moe(moe) = &spec.layers[0].ffn else { panic!("no experts") };
    assert_eq!((moe.experts, moe.routing.top_k, moe.mlp.down.bias), (32, 4, true));
    assert_eq!(moe.mlp.gate_up[0].name, "model.layers.0.mlp.experts.gate_proj");
    assert_eq!(moe.router.name, "model.layers.0.mlp.router");
    let quantization = spec.quantization.as_ref().unwrap();
    assert_eq!(quantization.format("model.embed_tokens").unwrap(), QuantizationFormat::affine(8, 64));
    assert_eq!(quantization.format("other").unwrap().mode, QuantizationMode::Mxfp4);
}

#[test]
fn gemma_3_4b_says_little() {
    let spec = spec(json!({
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255_999, "eoi_token_index": 256_000,
        "eos_token_id": [1, 106], "image_token_index": 262_144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
        "model_type": "gemma3",
        "text_config": {"hidden_size": 2560, "intermediate_size": 10_240, "model_type": "gemma3_text",
                        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                        "sliding_window": 1024},
        "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 1152},
    }));
    assert_eq!((spec.model_type.as_str(), spec.vocab, spec.layers.len()), ("gemma3", 262_208, 34));
    assert_eq!(spec.eos_ids, [1, 106]);
    let windows: Vec<_> = spec.layers[..6].iter().map(|layer| layer.attention().unwrap().window).collect();
    assert_eq!(windows, [Some(1024), Some(1024), Some(1024), Some(1024), Some(1024), None]);
    let attention = spec.layers[5].attention().unwrap();
    assert_eq!((attention.heads, attention.kv_heads, attention.head_dim), (8, 4, 256));
    assert_eq!(attention.qkv[0].name, "language_model.model.layers.5.self_attn.q_proj");
    assert_eq!(attention.rope.as_ref().unwrap().inverse_frequencies[0], 0.125);
    assert!(spec.head_optional && spec.embedding_scale == 50.5);
}

#[test]
fn kimi_k2() {
    let spec = spec(json!({
        "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "eos_token_id": 163_586,
        "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 7168, "intermediate_size": 18_432,
        "kv_lora_rank": 512, "max_position_embeddings": 131_072, "model_type": "kimi_k2",
        "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 384,
        "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 64, "num_experts_per_tok": 8,
        "num_hidden_layers": 61, "num_key_value_heads": 64, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64, "rms_norm_eps": 1e-6,
        "rope_scaling": {"beta_fast": 1.0, "beta_slow": 1.0, "factor": 32.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                         "original_max_position_embeddings": 4096, "type": "yarn"},
        "rope_theta": 50_000.0, "routed_scaling_factor": 2.827, "scoring_func": "sigmoid", "topk_group": 1,
        "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size": 163_840,
    }));
    let Mixer::Latent(latent) = &spec.layers[0].mixer else { panic!("no latent attention") };
    assert_eq!(latent.kept(), (1, 576));
    // A position of a layer keeps its compressed vector, not the keys and values of 64 heads.
    let kept = memory(&spec, 1000, ByOperation, |kept| (2 * 2 * kept.heads * kept.head_dim * kept.positions) as u64);
    assert_eq!(kept.kv, 61 * 2 * 576 * 1000 * 2);
}
