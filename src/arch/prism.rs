//! Qwen 3.5 as Prism packs it: matrices of 2 bits with a Hadamard rotation folded into each, as a manifest lists them.

use std::collections::{BTreeMap, HashSet};

use super::config::Config;
use super::qwen_next;
use super::spec::{Linear, QuantizationFormat, Spec};
use crate::error::Result;

/// What mlx-lm's packs are made of.
const FORMAT: QuantizationFormat = QuantizationFormat::affine(2, 128);
/// Columns that one rotation mixes; 0 is none.
const BLOCKS: &[usize] = &[0, 512, 1024, 2048, 4096, 8192];

pub(super) fn hadamard(config: &Config) -> Result<Spec> {
    const NAMESPACE: &str = "tensor_namespace";
    let alone = match config.usize_or("schema_version", 2, 0..=usize::MAX)? {
        1 => true,
        2 => false,
        _ => return Err(config.unsupported("schema_version", "is not supported; 1 and 2 are")),
    };
    let namespace = if alone { "mlx-lm-text" } else { "mlx-vlm-qwen3_5" };
    if config.string(NAMESPACE)? != Some(namespace) {
        return Err(config.unsupported(NAMESPACE, format_args!("does not belong to its schema; {namespace} does")));
    }
    if config.string("gdn_activation_layout")?.is_some_and(|layout| layout != "grouped") {
        return Err(config.unsupported("gdn_activation_layout", "is not supported; grouped is"));
    }
    let mut spec = qwen_next::third_and_a_half(config)?;
    let prefix = "language_model.";
    if alone {
        spec = spec.renamed(&[(prefix, "")]);
    }
    let prefix = if alone { "" } else { prefix };
    let rotations = rotations(config, &spec, prefix)?;
    match &mut spec.quantization {
        Some(quantization) if quantization.default == Some(FORMAT) && quantization.overrides.is_empty() => {
            quantization.rotations = rotations;
        }
        _ => return Err(config.unsupported("quantization", "is not supported; 2 bits in groups of 128 are")),
    }
    Ok(spec)
}

/// The blocks of the rotated matrices, by name.
fn rotations(config: &Config, spec: &Spec, prefix: &str) -> Result<BTreeMap<String, usize>> {
    const MODULES: &str = "modules";
    let linears: BTreeMap<&str, &Linear> = spec.linears().map(|linear| (linear.name.as_str(), linear)).collect();
    let (mut seen, mut rotations) = (HashSet::new(), BTreeMap::new());
    let modules = config.objects(MODULES)?;
    if modules.is_empty() {
        return Err(config.wrong(MODULES, "a list of the packed matrices"));
    }
    for module in &modules {
        let path = module.string("path")?.unwrap_or_default();
        let name = format!("{prefix}{path}");
        let Some(linear) = linears.get(name.as_str()).filter(|linear| linear.experts.is_none()) else {
            return Err(module.corrupt("path", "is no matrix of the model"));
        };
        if !seen.insert(path) {
            return Err(module.corrupt("path", "is there twice"));
        }
        if module.bool("embedding")? != (linear.name == spec.embedding.name) {
            return Err(module.corrupt("embedding", "contradicts the path"));
        }
        if module.string("dtype")? != Some("float16") {
            return Err(module.unsupported("dtype", "is not supported; float16 is"));
        }
        if linear.bias {
            return Err(module.unsupported("path", "has a bias, which is not supported for packed matrices"));
        }
        let block = module.usize("block", 0..=usize::MAX)?;
        if !BLOCKS.contains(&block) || block > 0 && !linear.inputs.is_multiple_of(block) {
            let message = format!("does not fit {} columns; one of {BLOCKS:?} that divides them does", linear.inputs);
            return Err(module.corrupt("block", message));
        }
        if block > 0 {
            rotations.insert(linear.name.clone(), block);
        }
    }
    Ok(rotations)
}
