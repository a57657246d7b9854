//! What a model is and what it would take, without reading weights.

use serde_json::{Value, json};

use super::capacity::Capacity;
use super::options::ProbeOptions;
use crate::arch;
use crate::error::Result;
use crate::source;
use crate::weights::{self, Tensors};

/// The context that memory is estimated for when the options name none.
pub(super) const DEFAULT_CONTEXT: usize = 4096;

/// Checks that this version runs what a model's config.json describes. Needs no other file.
///
/// # Errors
/// `Unsupported` or `CorruptFile` naming the setting; `NotFound`.
pub fn probe_config(source: &str) -> Result<()> {
    arch::spec(&source::resolve(source)?).map(drop)
}

/// What a model is, and the memory that its weights and the state of one sequence take on the device that engines
/// choose by default, as JSON. Reads no weights; of a GGUF file a few rows, to say what becomes of its blocks.
///
/// # Errors
/// As [`Engine::load`](crate::Engine::load): a model that can't be loaded is refused here for the same reason.
pub fn probe(source: &str, options: &ProbeOptions) -> Result<Value> {
    let files = source::resolve(source)?;
    let spec = arch::spec(&files)?;
    let context = options.context_length.unwrap_or(DEFAULT_CONTEXT.min(spec.context_length));
    let tensors = Tensors::probe(&files)?;
    weights::check_names(&spec, &tensors)?;
    let capacity = Capacity::here(None, options.kv_bits, false)?;
    let weight_bytes = capacity.weight_bytes(&spec, &tensors);
    let numbers = capacity.numbers(&spec, &tensors);
    let memory = capacity.memory(&spec, context, numbers);
    let conversions = tensors.conversions()?;
    let mut report = json!({
        "source": files.label(),
        "supported": true,
        "model_type": spec.model_type,
        "context_length": spec.context_length,
        "kv_cache": capacity.kv_cache(&spec, numbers.precision),
        "memory": {
            "context_length": context,
            "weight_bytes": weight_bytes,
            "cache_bytes": memory.kv,
            "work_bytes": memory.work,
            "total_bytes": weight_bytes + memory.kv + memory.work,
        },
        "spec": spec,
    });
    if !conversions.is_empty() {
        report["conversions"] = json!(conversions);
    }
    Ok(report)
}
