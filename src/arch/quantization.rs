//! The `quantization` of a configuration, in the style of MLX.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::config::Config;
use super::spec::{Quantization, QuantizationFormat, QuantizationMode};
use crate::error::Result;

/// How quantized tensors are stored, if any are.
///
/// MLX writes `{"group_size": 64, "bits": 4, "mode": "affine"}` with per-layer formats, `true` or `false` beside these,
/// under `quantization` and again under `quantization_config`. Other tools use the second key for formats of their own.
pub(super) fn quantization(config: &Config) -> Result<Option<Quantization>> {
    if let Some(quantization) = config.object("quantization")? {
        return read(&quantization).map(Some);
    }
    let Some(quantization) = config.object("quantization_config")? else { return Ok(None) };
    if quantization.get("quant_method").is_some() {
        return Err(quantization
            .unsupported("quant_method", "is not supported; MLX's quantization is")
            .with_hint("convert the unquantized model with `pocketmlx convert`, or look for an MLX version of it"));
    }
    read(&quantization).map(Some)
}

fn read(quantization: &Config) -> Result<Quantization> {
    let default = format(quantization, true)?;
    let (mut overrides, mut global_scales) = (BTreeMap::new(), BTreeSet::new());
    const GLOBAL: &str = "global_scale";
    if quantization.bool_or(GLOBAL, false)? {
        return Err(
            quantization.unsupported(GLOBAL, "is not supported for all matrices; for single ones of experts it is")
        );
    }
    for (name, value) in quantization.entries() {
        let format = match value {
            _ if matches!(name, "group_size" | "bits" | "mode" | GLOBAL) => continue,
            Value::Bool(true) => Some(default),
            Value::Bool(false) => None,
            Value::Object(_) => match quantization.object(name)? {
                Some(layer) => {
                    let format = format(&layer, false)?;
                    if layer.bool_or(GLOBAL, false)? {
                        if format.mode != QuantizationMode::Nvfp4 {
                            return Err(layer.unsupported(GLOBAL, "is not supported with this mode; with nvfp4 it is"));
                        }
                        global_scales.insert(name.to_string());
                    }
                    Some(format)
                }
                None => continue,
            },
            Value::Null => continue,
            _ => return Err(quantization.unsupported(name, "is not known")),
        };
        overrides.insert(name.to_string(), format);
    }
    Ok(Quantization { default: Some(default), overrides, rotations: BTreeMap::new(), global_scales })
}

/// What a configuration says of all matrices, or of one, where it may say less: MLX then takes its usual numbers.
fn format(config: &Config, of_all: bool) -> Result<QuantizationFormat> {
    let mode = match config.string("mode")? {
        None | Some("affine") => QuantizationMode::Affine,
        Some("mxfp4") => QuantizationMode::Mxfp4,
        Some("mxfp8") => QuantizationMode::Mxfp8,
        Some("nvfp4") => QuantizationMode::Nvfp4,
        Some(_) => return Err(config.unsupported("mode", "is not supported; affine, mxfp4, mxfp8 and nvfp4 are")),
    };
    // Far enough to say below what exists.
    let usual = QuantizationFormat::usual(mode);
    let number = |key, usual| match of_all {
        true => config.usize(key, 0..=usize::MAX),
        false => config.usize_or(key, usual, 0..=usize::MAX),
    };
    let (bits, group_size) = (number("bits", usual.bits)?, number("group_size", usual.group_size)?);
    let format = QuantizationFormat { bits, group_size, mode };
    if !format.is_known() {
        let others = [4, 8].map(|bits| QuantizationFormat { bits, ..format });
        let group_fits = others.iter().any(QuantizationFormat::is_known);
        let key = if group_fits { "bits" } else { "group_size" };
        return Err(config.corrupt(key, format_args!("is not one of {}", QuantizationFormat::KNOWN)));
    }
    Ok(format)
}
