//! Configurations with values that no model has: they may come from anybody.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::arch::Activations::{ByLayer, ByOperation};
use crate::arch::spec::Spec;
use crate::arch::{self, Recording};

/// Whatever stands at whatever place, in whichever family: a spec that has a price, or an error, and no panic.
#[test]
fn any_value_at_any_key() {
    let huge = format!("[{}1]", "1,".repeat(10_000));
    let values: Vec<Value> = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "3",
        "2.5",
        "1e308",
        "-1e308",
        "1e-300",
        "\"\"",
        "\"x\"",
        "256",
        "65536",
        "1048576",
        "2147483648",
        "9223372036854775807",
        "18446744073709551615",
        "[]",
        "{}",
        "[null]",
        "{\"type\":\"yarn\"}",
        &huge,
    ]
    .iter()
    .map(|text| serde_json::from_str(text).unwrap())
    .collect();
    let mut accepted = 0;
    let configs = crate::support::cases().into_iter().map(|case| case.config);
    for config in configs.chain(crate::support::known_models().into_iter().map(|known| known.config)) {
        let config = Value::from(config);
        for place in places(&config) {
            for value in &values {
                match arch::from_config(&with(&config, &place, value), "config.json") {
                    Ok(spec) => {
                        price(&spec);
                        accepted += 1;
                    }
                    Err(error) => assert!(!error.message().is_empty() && error.message().len() < 500, "{error}"),
                }
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}

/// All sizes of a family as large as it takes them, at once: products of sizes fit, and no list grows without end.
#[test]
fn the_largest_sizes_have_a_price() {
    let values: Vec<Value> = [24, 22, 20, 16, 12, 10, 8, 6, 4, 2].map(|bit| json!(1u64 << bit)).into();
    let mut families = BTreeMap::new();
    for known in crate::support::known_models() {
        families.entry(known.config["model_type"].to_string()).or_insert(known.config);
    }
    for (family, config) in families {
        let mut config = Value::from(config);
        let sizes = places(&config).into_iter().filter(|place| config.pointer(place).is_some_and(Value::is_number));
        // Layers only add up, and make everything slow.
        for place in sizes.filter(|place| !place.contains("layer")).collect::<Vec<_>>() {
            let largest = values.iter().map(|value| with(&config, &place, value)).find_map(|changed| {
                let spec = arch::from_config(&changed, "config.json").ok()?;
                Some((changed, spec))
            });
            let Some((changed, spec)) = largest else { continue };
            price(&spec);
            assert!(spec.linears().count() < 1 << 18, "{family} {place}");
            config = changed;
        }
    }
}

/// Computes what is said of a model before its weights are read.
fn price(spec: &Spec) {
    arch::weights(spec);
    for context in [0, 1, spec.context_length] {
        for activations in [ByOperation, ByLayer(Recording { float_bytes: 2, keeps_scores: true })] {
            arch::memory(spec, context, activations, |kept| (4 * kept.heads * kept.head_dim * kept.positions) as u64);
        }
    }
}

fn with(config: &Value, place: &str, value: &Value) -> Value {
    let mut config = config.clone();
    config.pointer_mut(place).unwrap().clone_from(value);
    config
}

/// Pointers to all that a configuration holds; of lists to the first and the last.
fn places(value: &Value) -> Vec<String> {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(list) => {
            let ends = list.iter().enumerate().filter(|(i, _)| [0, list.len() - 1].contains(i));
            ends.map(|(i, value)| (i.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    let below = |(key, value): (String, &Value)| {
        let further = places(value).into_iter().map(|place| format!("/{key}{place}")).collect::<Vec<_>>();
        [format!("/{key}")].into_iter().chain(further).collect::<Vec<_>>()
    };
    inside.into_iter().flat_map(below).collect()
}
