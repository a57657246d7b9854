//! `config.json` to [`spec::Spec`]: one file a family.

pub mod spec;
