//! From generated text to what the host sees.

mod stop;

pub(crate) use stop::StopMatcher;
