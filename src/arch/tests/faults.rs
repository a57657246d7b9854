use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{llama, of, refused};
use crate::Code::{self, CorruptFile, Unsupported};
use crate::arch;
use crate::arch::spec::{Activation, Ffn, Mlp, Spec};
use crate::error::Result;
use crate::support::known_models;
use crate::weights::{ModelFiles, Storage};

#[test]
fn numbers_out_of_range_are_named() {
    for (key, value) in [
        ("num_hidden_layers", json!(1_000_000_000)),
        ("num_hidden_layers", json!(0)),
        ("num_hidden_layers", json!(null)),
        ("num_hidden_layers", json!(2.5)),
        ("num_hidden_layers", json!("2")),
        ("hidden_size", json!(-1)),
        ("hidden_size", json!(0)),
        ("hidden_size", json!(65_537)),
        ("hidden_size", json!(1e308)),
        ("hidden_size", json!(true)),
        ("intermediate_size", json!([128])),
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(100_000)),
        ("num_key_value_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("num_key_value_heads", json!(8)),
        ("head_dim", json!(0)),
        ("head_dim", json!(2048)),
        ("vocab_size", json!(0)),
        ("vocab_size", json!(5_000_000)),
        ("rms_norm_eps", json!(-1e-5)),
        ("rms_norm_eps", json!(1e308)),
        ("rms_norm_eps", json!("1e-5")),
        ("rms_norm_eps", json!(null)),
        ("rope_theta", json!(0)),
        ("rope_theta", json!(-10000.0)),
        ("rope_theta", json!(1e300)),
        ("max_position_embeddings", json!(9_223_372_036_854_775_808u64)),
        ("max_position_embeddings", json!(0)),
        ("tie_word_embeddings", json!("yes")),
        ("attention_bias", json!(1)),
        ("eos_token_id", json!(-1)),
        ("eos_token_id", json!([1, 4_294_967_296u64])),
        ("eos_token_id", json!("</s>")),
        ("layer_types", json!(["full_attention"])),
        ("layer_types", json!([1, 2])),
        ("layer_types", json!("full_attention")),
        ("hidden_act", json!(7)),
    ] {
        let shown = match &value {
            Value::Null => "is missing".into(),
            Value::Array(list) => format!("a list of {}", list.len()),
            other => other.to_string(),
        };
        refused(llama(&[(key, value)]), CorruptFile, &[key, &shown]);
    }
    refused(llama(&[("head_dim", json!(15))]), CorruptFile, &["head_dim = 15", "pairs"]);
    refused(
        llama(&[("head_dim", Value::Null), ("num_attention_heads", json!(6))]),
        CorruptFile,
        &["hidden_size = 64", "6 heads"],
    );
}

#[test]
fn what_is_not_supported_is_named() {
    for (key, value, part) in [
        ("hidden_act", json!("gelu"), "hidden_act = \"gelu\""),
        ("model_type", json!("rwkv9"), "model_type = \"rwkv9\""),
        ("model_file", json!("evil.py"), "model_file = \"evil.py\""),
        ("partial_rotary_factor", json!(0.5), "partial_rotary_factor = 0.5"),
        ("layer_types", json!(["full_attention", "linear_attention"]), "\"linear_attention\""),
        ("quantize_activations", json!(true), "quantize_activations"),
    ] {
        refused(llama(&[(key, value)]), Unsupported, &[part]);
    }
    let error = llama(&[("model_type", json!("qwen3_moa"))]).err().unwrap();
    assert!(error.hint().starts_with("the nearest that is: qwen3_moe;"), "{}", error.hint());
    assert!(error.hint().contains("mistral"), "{}", error.hint());
    refused(llama(&[("model_type", json!("x".repeat(100_000)))]), Unsupported, &["model_type"]);
    refused(llama(&[("model_type", Value::Null)]), CorruptFile, &["model_type is missing"]);
    refused(llama(&[("model_type", json!(3))]), CorruptFile, &["model_type = 3"]);
}

/// The first layer's dense block.
fn mlp(spec: &Spec) -> &Mlp {
    match &spec.layers[0].ffn {
        Ffn::Dense(mlp) => mlp,
        other => panic!("{other:?}"),
    }
}

