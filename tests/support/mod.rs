//! What tests share: tiny checkpoints, made from a seed, and the parity cases with mlx-lm's numbers.
//!
//! Used as `mod support;` by the files of `tests/`, and by unit tests through a path in `src/lib.rs`.
#![allow(dead_code, unused_imports)]

pub mod cases;
pub mod checkpoint;
pub mod numbers;
pub mod tensors;
pub mod tokenizer;

pub use cases::{Case, Reference, case, cases, tokens};
pub use checkpoint::Fixture;
pub use tensors::Float;
