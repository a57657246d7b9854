//! Picks tokens from a row of logits on the host, the same way whatever backend computed it.

mod argmax;
mod exp;
mod history;
mod random;
mod sampler;
mod select;

pub(crate) use sampler::{Sampler, token_logprob};
