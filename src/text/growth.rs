//! How much longer a tokenizer's rules can make a text.

use serde_json::Value;

/// The most that may come of one byte. Real tokenizers need 3 for `▁` and 2 for bytes spelled as characters.
const MAX_GROWTH: f64 = 1000.0;

/// Whether the rules of a normalizer, pre-tokenizer or decoder stay in bounds: a list of replacements that each double
/// the text would fill any memory.
///
/// # Errors
/// What grows, and how much.
pub(super) fn check(rules: &impl serde::Serialize) -> Result<(), String> {
    let rules = serde_json::to_value(rules).map_err(|e| e.to_string())?;
    let growth = of(&rules);
    if growth > MAX_GROWTH {
        return Err(format!("its rules can make a text {growth:.0} times as long"));
    }
    Ok(())
}

fn of(rules: &Value) -> f64 {
    match rules {
        Value::Array(rules) => rules.iter().map(of).product(),
        Value::Object(rule) => match rule.get("type").and_then(Value::as_str) {
            Some("Sequence") => rule.values().map(of).product(),
            Some("Replace") => {
                let content = rule.get("content").and_then(Value::as_str).map_or(0, str::len) as f64;
                match rule.get("pattern").and_then(|p| p.get("String")).and_then(Value::as_str) {
                    Some(pattern) => (content / pattern.len().max(1) as f64).max(1.0),
                    // A regular expression may match nothing, between any two characters.
                    None => content + 1.0,
                }
            }
            Some("ByteLevel") => 2.0,
            _ => 1.0,
        },
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn real_rules_pass_and_bombs_do_not() {
        let blank = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let double = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        let insert = json!({"type": "Replace", "pattern": {"Regex": "x?"}, "content": "a"});
        let bytes = json!({"type": "ByteLevel", "use_regex": true});
        let sequence = |rules: Vec<Value>| json!({"type": "Sequence", "normalizers": rules});
        assert_eq!(
            of(&sequence(vec![blank.clone(), json!({"type": "Prepend", "prepend": "▁"}), json!({"type": "NFC"})])),
            3.0
        );
        assert!(check(&sequence(vec![blank.clone(), blank.clone(), bytes.clone()])).is_ok());
        assert!(check(&None::<Value>).is_ok());
        for bomb in [&double, &insert, &bytes, &blank] {
            let nested = sequence(vec![sequence(vec![bomb.clone(); 8]), sequence(vec![bomb.clone(); 8])]);
            assert!(check(&nested).unwrap_err().ends_with("times as long"), "{bomb}");
        }
    }
}
