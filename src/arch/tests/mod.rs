//! Configurations good and bad.

mod cases;
mod extremes;
mod faults;
mod memory;
mod prism;
mod quantization;
mod real;
mod rope;

use serde_json::Value;

use super::from_config;
use super::spec::Spec;
use crate::support::Fixture;
use crate::{Code, Error};

/// The spec of a small llama with some keys of config.json changed.
fn llama(changes: &[(&str, Value)]) -> Result<Spec, Error> {
    of("llama", changes)
}

/// The spec of a small model with some keys of config.json changed.
fn of(model_type: &str, changes: &[(&str, Value)]) -> Result<Spec, Error> {
    let fixture = changes.iter().fold(Fixture::new(model_type), |f, (key, value)| f.set(key, value.clone()));
    from_config(&fixture.config.into(), "config.json")
}

/// Checks that a spec is refused with a code and a message that holds `parts`.
fn refused(spec: Result<Spec, Error>, code: Code, parts: &[&str]) {
    let error = spec.err().unwrap_or_else(|| panic!("accepted, wanted {parts:?}"));
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().starts_with("config.json"), "{error}");
    for part in parts {
        assert!(error.message().contains(part), "{error}: wanted {part:?}");
    }
    assert!(error.message().len() < 500, "{} bytes", error.message().len());
}
