//! PocketMLX runs language models on the device in front of the user.
#![deny(missing_docs, unsafe_code)]

mod arch;
mod backend;
#[cfg(feature = "hub")]
mod catalog;
mod convert;
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

pub use arch::spec::QuantizationMode;
pub use backend::{KvBits, Precision};
#[cfg(feature = "hub")]
pub use catalog::{Fit, FitOptions, ModelInfo, ModelTask, RecommendOptions, Recommendation, Seen, Support, recommend};
pub use convert::{ConvertOptions, Converted, Recipe, convert};
pub use engine::{
    Canceller, Device, Engine, EngineOptions, Generation, LoadOptions, Model, Poll, ProbeOptions, Score, Session,
    SessionOptions, Text, probe, probe_config, system_info,
};
pub use error::{Code, Error, Result};
pub use event::{Done, Event, FinishReason, Progress, Stage, Timings, TokenLogprob, Usage};
#[cfg(feature = "hub")]
pub use hub::{
    CachedModel, CachedRevision, Gated, GgufChoice, Hub, HubOptions, HubProgress, ModelMetadata, ModelQuantization,
    ModelVersion, Removed, RepositoryId, SearchOptions, SearchSort, Token, Transport, TransportRequest,
    TransportResponse, VersionKind,
};
pub use request::{Content, ContextOverflow, Message, Part, Request, Sampling};
pub use weights::Dtype;
pub use weights::gguf::Conversion;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
