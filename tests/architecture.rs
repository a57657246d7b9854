//! Holds the edges between the modules of `src`, as ARCHITECTURE.md draws them.

#[path = "architecture/paths.rs"]
mod paths;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer.
const MOST_LINES: usize = 800;

/// What the code of each module may name of the crate, by the beginning of the path. Its own paths go without saying,
/// and tests may name anything.
const EDGES: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("event", &[]),
    ("object", &["error"]),
    ("request", &["error", "object"]),
    ("weights", &["error", "arch::spec"]),
    ("hub", &["error", "event", "object", "weights::gguf::names"]),
    ("source", &["error", "hub", "weights"]),
    ("arch", &["error", "weights::ModelFiles", "weights::Storage", "weights::gguf"]),
    ("text", &["error", "request", "weights::ModelFiles", "weights::gguf"]),
    ("backend", &["error", "arch::spec", "weights"]),
    ("convert", &["error", "event", "source", "arch", "weights", "text", "VERSION"]),
    ("nn", &["error", "arch::spec", "backend", "weights"]),
    ("sample", &["error", "event", "request"]),
    ("output", &["error", "event"]),
    (
        "engine",
        &[
            "error", "event", "object", "request", "weights", "source", "arch", "text", "backend", "nn", "sample",
            "output", "VERSION",
        ],
    ),
    ("catalog", &["error", "object", "arch", "backend::KvBits", "backend::Precision", "engine", "hub"]),
];

/// What nobody may name beside the module itself and the engine, which picks one.
const BACKENDS: &[&str] = &["backend::cpu", "backend::mlx"];

/// Where `unsafe` is allowed.
const UNSAFE: &[&str] = &["src/ffi/", "src/backend/", "src/weights/map.rs"];

/// What breaks a rule in a file of `src`. `public` is what lib.rs re-exports.
fn violations(path: &str, source: &str, public: &BTreeSet<String>) -> Vec<String> {
    let code = paths::code(source);
    let mut found = Vec::new();
    let module = paths::module_of(path);
    let Some(top) = module.first().filter(|top| **top != "lib" && **top != "bin") else {
        return crates(path, &code);
    };
    for name in paths::names(&code, &module) {
        let within = |prefix: &&str| name == **prefix || name.starts_with(&format!("{prefix}::"));
        let allowed = match EDGES.iter().find(|(from, _)| from == top) {
            _ if within(top) => true,
            Some((from, edges)) => edges.iter().any(within) && (*from == "engine" || !BACKENDS.iter().any(within)),
            None if *top == "ffi" => name.split("::").next().is_some_and(|first| public.contains(first)),
            None => {
                found.push(format!("{path}: the module {top} has no rule in tests/architecture.rs"));
                break;
            }
        };
        if !allowed {
            found.push(format!("{path}: {top} must not name crate::{name}"));
        }
    }
    if code.tokens().any(|token| token == "unsafe") && !UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
        found.push(format!("{path}: unsafe"));
    }
    found.extend(crates(path, &code));
    found
}

/// Only the MLX backend knows of MLX.
fn crates(path: &str, code: &paths::Code) -> Vec<String> {
    let named = |name: &&str| code.tokens().any(|token| token == *name) && !path.starts_with("src/backend/mlx/");
    ["mlx_rs", "mlx_sys"].iter().filter(|name| named(name)).map(|name| format!("{path}: names {name}")).collect()
}

