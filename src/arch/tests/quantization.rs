use serde_json::{Value, json};

use super::{llama, refused};
use crate::Code::{CorruptFile, Unsupported};
use crate::arch::spec::{QuantizationFormat, QuantizationMode};

#[test]
fn overrides() {
    let value = json!({
        "group_size": 64, "bits": 4, "mode": "affine", "a": {"group_size": 32, "bits": 8}, "b": false, "c": true,
        "d": {"bits": 8}, "e": {"mode": "nvfp4"},
    });
    for key in ["quantization", "quantization_config"] {
        let quantization = llama(&[(key, value.clone())]).unwrap().quantization.unwrap();
        let four = QuantizationFormat::affine(4, 64);
        assert_eq!(quantization.format("other"), Some(four));
        assert_eq!(quantization.format("a"), Some(QuantizationFormat::affine(8, 32)));
        assert_eq!(quantization.format("b"), None);
        assert_eq!(quantization.format("c"), Some(four));
        // What a matrix's own entry leaves out is MLX's default, not what holds for the others.
        assert_eq!(quantization.format("d"), Some(QuantizationFormat::affine(8, 64)));
        assert_eq!(quantization.format("e"), Some(QuantizationFormat::usual(QuantizationMode::Nvfp4)));
    }
    assert_eq!(llama(&[("quantization", Value::Null)]).unwrap().quantization, None);
    let scaled =
        json!({"group_size": 64, "bits": 4, "a": {"mode": "nvfp4", "global_scale": true}, "b": {"mode": "nvfp4"}});
    let scaled = llama(&[("quantization", scaled)]).unwrap().quantization.unwrap();
    assert!(scaled.global_scales.iter().eq(["a"]));
}

#[test]
fn formats_of_other_tools_are_named() {
    for (key, value, part) in [
        ("quantization_config", json!({"quant_method": "awq", "bits": 4}), "quant_method = \"awq\""),
        ("quantization_config", json!({"quant_method": "gptq", "bits": 4}), "quant_method = \"gptq\""),
        ("quantization", json!({"group_size": 32, "bits": 4, "mode": "int4"}), "quantization.mode = \"int4\""),
        (
            "quantization",
            json!({"group_size": 32, "bits": 4, "lm_head": {"group_size": 16, "bits": 4, "mode": "fp6"}}),
            "quantization.lm_head.mode = \"fp6\"",
        ),
        ("quantization", json!({"group_size": 32, "bits": 4, "rotation": "hadamard"}), "quantization.rotation"),
        (
            "quantization",
            json!({"group_size": 16, "bits": 4, "mode": "nvfp4", "global_scale": true}),
            "quantization.global_scale",
        ),
        (
            "quantization",
            json!({"group_size": 32, "bits": 4, "a": {"mode": "mxfp4", "global_scale": true}}),
            "quantization.a.global_scale",
        ),
        (
            "quantization_config",
            json!({"quant_method": "modelopt", "quant_algo": "NVFP4"}),
            "quant_method = \"modelopt\"",
        ),
    ] {
        refused(llama(&[(key, value)]), Unsupported, &[part]);
    }
    // mlx-lm's own files carry both keys; the first counts.
    let both = [
        ("quantization", json!({"group_size": 64, "bits": 4})),
        ("quantization_config", json!({"quant_method": "awq"})),
    ];
    assert!(llama(&both).is_ok());
}

#[test]
fn formats_that_do_not_exist() {
    for (bits, group_size, part) in [
        (json!(0), json!(64), "quantization.bits = 0"),
        (json!(7), json!(64), "quantization.bits = 7"),
        (json!(1_000_000_000), json!(64), "quantization.bits = 1000000000"),
        (json!(-4), json!(64), "quantization.bits = -4"),
        (json!(4.5), json!(64), "quantization.bits = 4.5"),
        (json!(4), json!(0), "quantization.group_size = 0"),
        (json!(4), json!(16), "quantization.group_size = 16"),
        (json!(4), Value::Null, "quantization.group_size is missing"),
        (Value::Null, json!(64), "quantization.bits is missing"),
    ] {
        let value = json!({"bits": bits, "group_size": group_size});
        refused(llama(&[("quantization", value)]), CorruptFile, &[part]);
    }
    refused(llama(&[("quantization", json!(4))]), CorruptFile, &["quantization = 4"]);
    refused(llama(&[("quantization", json!({}))]), CorruptFile, &["quantization.bits is missing"]);
    let layer = json!({"bits": 4, "group_size": 64, "lm_head": {"bits": 4, "group_size": 16}});
    refused(llama(&[("quantization", layer)]), CorruptFile, &["quantization.lm_head.group_size = 16"]);
}
