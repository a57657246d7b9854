//! A hub on the loopback for programs that fetch models: the one of `tests/hub.rs`.

#[path = "../../tests/support/hub.rs"]
pub mod server;

use std::fs;

use crate::sh::{self, Result};

/// Starts a hub that has the demo model as `pocketmlx/demo`, and gives its address. It ends with this process.
pub fn start() -> Result<String> {
    let folder = sh::root().join("assets/demo");
    let mut files = Vec::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        files.push((name, fs::read(folder.join(name))?));
    }
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_slice())).collect();
    let hub = server::TestHub::start();
    hub.add("pocketmlx/demo", &files);
    let about = server::About { tags: vec!["mlx".to_owned()], downloads: 12, ..Default::default() };
    hub.describe("pocketmlx/demo", about);
    Ok(hub.endpoint())
}
