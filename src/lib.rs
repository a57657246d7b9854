//! PocketMLX runs language models on the device in front of the user.
#![deny(missing_docs, unsafe_code)]

mod error;
mod event;
#[allow(dead_code)]
mod output;
mod request;
#[allow(dead_code)]
mod sample;
#[allow(dead_code)]
mod text;

pub use error::{Code, Error, Result};
pub use event::{Done, Event, FinishReason, Timings, TokenLogprob, Usage};
pub use request::{Content, ContextOverflow, Message, Part, Request, Sampling};
