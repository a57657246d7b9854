//! JSON as an indented outline for people: `key: value`, sizes with units, runs of equal items told once.

use serde_json::{Map, Value};

use crate::size;

/// Lists of numbers longer than this are cut.
const LONG: usize = 16;

/// The outline of `value`, with a line end after each line.
pub fn of(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) => object(&mut text, fields, 0),
        Value::Array(items) => list(&mut text, items, 0),
        other => text = scalar("", other) + "\n",
    }
    text
}

fn object(text: &mut String, fields: &Map<String, Value>, depth: usize) {
    for (key, value) in fields {
        let name = key.strip_suffix("_bytes").unwrap_or(key).replace('_', " ");
        entry(text, &name, key, value, depth);
    }
}

fn entry(text: &mut String, name: &str, key: &str, value: &Value, depth: usize) {
    text.push_str(&format!("{:1$}{name}:", "", depth * 2));
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            object(text, fields, depth + 1);
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            text.push('\n');
            list(text, items, depth + 1);
        }
        value => {
            text.push(' ');
            text.push_str(&scalar(key, value));
            text.push('\n');
        }
    }
}

/// Items under their names or numbers; a run of equal ones under the numbers of the first and the last.
fn list(text: &mut String, items: &[Value], depth: usize) {
    let mut start = 0;
    let items: Vec<_> = items.iter().enumerate().map(|(index, item)| without_index(item, index)).collect();
    for run in items.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        match &run[0] {
            Value::Object(fields) if fields.get("name").is_some_and(Value::is_string) => {
                let mut fields = fields.clone();
                let name = fields.shift_remove("name").unwrap_or_default();
                entry(text, &scalar("", &name), "", &Value::Object(fields), depth);
            }
            item if run.len() == 1 => entry(text, &start.to_string(), "", item, depth),
            item => entry(text, &format!("{start}–{}", end - 1), "", item, depth),
        }
        start = end;
    }
}

/// An item without its own number in dotted names, so that the layers of a model can be equal.
fn without_index(item: &Value, index: usize) -> Value {
    match item {
        Value::String(name) => name.replace(&format!(".{index}."), ".*.").into(),
        Value::Array(items) => items.iter().map(|item| without_index(item, index)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), without_index(value, index))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn scalar(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(string) if string.is_empty() => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if key.ends_with("_bytes") => size::format(bytes),
            // An f32 that came through JSON reads better without the digits that f64 adds.
            _ => match number.as_f64().filter(|value| !number.is_u64() && f64::from(*value as f32) == *value) {
                Some(value) => (value as f32).to_string(),
                None => number.to_string(),
            },
        },
        Value::String(string) if string.contains(['\n', '\r']) => format!("{string:?}"),
        Value::String(string) => string.clone(),
        Value::Array(items) if items.len() > LONG => {
            let shown = [0, 1, items.len() - 1].map(|index| scalar(key, &items[index]));
            format!("{}, {}, … {} ({} values)", shown[0], shown[1], shown[2], items.len())
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| scalar(key, item)).collect::<Vec<_>>().join(", ")
        }
        Value::Array(_) | Value::Object(_) => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_facts_read_well() {
        let facts = json!({
            "model_type": "llama", "supported": true, "missing": [], "weights_bytes": 335_123_456u64,
            "eos": [1, 2], "epsilon": 1e-5f32, "bos": null, "memory": {"kv_bytes": 10, "note": "a\nb"},
            "devices": [{"name": "cpu", "available": true}], "layers": [{"heads": 2}, {"heads": 2}, {"heads": 4}],
        });
        let outline = "model type: llama\nsupported: yes\nmissing: none\nweights: 335 MB\neos: 1, 2\nepsilon: 0.00001\nbos: -\n\
            memory:\n  kv: 10 bytes\n  note: \"a\\nb\"\n\
            devices:\n  cpu:\n    available: yes\nlayers:\n  0–1:\n    heads: 2\n  2:\n    heads: 4\n";
        assert_eq!(of(&facts), outline);
        assert_eq!(of(&json!(3)), "3\n");
        let long: Vec<_> = (0..20).collect();
        assert_eq!(of(&json!({ "frequencies": long })), "frequencies: 0, 1, … 19 (20 values)\n");
    }

    #[test]
    fn layers_that_differ_by_their_number_alone_are_told_once() {
        let layers: Vec<_> = (0..12).map(|i| json!({"norm": {"name": format!("model.layers.{i}.norm")}})).collect();
        assert_eq!(of(&json!(layers)), "0–11:\n  norm:\n    name: model.layers.*.norm\n");
    }
}