#[test]
fn absent_and_other_spellings() {
    let spec = llama(&[("hidden_act", Value::Null), ("eos_token_id", Value::Null)]).unwrap();
    assert_eq!((mlp(&spec).activation, spec.eos_ids), (Activation::Silu, vec![]));
    let spec = llama(&[("eos_token_id", json!([1, 2])), ("hidden_act", json!("swish"))]).unwrap();
    assert_eq!(spec.eos_ids, [1, 2]);
    let spec = llama(&[("num_key_value_heads", Value::Null), ("partial_rotary_factor", json!(1.0))]).unwrap();
    assert_eq!(spec.layers[0].attention().unwrap().kv_heads, 4);
    assert_eq!(llama(&[("max_position_embeddings", Value::Null)]).unwrap().context_length, 2048);
    assert_eq!(of("qwen2", &[("max_position_embeddings", Value::Null)]).unwrap().context_length, 32_768);
    assert_eq!(of("phi3", &[("max_position_embeddings", Value::Null)]).unwrap().context_length, 131_072);
    // mlx-lm's defaults for the head differ from each other; Qwen 3 has none.
    let absent = [("tie_word_embeddings", Value::Null)];
    assert!(llama(&absent).unwrap().head.is_none() && of("qwen2", &absent).unwrap().head.is_none());
    assert!(of("phi3", &absent).unwrap().head.is_some());
    refused(of("qwen3", &absent), CorruptFile, &["tie_word_embeddings is missing"]);
    refused(of("qwen3", &[("rope_theta", Value::Null)]), CorruptFile, &["rope_theta is missing"]);
}

#[test]
fn only_layer_types_make_layers_slide() {
    let windows = |changes: &[_]| {
        llama(changes).map(|s| s.layers.iter().map(|l| l.attention().unwrap().window).collect::<Vec<_>>())
    };
    let types = ("layer_types", json!(["sliding_attention", "full_attention"]));
    assert_eq!(windows(&[("sliding_window", json!(8))]).unwrap(), [None, None]);
    assert_eq!(windows(&[types.clone(), ("sliding_window", json!(8))]).unwrap(), [Some(8), None]);
    let error = windows(std::slice::from_ref(&types)).err().unwrap();
    assert!(error.message().contains("sliding_window is missing"), "{error}");
    assert!(windows(&[types, ("sliding_window", json!(0))]).is_err());
}

#[test]
fn files_that_are_no_configuration() {
    let read = |json: &str| {
        let storage: Storage = Arc::new(json.as_bytes().to_vec());
        arch::spec(&ModelFiles::Memory(BTreeMap::from([("config.json".to_string(), storage)]))).err().unwrap()
    };
    for (json, part) in [
        ("", "is not JSON"),
        ("[]", "a list of 0, not an object"),
        ("\"x\"", "not an object"),
        ("{}", "model_type is missing"),
        ("{\"model_type\": \"llama\",\n \"rope_theta\": NaN}", "\\\"rope_theta\\\": NaN"),
        ("{\"rope_theta\": 1e999}", "number out of range"),
        (&"[".repeat(100_000), "recursion limit"),
        (&format!("{{\"a\":\"{}\"}}", "x".repeat(17 << 20)), "bytes are more than"),
    ] {
        let error = read(json);
        assert_eq!(error.code(), CorruptFile, "{error}");
        assert!(error.message().contains(part), "{error}: wanted {part:?}");
        assert!(error.message().len() < 500);
    }
    let error = arch::spec(&ModelFiles::Memory(BTreeMap::new())).err().unwrap();
    assert_eq!(error.code(), Code::NotFound);
}

#[test]
fn defaults_fit_what_else_is_said() {
    for (name, changes, parts) in [
        (
            "deepseek_v41_text-plain-f32",
            [("n_routed_experts", json!(3)), ("num_experts_per_tok", json!(null))],
            ["num_experts_per_tok is missing and would be 6", "from 1 to 3"],
        ),
        (
            "deepseek_v41_text-plain-f32",
            [("head_dim", json!(32)), ("qk_rope_head_dim", json!(null))],
            ["qk_rope_head_dim is missing and would be 64", "from 2 to 32"],
        ),
    ] {
        refused(of_known(name, &changes), CorruptFile, &parts);
    }
}

#[test]
fn numbers_of_lists_are_whole() {
    for (name, key, list) in [
        ("deepseek_v41_text-plain-f32", "compress_ratios", json!([0, 2.5])),
        ("deepseek_v41_text-plain-f32", "kv_source_layer_ids", json!([0.5])),
        ("kimi_k3-plain-f32", "linear_attn_config", json!({"kda_layers": [1, 2.5]})),
    ] {
        refused(of_known(name, &[(key, list)]), CorruptFile, &["whole numbers"]);
    }
}

#[test]
fn infinity_is_a_number_outside_of_strings() {
    let json = br#"{"a": [0.0, Infinity], "b": "Infinity \" Infinity", "c": -Infinity}"#;
    let value: serde_json::Value = serde_json::from_slice(&crate::arch::finite(json)).unwrap();
    assert_eq!(value, serde_json::json!({"a": [0.0, 1e308], "b": "Infinity \" Infinity", "c": -1e308}));
}