/// The names that lib.rs re-exports, and its constants.
fn public_names() -> BTreeSet<String> {
    let source = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    paths::exports(&paths::code(&source))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under a folder of the repository, by their paths in it, but what builds leave there.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known)) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn modules_keep_their_edges() {
    let public = public_names();
    assert!(public.contains("Engine") && public.contains("probe"), "{public:?}");
    let files = files("src", &["rs"]);
    assert!(files.len() > 50, "{} files", files.len());
    let found: Vec<_> = files
        .iter()
        .filter(|path| !path.ends_with("tests.rs") && !path.components().any(|part| part.as_os_str() == "tests"))
        .flat_map(|path| violations(path.to_str().unwrap(), &fs::read_to_string(root().join(path)).unwrap(), &public))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_are_short() {
    let folders = ["src", "tests", "examples", "xtask", "benches", "swift"];
    let long: Vec<_> = folders
        .iter()
        .flat_map(|folder| files(folder, &["rs", "c", "h", "swift"]))
        .filter(|path| fs::read_to_string(root().join(path)).unwrap().lines().count() > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

/// The rules can be broken.
#[test]
fn violations_are_found() {
    let public = BTreeSet::from(["Engine".to_owned(), "Result".to_owned()]);
    let broken = |path: &str, source: &str| violations(path, source, &public);
    let one = |path: &str, source: &str, word: &str| {
        let found = broken(path, source);
        assert!(found.len() == 1 && found[0].contains(word), "{path}: {source}: {found:?}");
    };
    one("src/arch/llama.rs", "use crate::backend::Backend;", "backend::Backend");
    one("src/arch/llama.rs", "use crate::weights::{ModelFiles, Tensors};", "weights::Tensors");
    one("src/arch/llama.rs", "use crate::{error::Result, nn::{Decoder as D}};", "nn::Decoder");
    one("src/nn/decoder.rs", "fn f() { let x = crate::engine::Engine::new(); }", "engine::Engine");
    one("src/nn/decoder.rs", "use super::super::text::Text;", "text::Text");
    one("src/nn/decoder.rs", "use crate::backend::{self, mlx::Mlx};", "backend::mlx");
    one("src/nn/deep/leaf.rs", "use super::super::super::sample::Sampler;", "sample::Sampler");
    one("src/event.rs", "use super::error::Error;", "error::Error");
    one("src/event.rs", "#[cfg(test)]\nmod tests { use crate::nn::A; }\nuse crate::nn::B;", "nn::B");
    one("src/ffi/model.rs", "use crate::engine::Model;", "engine::Model");
    one("src/ffi/model.rs", "use crate::{Engine, Secret};", "Secret");
    one("src/nowhere/mod.rs", "use crate::error::Error;", "no rule");
    one("src/backend/cpu/mod.rs", "use mlx_rs::Array;", "mlx_rs");
    one("src/lib.rs", "extern crate mlx_sys;", "mlx_sys");
    one("src/bin/pocketmlx/main.rs", "use mlx_sys::x;", "mlx_sys");
    one("src/weights/files.rs", "fn f() { unsafe { g() } }", "unsafe");

    let fine = |path: &str, source: &str| assert_eq!(broken(path, source), [""; 0], "{path}: {source}");
    fine("src/arch/llama.rs", "use super::spec::Spec; use crate::arch::blocks; use crate::weights::ModelFiles;");
    fine(
        "src/arch/llama.rs",
        "// crate::nn\nconst X: &str = \"crate::nn\\\" crate::nn\"; /* unsafe */ pub(crate) fn f() {}",
    );
    fine(
        "src/arch/llama.rs",
        "fn f<'a>(c: char) -> &'a str { r#\"unsafe \"mlx_rs\"\"# } const Q: char = '\"'; // unsafe",
    );
    fine("src/event.rs", "#[cfg(test)]\nmod tests { use crate::nn::A; fn f() { if true {} } }");
    fine("src/event.rs", "#[cfg(test)]\nuse crate::support::{Fixture, case};");
    fine("src/engine/load.rs", "use crate::backend::{Backend, cpu::Cpu}; use crate::source; use crate::VERSION;");
    fine("src/ffi/model.rs", "use super::text::pmlx_string; use crate::{Engine, Result}; unsafe fn f() {}");
    fine("src/backend/mlx/raw.rs", "use mlx_sys::x; unsafe fn f() {}");
}
