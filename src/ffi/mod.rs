//! The C ABI: one file a noun, each function a thin call of the public Rust API.
//!
//! `include/pocketmlx.h` is generated from this folder by `cargo xtask header`, so the documentation of the exported
//! items is written for C, and no macro hides an item. Every `unsafe` here rests on the contract at the top of the
//! header: pointers are valid for the call, lengths are true, handles are not used after they were freed.
#![allow(unsafe_code, non_camel_case_types)]

mod callback;
mod convert;
mod engine;
mod error;
mod event;
mod exports;
mod generation;
mod guard;
mod hub;
mod log;
mod model;
mod progress;
mod session;
mod text;
mod version;
