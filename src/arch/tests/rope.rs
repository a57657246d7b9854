use serde_json::{Value, json};

use super::{llama, of, refused};
use crate::Code::{CorruptFile, Unsupported};
use crate::arch::from_config;
use crate::arch::spec::Spec;
use crate::support::known_models;

#[test]
fn unknown_scalings_are_named() {
    for (scaling, part) in [
        (json!({"type": "ntk", "factor": 2.0}), "rope_scaling.type = \"ntk\""),
        (json!({"rope_type": "spiral", "factor": 2.0}), "rope_scaling.rope_type = \"spiral\""),
        (json!({"type": "yarn", "factor": 2.0, "attention_factor": 3.0}), "rope_scaling.attention_factor = 3.0"),
    ] {
        refused(llama(&[("rope_scaling", scaling)]), Unsupported, &[part]);
    }
    let parameters = json!({"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}});
    refused(llama(&[("rope_parameters", parameters)]), Unsupported, &["rope_parameters.full_attention"]);
}

#[test]
fn missing_and_senseless_values_are_named() {
    let factors = |n: usize, x: Value| json!({"type": "longrope", "long_factor": vec![x; n]});
    for (scaling, part) in [
        (json!({"type": "linear"}), "rope_scaling.factor is missing"),
        (json!({"type": "linear", "factor": 0}), "rope_scaling.factor = 0"),
        (json!({"type": "linear", "factor": -1.0}), "rope_scaling.factor = -1.0"),
        (json!({"type": "linear", "factor": "4"}), "rope_scaling.factor = \"4\""),
        (json!({"type": 4}), "rope_scaling.type = 4"),
        (json!("linear"), "rope_scaling = \"linear\""),
        (json!({"type": "llama3"}), "rope_scaling.factor is missing"),
        (json!({"type": "llama3", "factor": 8, "low_freq_factor": 0}), "low_freq_factor = 0"),
        (json!({"type": "yarn"}), "rope_scaling.factor is missing"),
        (json!({"type": "yarn", "factor": 8, "original_max_position_embeddings": 0}), "original_max_position"),
        (json!({"type": "yarn", "factor": 8, "beta_fast": 0}), "beta_fast = 0"),
        (json!({"type": "longrope"}), "rope_scaling.long_factor is missing"),
        (factors(7, json!(1)), "must have 8 factors"),
        (factors(8, json!(0)), "rope_scaling.long_factor"),
        (factors(8, json!("1")), "rope_scaling.long_factor"),
    ] {
        refused(llama(&[("rope_scaling", scaling)]), CorruptFile, &[part]);
    }
    let all = [("rope_scaling", factors(8, json!(1))), ("original_max_position_embeddings", json!(1))];
    refused(llama(&all), CorruptFile, &["original_max_position_embeddings = 1"]);
    refused(of("phi3", &[("partial_rotary_factor", json!(0.2))]), CorruptFile, &["3 dimensions to rotate"]);
    refused(of("phi3", &[("partial_rotary_factor", json!(1.5))]), CorruptFile, &["partial_rotary_factor = 1.5"]);
}

#[test]
fn a_yarn_that_names_its_own_magnitude() {
    let scaling = json!({"type": "yarn", "factor": 4.0, "attention_factor": 1.138_629_4});
    let spec = llama(&[("rope_scaling", scaling)]).unwrap();
    assert!((spec.layers[0].attention().unwrap().rope.as_ref().unwrap().magnitude - 1.138_629_4).abs() < 1e-6);
}

#[test]
fn transformers_5_puts_everything_into_rope_parameters() {
    let parameters = json!({"rope_type": "linear", "factor": 2.0, "rope_theta": 500_000.0});
    let new = llama(&[("rope_theta", Value::Null), ("rope_parameters", parameters)]).unwrap();
    let old = llama(&[("rope_theta", json!(500_000.0)), ("rope_scaling", json!({"type": "linear", "factor": 2.0}))]);
    assert_eq!(new, old.unwrap());
    let parameters = json!({"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5});
    let spec = of("phi3", &[("rope_parameters", parameters)]).unwrap();
    assert_eq!(spec.layers[0].attention().unwrap().rope.as_ref().unwrap().dims, 8);
}

#[test]
fn no_family_ignores_a_scaling() {
    let rotates = |spec: &Spec| spec.layers.iter().any(|layer| layer.attention().is_some_and(|a| a.rope.is_some()));
    let mut scaled = 0;
    for mut case in known_models() {
        let plain = from_config(&case.config.clone().into(), "config.json").unwrap();
        if !rotates(&plain) {
            continue;
        }
        let part = match case.config.contains_key("text_config") {
            true => case.config["text_config"].as_object_mut().unwrap(),
            false => &mut case.config,
        };
        part.insert("rope_scaling".into(), json!({"type": "yarn", "rope_type": "yarn", "factor": 3.0}));
        match from_config(&case.config.into(), "config.json") {
            Ok(spec) if spec == plain => panic!("{}: ignored", case.name),
            Ok(_) => scaled += 1,
            Err(error) => assert!(error.message().contains("rope_scaling"), "{}: {error}", case.name),
        }
    }
    assert!(scaled > 20, "only {scaled} take a scaling");
}
