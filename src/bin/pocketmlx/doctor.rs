//! `pocketmlx doctor`

use serde_json::Value;

use crate::failure::Failure;
use crate::{hub, outline, output};

/// Say what this machine and this build can do, and how to get more out of them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Instead, read all models in the cache and compare every file with its hash
    #[arg(long)]
    verify: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    if args.verify {
        return hub::verify(args.json);
    }
    let mut facts = pocketmlx::system_info();
    if args.json {
        return output::json(&facts);
    }
    let hints = take_hints(&mut facts);
    let mut text = outline::of(&facts);
    for hint in hints {
        text.push_str(&format!("hint: {hint}\n"));
    }
    output::text(&text)
}

/// Takes the devices' hints out, so that they can stand at the end, each once.
fn take_hints(facts: &mut Value) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    let devices = facts.get_mut("devices").and_then(Value::as_array_mut);
    for device in devices.into_iter().flatten().filter_map(Value::as_object_mut) {
        match device.shift_remove("hint") {
            Some(Value::String(hint)) if !hint.is_empty() && !hints.contains(&hint) => hints.push(hint),
            _ => {}
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_hint_is_told_once() {
        let mut facts = json!({"devices": [
            {"name": "cpu"}, {"name": "mlx-gpu", "hint": "build it"}, {"name": "mlx-cpu", "hint": "build it"},
        ]});
        assert_eq!(take_hints(&mut facts), ["build it"]);
        assert_eq!(facts, json!({"devices": [{"name": "cpu"}, {"name": "mlx-gpu"}, {"name": "mlx-cpu"}]}));
        assert!(take_hints(&mut json!({})).is_empty());
    }
}
