//! Engines, models, sessions and generations: the public way to run a model.

mod options;

pub use options::{Device, EngineOptions, LoadOptions, ProbeOptions, SessionOptions};
mod stub;
pub use stub::*;
