//! Manifests of packed matrices.

use serde_json::{Value, json};

use super::refused;
use crate::Code::{CorruptFile, Unsupported};
use crate::Error;
use crate::arch::from_config;
use crate::arch::spec::Spec;
use crate::support::known_models;

/// The spec of a small pack after a change of its configuration.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Spec, Error> {
    let pack = known_models().into_iter().find(|model| model.name == "prism_hadamard_qwen35-plain-f32").unwrap();
    let mut config = pack.config.into();
    change(&mut config);
    from_config(&config, "config.json")
}

#[test]
fn a_manifest_gives_blocks_by_name() {
    let quantization = changed(|_| ()).unwrap().quantization.unwrap();
    assert_eq!(quantization.rotations["language_model.model.layers.0.mlp.down_proj"], 1024);
    assert!(!quantization.rotations.contains_key("language_model.model.layers.0.mlp.up_proj"), "its block is 0");
}

#[test]
fn what_packs_cannot_be_is_named() {
    let module = |key: &str, value: Value| {
        let key = key.to_owned();
        changed(move |config| config["modules"][0][key] = value)
    };
    refused(module("path", json!("model.layers.7.mlp.up_proj")), CorruptFile, &["layers.7", "no matrix of the model"]);
    refused(module("path", json!("lm_head")), CorruptFile, &["embedding"]);
    refused(module("block", json!(256)), CorruptFile, &["block = 256", "512 columns"]);
    refused(module("block", json!(1024)), CorruptFile, &["block = 1024", "512 columns"]);
    refused(module("dtype", json!("bfloat16")), Unsupported, &["dtype = \"bfloat16\""]);
    let twice = changed(|config| config["modules"][1] = config["modules"][0].clone());
    refused(twice, CorruptFile, &["twice"]);
    refused(changed(|config| config["modules"] = json!([])), CorruptFile, &["modules"]);
    refused(changed(|config| config["schema_version"] = json!(1)), Unsupported, &["tensor_namespace"]);
    refused(changed(|config| config["schema_version"] = json!(3)), Unsupported, &["schema_version = 3"]);
    refused(changed(|config| config["quantization"]["bits"] = json!(4)), Unsupported, &["quantization", "2 bits"]);
    let layout = changed(|config| config["gdn_activation_layout"] = json!("flat"));
    refused(layout, Unsupported, &["gdn_activation_layout"]);
}