#[test]
fn heads_and_layers_make_no_end_of_pieces() {
    let config = serde_json::json!({
        "model_type": "deepseek_v2", "num_hidden_layers": 1024, "num_attention_heads": 1024, "num_key_value_heads": 1024,
        "hidden_size": 65_536, "kv_lora_rank": 64,
    });
    let error = crate::arch::from_config(&config, "config.json").unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.message().contains("num_attention_heads = 1024"), "{error}");
}

/// The spec of a model that is kept, with some keys of its configuration, or of that of its text part, changed.
fn of_known(name: &str, changes: &[(&str, Value)]) -> Result<Spec> {
    let mut config = known_models().into_iter().find(|known| known.name == name).unwrap().config;
    for (key, value) in changes {
        let target = match config.get_mut("text_config").and_then(Value::as_object_mut) {
            Some(text) => text,
            None => &mut config,
        };
        target.insert((*key).to_owned(), value.clone());
    }
    arch::from_config(&config.into(), "config.json")
}

#[test]
fn settings_of_kimi_k3_that_cannot_be_run_are_named() {
    let kimi = |key: &str, value: Value| of_known("kimi_k3-plain-f32", &[(key, value)]);
    assert!(kimi("mla_use_nope", json!(true)).is_ok());
    refused(kimi("mla_use_nope", json!(false)), Unsupported, &["mla_use_nope"]);
    refused(kimi("hidden_act", json!("silu")), Unsupported, &["hidden_act", "situ"]);
    refused(kimi("moe_router_activation_func", json!("softmax")), Unsupported, &["moe_router_activation_func"]);
    refused(kimi("activation_situ_linear_beta", json!(0)), CorruptFile, &["activation_situ_linear_beta"]);
    refused(kimi("attn_res_block_size", json!(0)), CorruptFile, &["attn_res_block_size"]);
    refused(kimi("linear_attn_config", json!(null)), CorruptFile, &["linear_attn_config"]);
    refused(kimi("qk_rope_head_dim", json!(null)), CorruptFile, &["qk_rope_head_dim"]);
}

#[test]
fn indexers_that_cannot_be_run_are_named() {
    let deepseek = |changes: &[(&str, Value)]| of_known("deepseek_v32-groups-f32", changes);
    assert!(deepseek(&[]).is_ok());
    refused(deepseek(&[("index_topk", json!(0))]), CorruptFile, &["index_topk"]);
    refused(deepseek(&[("index_head_dim", json!(8))]), CorruptFile, &["index_head_dim"]);
    refused(deepseek(&[("q_lora_rank", json!(null))]), CorruptFile, &["q_lora_rank"]);
    let minimax = |changes: &[(&str, Value)]| of_known("minimax_m3_vl-flat-8bit", changes);
    assert!(minimax(&[]).is_ok());
    refused(minimax(&[("index_topk_blocks", json!(null))]), CorruptFile, &["index_topk_blocks"]);
    refused(minimax(&[("index_local_blocks", json!(9))]), CorruptFile, &["index_local_blocks"]);
    refused(minimax(&[("index_n_heads", json!(3))]), CorruptFile, &["index_n_heads"]);
    let uneven = [("num_key_value_heads", json!(4)), ("index_n_heads", json!(3))];
    refused(minimax(&uneven), Unsupported, &["index_n_heads", "4 key heads"]);
}

#[test]
fn what_rwkv_can_be_besides_is_named() {
    let rwkv = |key: &str, value: Value| {
        let mut config = json!({
            "model_type": "rwkv7", "vocab_size": 8, "hidden_size": 64, "intermediate_size": 128, "norm_eps": 1e-5,
            "head_dim": 16, "num_hidden_layers": 2, "a_low_rank_dim": 8, "v_low_rank_dim": 8, "gate_low_rank_dim": 8,
            "decay_low_rank_dim": 8, "attn": null, "hidden_act": "sqrelu", "value_dim": [64, 64], "norm_first": true,
        });
        config[key] = value;
        crate::arch::from_config(&config, "config.json")
    };
    assert!(rwkv("value_dim", json!(64)).is_ok());
    for (key, value, part) in [
        ("attn", json!({"layers": [1]}), "attn"),
        ("hidden_act", json!("silu"), "hidden_act = \"silu\""),
        ("norm_first", json!(false), "norm_first = false"),
        ("norm_bias", json!(false), "norm_bias = false"),
        ("value_dim", json!([64, 128]), "value_dim"),
    ] {
        refused(rwkv(key, value), Unsupported, &[part]);
    }
    refused(rwkv("head_dim", json!(24)), CorruptFile, &["head_dim = 24", "hidden_size of 64"]);
    refused(rwkv("gate_low_rank_dim", Value::Null), CorruptFile, &["gate_low_rank_dim is missing"]);
}

