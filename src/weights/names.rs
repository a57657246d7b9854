//! The names of a checkpoint against those that its spec asks for.

use std::collections::BTreeSet;

use super::experts::{global_scale, needed_apart, needed_fused};
use super::{Tensors, rotation, shown};
use crate::arch::spec::{Linear, Quantization, QuantizationFormat, Spec};
use crate::error::{Error, Result};

/// How many names a message spells out.
const SPELLED_OUT: usize = 5;

/// Fails unless the checkpoint holds every tensor that the model needs, and no other but those that it may ignore.
/// Left-over tensors mean that the model is not what its config.json says, so its answers would be wrong.
pub(crate) fn check_names(spec: &Spec, tensors: &Tensors) -> Result<()> {
    let is_stack = |name: &String| spec.linears().any(|linear| linear.experts.is_some() && linear.name == *name);
    let scaled = spec.quantization.iter().flat_map(|quantization| &quantization.global_scales);
    if let Some(name) = scaled.into_iter().find(|name| !is_stack(name)) {
        let message = format!("{}: a global_scale of {}, which has no experts", tensors.label(), shown(name));
        return Err(Error::unsupported(message).with_hint("convert the model that it was made of without one"));
    }
    let needed = needed(spec, tensors);
    let missing: Vec<_> = needed.iter().map(String::as_str).filter(|name| !tensors.contains(name)).collect();
    if !missing.is_empty() {
        let message = format!("{} of {} needed tensors are missing: {}", missing.len(), needed.len(), list(&missing));
        let hint = if tensors.names().any(|name| name.contains(".experts.0.")) {
            "the experts are in tensors of their own; `pocketmlx convert` stacks them"
        } else if tensors.names().any(|name| name.ends_with("_residual_gate.gate")) {
            "these are the weights as their makers publish them; `pocketmlx convert` brings them into MLX's form"
        } else {
            "the weights are incomplete, or not those of this config.json"
        };
        return Err(Error::corrupt(tensors.label(), message).with_hint(hint));
    }
    let ignored = |name: &str| spec.ignored.iter().any(|part| name.contains(part.as_str()));
    let extra: Vec<_> = tensors.names().filter(|name| !needed.contains(*name) && !ignored(name)).collect();
    if !extra.is_empty() {
        let message = format!("{} tensors are not part of a {} model: {}", extra.len(), spec.model_type, list(&extra));
        return Err(Error::corrupt(tensors.label(), message).with_hint("the weights are not those of this config.json"));
    }
    Ok(())
}

/// Bytes that the tensors which the model needs take once they are loaded, as far as they are there.
pub(crate) fn needed_bytes(spec: &Spec, tensors: &Tensors) -> u64 {
    needed(spec, tensors).iter().filter_map(|name| tensors.loaded_bytes(name)).sum()
}

/// [`needed_bytes`] as a backend holds them: `kept` gives the bits of a number, scales included, in formats that are not
/// kept as they are stored.
pub(crate) fn loaded_bytes(spec: &Spec, tensors: &Tensors, kept: impl Fn(QuantizationFormat) -> Option<u64>) -> u64 {
    let names: BTreeSet<String> = spec.linears().flat_map(Linear::stored).map(|linear| linear.name).collect();
    let mut bytes = needed_bytes(spec, tensors);
    for name in names {
        let format = spec.quantization.as_ref().and_then(|quantization| quantization.format(&name));
        let view = |part: &str| tensors.get(&format!("{name}.{part}")).map(|view| view.bytes().len() as u64);
        if let (Some(format), Some(codes), Some(scales)) = (format, view("weight"), view("scales"))
            && let Some(bits) = kept(format)
        {
            bytes = bytes.saturating_sub(codes + scales) + codes / format.bits.max(1) as u64 * bits;
        }
    }
    bytes
}

/// Whether this is a head that the checkpoint leaves to the embedding table.
pub(crate) fn is_missing_head(spec: &Spec, linear: &Linear, tensors: &Tensors) -> bool {
    spec.head_optional && spec.head.as_ref() == Some(linear) && !tensors.contains(&linear.weight())
}

fn needed(spec: &Spec, tensors: &Tensors) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let linears = spec.linears().filter(|linear| !is_missing_head(spec, linear, tensors));
    for linear in linears.flat_map(Linear::stored) {
        if linear.bare {
            names.insert(linear.weight());
            continue;
        }
        if let Some(name) = needed_fused(tensors, &linear.name) {
            names.insert(name);
            continue;
        }
        for path in needed_apart(spec, tensors, &linear).unwrap_or_else(|| vec![linear.name.clone()]) {
            names.insert(format!("{path}.weight"));
            for part in ["scales", "biases"] {
                let name = format!("{path}.{part}");
                if tensors.contains(&name) {
                    names.insert(name);
                }
            }
            let rotated = |quantization: &Quantization| quantization.rotations.contains_key(&linear.name);
            if spec.quantization.as_ref().is_some_and(rotated) {
                names.insert(rotation::signs(&path));
            }
            let scale = global_scale(&linear.name);
            let scaled = |quantization: &Quantization| quantization.global_scales.contains(&linear.name);
            if linear.experts.is_some() && (tensors.contains(&scale) || spec.quantization.as_ref().is_some_and(scaled))
            {
                names.insert(scale);
            }
            if linear.ternary {
                names.insert(linear.ternary_scale());
            }
            if linear.bias {
                names.insert(format!("{path}.bias"));
            }
        }
    }
    for norm in spec.norms() {
        names.extend(norm.weights.iter().chain(&norm.times).chain(&norm.bias).chain(&norm.input).cloned());
    }
    names.extend(spec.vectors());
    names
}

fn list(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(SPELLED_OUT).map(|name| shown(name)).collect();
    let rest = if names.len() > SPELLED_OUT { ", …" } else { "" };
    format!("{}{rest}", shown.join(", "))
}
