//! `cargo xtask catalog`: asks the hub of `HF_ENDPOINT` for every model of `assets/catalog.json`, and writes down what it
//! saw. Nothing else marks a model as verified.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::sh::{self, Result};

/// Asks for every model and writes the catalogue anew.
pub fn run(args: &[String]) -> Result<()> {
    if !args.is_empty() {
        return Err("catalog takes no arguments; HF_ENDPOINT names the hub".into());
    }
    sh::run(Command::new(sh::cargo()).args(["build", "--release", "--bin", "pocketmlx"]).current_dir(sh::root()))?;
    let program = sh::root().join("target/release/pocketmlx");
    let path = sh::root().join("assets/catalog.json");
    let today = sh::read(Command::new("date").args(["-u", "+%F"]))?;
    let (text, gone) = update(&std::fs::read_to_string(&path)?, &today, &|id| ask(&program, id, &[]))?;
    std::fs::write(&path, text)?;
    for id in &gone {
        println!("{id} is not on the hub");
    }
    println!("{} was written; {} models were not found", path.display(), gone.len());
    Ok(())
}

/// What a hub tells of a model; `None` when it has none of that name.
fn ask(program: &Path, id: &str, environment: &[(&str, &str)]) -> Result<Option<Value>> {
    let mut command = Command::new(program);
    command.args(["info", id, "--json"]).envs(environment.iter().copied()).env("HF_HUB_OFFLINE", "0");
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        return Ok(Some(serde_json::from_slice(&output.stdout)?));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // A hub answers 401 for what does not exist, so that nobody learns what is private.
    if said.contains("status 404") || said.contains("status 401") {
        return Ok(None);
    }
    Err(format!("{id}: {}", said.trim_end()).into())
}

/// The catalogue with what was seen, and the names of models that a hub does not have. A model is a line of its own.
fn update(catalog: &str, today: &str, ask: &dyn Fn(&str) -> Result<Option<Value>>) -> Result<(String, Vec<String>)> {
    let (mut text, mut gone) = (String::with_capacity(catalog.len()), Vec::new());
    for line in catalog.lines() {
        let Some(model) = line.trim_start().strip_prefix("{\"id\":") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let comma = if model.ends_with(',') { "," } else { "" };
        let mut model: Map<String, Value> = serde_json::from_str(line.trim().trim_end_matches(','))?;
        let id = model.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let seen = ask(&id)?.and_then(|told| seen(&told, today));
        model.insert("verified".into(), seen.is_some().into());
        match seen {
            Some(seen) => model.insert("seen".into(), seen),
            None => {
                gone.push(id);
                model.shift_remove("seen")
            }
        };
        text += &format!("    {}{comma}\n", spaced(&Value::Object(model)));
    }
    Ok((text, gone))
}

/// What is kept of a hub's answer: only what came from the hub itself.
fn seen(told: &Value, today: &str) -> Option<Value> {
    if told.get("from_cache")?.as_bool()? {
        return None;
    }
    let (commit, bytes) = (told.get("commit")?.as_str()?, told.get("weight_bytes")?.as_u64()?);
    let license = told.get("license").cloned().unwrap_or_default();
    Some(json!({ "day": today, "commit": commit, "weight_bytes": bytes, "license": license }))
}

/// JSON in one line, with a space after each comma and colon, as the catalogue is written.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), spaced(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::server::{About, TestHub};

    const CATALOG: &str = "{\n  \"shapes\": {},\n  \"models\": [\n    {\"id\": \"owner/there\", \"tasks\": [\"chat\", \"small\"], \"source\": \"a/b c\", \"verified\": false},\n    {\"id\": \"owner/gone\", \"tasks\": [\"chat\"], \"source\": \"a/b c\", \"verified\": true, \"seen\": {\"day\": \"2026-01-01\"}}\n  ]\n}\n";

    #[test]
    fn what_a_hub_has_is_verified_and_nothing_else() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = ["build", "--quiet", "--bin", "pocketmlx", "--message-format", "json"];
        let built = Command::new(cargo).args(build).current_dir(sh::root()).output().unwrap();
        let artifacts = String::from_utf8(built.stdout).unwrap();
        let program = artifacts.lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(std::path::PathBuf::from(line.get("executable")?.as_str()?))
        });
        let program = program.expect("pocketmlx was not built");
        let hub = TestHub::start();
        let readme = b"---\nlicense: mit\n---\n";
        let config = br#"{"model_type": "llama"}"#;
        let commit = hub
            .add("owner/there", &[("config.json", config), ("README.md", readme), ("model.safetensors", &[0; 1234])]);
        hub.describe("owner/there", About { card: json!({"license": "mit"}), ..About::default() });
        let endpoint = hub.endpoint();
        let cache = std::env::temp_dir().join(format!("pocketmlx-catalog-{}", std::process::id()));
        let environment = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HUB_CACHE", cache.to_str().unwrap())];
        let ask = |id: &str| ask(&program, id, &environment);
        let (text, gone) = update(CATALOG, "2026-12-01", &ask).unwrap();
        let seen = format!(
            "{{\"day\": \"2026-12-01\", \"commit\": \"{commit}\", \"weight_bytes\": 1234, \"license\": \"mit\"}}"
        );
        let there = "{\"id\": \"owner/there\", \"tasks\": [\"chat\", \"small\"], \"source\": \"a/b c\", \"verified\": true, \"seen\": ";
        assert!(text.contains(&format!("    {there}{seen}}},\n")), "{text}");
        assert!(
            text.contains("\"owner/gone\", \"tasks\": [\"chat\"], \"source\": \"a/b c\", \"verified\": false}\n"),
            "{text}"
        );
        assert_eq!(gone, ["owner/gone"]);
        // Again: nothing else changes.
        assert_eq!(update(&text, "2026-12-01", &ask).unwrap().0, text);
        // A hub that gives no answer changes nothing at all.
        assert!(update(CATALOG, "2026-12-01", &|_| Err("no answer".into())).is_err());
    }
}
