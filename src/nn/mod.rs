//! The models, written once, generic over the backend.

mod altup;
mod decoder;
mod delta;
mod ffn;
mod indexer;
mod latent;
mod layer;
mod linear;
mod load;
mod mixer;
mod ngrams;
mod recurrent;
mod sequence;
mod state_space;

pub(crate) use decoder::Decoder;
pub(crate) use load::Builder;
pub(crate) use sequence::{Sequence, cache_layouts};

#[cfg(test)]
mod tests;
