//! The models, written once, generic over the backend.

mod altup;
mod attention_parts;
mod compressed;
mod decoder;
mod delta;
mod ffn;
mod hyper;
mod indexer;
mod latent;
mod layer;
mod linear;
mod load;
mod mixer;
mod ngrams;
mod recurrence;
mod recurrent;
mod residuals;
mod sequence;
mod state_space;
mod time_mix;

pub(crate) use decoder::Decoder;
pub(crate) use load::Builder;
pub(crate) use sequence::{Sequence, caches_of};

#[cfg(test)]
mod tests;