#[test]
fn compressed_layers_that_cannot_be_run_are_named() {
    for name in ["deepseek_v41_text-plain-f32", "deepseek_v41-plain-8bit"] {
        assert!(of_known(name, &[]).is_ok());
        for (key, value, part) in [
            ("engram_layer_ids", json!([1]), "n-grams"),
            ("kv_source_layer_ids", json!([0, 1]), "layer 0, whose ratio is 0"),
            ("index_source_layer_ids", json!([0]), "layer 0, whose ratio is 0"),
            ("index_source_layer_ids", json!([1, 2]), "no layer keeps keys"),
            ("compress_ratios", json!([0, 2, 4, 2]), "layer 2 reads what layer 1 made"),
            ("compress_ratios", json!([0, 2, 2, 4]), "layers 3 and 2 differ"),
            ("candidate_topk_blocks", json!(2), "fewer entries than the 5"),
            ("scoring_func", json!("tanh"), "sqrtsoftplus"),
            ("rope_scaling", json!({"type": "llama3", "factor": 2.0}), "yarn is"),
        ] {
            let without_entries = part.contains("no layer keeps").then(|| ("kv_source_layer_ids", json!([3])));
            let changes: Vec<_> = [(key, value)].into_iter().chain(without_entries).collect();
            refused(of_known(name, &changes), Unsupported, &[key, part]);
        }
        refused(of_known(name, &[("o_groups", json!(3))]), CorruptFile, &["o_groups = 3"]);
        refused(of_known(name, &[("index_head_dim", json!(4))]), CorruptFile, &["index_head_dim"]);
        refused(of_known(name, &[("compress_ratios", json!([-1]))]), CorruptFile, &["compress_ratios"]);
    }
}

#[test]
fn what_muse_spark_can_be_besides_is_named() {
    let muse = |changes: &[(&str, Value)]| {
        let mut config = known_models().into_iter().find(|model| model.name == "muse_spark-plain-f32").unwrap().config;
        for (key, value) in changes {
            config["text_config"][key] = value.clone();
        }
        crate::arch::from_config(&config.into(), "config.json")
    };
    let spec = muse(&[]).unwrap();
    assert_eq!(spec.eos_ids, [95]);
    let rotated: Vec<_> = spec.layers.iter().map(|layer| layer.attention().unwrap().rope.is_some()).collect();
    assert_eq!(rotated, [true, true, false, true]);
    for (key, value, part) in [
        ("num_shared_experts", json!(1), "num_shared_experts = 1"),
        ("mlp_layer_types", json!(["sparse", "dense", "sparse", "sparse"]), "mlp_layer_types"),
        ("layer_types", json!(vec!["chunked_attention"; 4]), "chunked_attention"),
        ("tie_word_embeddings", json!(true), "tie_word_embeddings = true"),
        ("hidden_act", json!("gelu"), "hidden_act"),
        ("rope_parameters", json!({"rope_theta": 10.0, "rope_type": "yarn", "factor": 2.0}), "rope_parameters"),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0}), "rope_scaling"),
    ] {
        refused(muse(&[(key, value)]), Unsupported, &[part]);
    }
    let published = |settings: Value| {
        let mut config = json!({"model_type": "muse_spark", "quantization_config": settings});
        config["text_config"] =
            known_models().into_iter().find(|m| m.name == "muse_spark-plain-f32").unwrap().config["text_config"]
                .clone();
        crate::arch::from_config(&config, "config.json")
    };
    let spec = published(json!({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16})).unwrap();
    assert_eq!(spec.eos_ids, [200_001, 200_008]);
    assert_eq!(spec.quantization.unwrap().format("any").map(|format| format.mode.name()), Some("nvfp4"));
    let other = json!({"quant_method": "modelopt", "quant_algo": "FP8"});
    refused(published(other), Unsupported, &["quantization_config.quant_algo = \"FP8\""]);
    refused(published(json!({"quant_method": "awq"})), Unsupported, &["quantization_config.quant_method"]);
    refused(muse(&[("layer_rope_theta", json!([0.0, 1.0]))]), CorruptFile, &["layer_rope_theta"]);
    refused(muse(&[("layer_types", Value::Null)]), CorruptFile, &["layer_types"]);
    refused(muse(&[("moe_hidden_size", Value::Null)]), CorruptFile, &["moe_hidden_size"]);
    let config = json!({"model_type": "muse_spark"});
    refused(crate::arch::from_config(&config, "config.json"), CorruptFile, &["text_config"]);
}
