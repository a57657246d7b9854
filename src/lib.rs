//! PocketMLX runs language models on the device in front of the user.
#![deny(missing_docs, unsafe_code)]

#[allow(dead_code, unused_imports)]
mod arch;
#[allow(dead_code)]
mod backend;
mod error;
mod event;
mod request;
#[allow(dead_code, unused_imports)]
mod source;
#[allow(dead_code, unused_imports)]
mod weights;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub use error::{Code, Error, Result};
pub use event::{Done, Event, FinishReason, Timings, TokenLogprob, Usage};
pub use request::{Content, ContextOverflow, Message, Part, Request, Sampling};
