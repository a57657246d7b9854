//! Engines, models, sessions and generations: the public way to run a model.

mod answer;
mod budget;
#[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "the catalogue asks for room and speed"))]
mod capacity;
mod channel;
mod decode;
mod device;
mod generation;
mod guard;
mod handle;
mod job;
mod kv;
mod load;
mod memory;
mod model;
mod options;
mod pace;
mod prefill;
mod prefix;
mod probe;
mod recipe;
mod row;
mod runner;
mod scheduler;
mod score;
mod session;
mod slot;
mod text;
mod worker;

#[cfg(feature = "hub")]
pub(crate) use capacity::Capacity;
pub use channel::Poll;
#[cfg(feature = "hub")]
pub(crate) use device::Numbers;
pub use device::system_info;
pub use generation::{Canceller, Generation};
pub use handle::Engine;
pub use model::Model;
pub use options::{Device, EngineOptions, LoadOptions, ProbeOptions, SessionOptions};
pub use probe::{probe, probe_config};
pub use score::Score;
pub use session::Session;
pub use text::Text;
