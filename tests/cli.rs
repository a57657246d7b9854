//! The command from outside: what it prints, where, and its exit status.
#![cfg(feature = "cli")]

#[path = "cli/command.rs"]
mod command;
#[path = "cli/usage.rs"]
mod usage;
