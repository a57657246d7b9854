//! PocketMLX runs language models on the device in front of the user.
#![deny(missing_docs, unsafe_code)]

mod arch;
mod backend;
mod engine;
mod error;
mod event;
mod ffi;
#[cfg(feature = "hub")]
mod hub;
mod nn;
mod object;
mod output;
mod request;
mod sample;
mod source;
mod text;
mod weights;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

#[cfg(feature = "benchmarks")]
#[doc(hidden)]
pub use backend::cpu::benchmarks;

pub use backend::Precision;
pub use engine::{
    Canceller, Device, Engine, EngineOptions, Generation, LoadOptions, Model, Poll, ProbeOptions, Score, Session,
    SessionOptions, Text, probe, probe_config, system_info,
};
pub use error::{Code, Error, Result};
pub use event::{Done, Event, FinishReason, Progress, Stage, Timings, TokenLogprob, Usage};
#[cfg(feature = "hub")]
pub use hub::{
    CachedModel, CachedRevision, Hub, HubOptions, HubProgress, Removed, RepositoryId, Token, Transport,
    TransportRequest, TransportResponse,
};
pub use request::{Content, ContextOverflow, Message, Part, Request, Sampling};

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
