//! `config.json` to [`spec::Spec`]: one file a family.
//!
//! What a configuration means is what mlx-lm 0.32 makes of it, down to its defaults, because that is what MLX
//! checkpoints were converted and tried with. It differs in one thing: what mlx-lm would skip in silence and what
//! changes the answers is [`Unsupported`](crate::Code::Unsupported) here, or at least logged.

mod blocks;
mod config;
mod llama;
mod memory;
mod phi3;
mod quantization;
mod qwen2;
mod qwen3;
mod rope;
pub mod spec;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::weights::ModelFiles;
use config::Config;
pub(crate) use memory::memory;
use spec::Spec;

const CONFIG: &str = "config.json";
/// The largest config.json taken; per-layer quantization makes real ones a few hundred KB long.
const MAX_CONFIG: usize = 16 << 20;

type Family = fn(&Config) -> Result<Spec>;

/// Every `model_type` that runs. Renames share their family's function.
const FAMILIES: &[(&str, Family)] = &[
    ("iquestcoder", llama::spec),
    ("llama", llama::spec),
    ("mistral", llama::spec),
    ("phi3", phi3::spec),
    ("qwen2", qwen2::spec),
    ("qwen3", qwen3::spec),
    ("xverse", llama::spec),
];

/// The spec of a model, from its config.json.
pub(crate) fn spec(files: &ModelFiles) -> Result<Spec> {
    let label = files.file_label(CONFIG);
    let Some(json) = files.read(CONFIG)? else {
        return Err(Error::new(Code::NotFound, format!("{label}: there is no such file"))
            .with_hint("every model has one; download the whole model"));
    };
    let json = (*json).as_ref();
    if json.len() > MAX_CONFIG {
        return Err(Error::corrupt(label, format_args!("{} bytes are more than {MAX_CONFIG}", json.len())));
    }
    // The parser gives up at a depth of 128.
    let config = serde_json::from_slice(json).map_err(|e| Error::corrupt(&label, not_json(json, &e)))?;
    from_config(&config, &label)
}

/// The spec of a model, from the content of its config.json. `label` is what messages call that file.
pub(crate) fn from_config(config: &Value, label: &str) -> Result<Spec> {
    let config = Config::new(config, label)?;
    let Some(model_type) = config.string("model_type")? else {
        return Err(Error::corrupt(label, "model_type is missing").with_hint("is it the config.json of a model?"));
    };
    let Some((_, family)) = FAMILIES.iter().find(|(name, _)| *name == model_type) else {
        return Err(unknown(&config, model_type));
    };
    for key in ["model_file", "quantize_activations"] {
        match config.get(key) {
            None | Some(Value::Bool(false)) => {}
            Some(_) => return Err(config.unsupported(key, "is not supported")),
        }
    }
    family(&config)
}

fn unknown(config: &Config, model_type: &str) -> Error {
    let names = || FAMILIES.iter().map(|(name, _)| *name);
    let alike = |name: &str| strsim::jaro_winkler(name, model_type);
    let nearest = names().max_by(|a, b| alike(a).total_cmp(&alike(b))).unwrap_or_default();
    config
        .unsupported("model_type", "is not supported")
        .with_hint(format!("the nearest that is: {nearest}; all: {}", names().collect::<Vec<_>>().join(", ")))
}

/// What is wrong with JSON, and the line in question: `NaN` and `Infinity`, which Python writes, are the usual fault.
fn not_json(json: &[u8], error: &serde_json::Error) -> String {
    let line = json.split(|&b| b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(120)]).trim().to_string();
    format!("is not JSON: {error}: {line:?}")
}
