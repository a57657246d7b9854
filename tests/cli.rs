//! The command from outside: what it prints, where, and its exit status.
#![cfg(feature = "cli")]

mod support;

#[path = "cli/command.rs"]
mod command;
#[path = "cli/endings.rs"]
mod endings;
#[path = "cli/gguf.rs"]
mod gguf;
#[path = "cli/models.rs"]
mod models;
#[path = "cli/usage.rs"]
mod usage;
