//! What tests share: tiny checkpoints, made from a seed, and the parity cases with mlx-lm's numbers.
//!
//! Used as `mod support;` by the files of `tests/`, and by unit tests through a path in `src/lib.rs`.
#![allow(dead_code, unused_imports)]

pub mod cases;
pub mod checkpoint;
pub mod gguf;
pub mod models;
pub mod numbers;
pub mod tensors;
pub mod tokenizer;

pub use cases::{Case, Reference, case, cases, tokens};
pub use checkpoint::Fixture;
pub use models::{KnownModel, known_models};
pub use tensors::Float;

/// The model of a case in a folder of its own, and what mlx-lm computed for it and [`tokens`].
pub fn prepare(name: &str) -> (tempfile::TempDir, Reference) {
    let case = case(name);
    (Fixture::case(&case).build(), case.reference())
}
