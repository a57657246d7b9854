//! The model in a GGUF file as its makers publish it: their config.json, and where the file keeps the tensors of the
//! family that reads it.

use std::f64::consts::TAU;

use serde_json::{Value, json};

use super::{IGNORED, NAMES, PLAIN_NORMS, ROPE_FACTORS, Reader, SANDWICH_NORMS, SHORT_FACTORS};
use crate::arch::from_config;
use crate::arch::spec::Spec;
use crate::error::{Error, Result};
use crate::weights::gguf::Gguf;

/// How far a rotary frequency may be off when the scaling behind it has been found.
const FREQUENCY: f32 = 1e-5;

/// See above.
pub(crate) struct Published {
    /// The config.json.
    pub config: Value,
    /// What it amounts to, with the family's own names.
    pub spec: Spec,
    architecture: String,
    head_dim: usize,
}

impl Published {
    /// Reads the metadata of a file.
    ///
    /// # Errors
    /// Those of loading; `Unsupported` for factors of rotary frequencies that no configuration amounts to.
    pub(crate) fn of_gguf(gguf: &Gguf) -> Result<Self> {
        let reader = Reader::new(gguf)?;
        let mut config = reader.config()?;
        let traditional = config["rope_traditional"] == true;
        let head_dim = config["head_dim"].as_u64().unwrap_or(0) as usize;
        let entries = config.as_object_mut().ok_or_else(|| Error::internal("a configuration that is no object"))?;
        entries.remove("rope_traditional");
        if let Some(bos) = gguf.metadata().unsigned("tokenizer.ggml.bos_token_id")? {
            entries.insert("bos_token_id".into(), bos.into());
        }
        if let (Some(scaling), Some(short)) = (entries.get_mut("rope_scaling"), reader.numbers(SHORT_FACTORS)?) {
            scaling["short_factor"] = short.into_iter().map(shortest).collect();
        }
        if let Some(factors) = reader.numbers(ROPE_FACTORS)? {
            let theta = entries.get("rope_theta").and_then(Value::as_f64).unwrap_or(10_000.0);
            let scaling = llama3(theta, &factors).ok_or_else(|| unscaled(gguf))?;
            entries.insert("rope_scaling".into(), scaling);
        }
        let spec = from_config(&config, gguf.label())?;
        let turned = |spec: &Spec| -> Vec<f32> {
            let mut spec = spec.clone();
            let ropes = super::attentions(&mut spec).filter_map(|attention| attention.rope.take());
            ropes.flat_map(|rope| rope.inverse_frequencies.into_iter().chain([rope.magnitude])).collect()
        };
        let (own, stored) = (turned(&spec), turned(&super::spec(gguf)?));
        if own.len() != stored.len() || own.iter().zip(&stored).any(|(a, b)| (a - b).abs() > FREQUENCY * b.abs()) {
            return Err(unscaled(gguf));
        }
        debug_assert!(!traditional || reader.architecture == "llama");
        Ok(Self { config, spec, architecture: reader.architecture.to_owned(), head_dim })
    }

    /// Where the file keeps a tensor of the spec.
    pub(crate) fn stored_name(&self, name: &str) -> String {
        let norms = if matches!(&*self.architecture, "gemma2" | "gemma3") { SANDWICH_NORMS } else { PLAIN_NORMS };
        let renames = NAMES.iter().chain(norms);
        renames.fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
    }

    /// What is to be added to the numbers of a tensor of the spec.
    pub(crate) fn offset(&self, name: &str) -> f32 {
        if self.is_gemma() && name.ends_with("norm.weight") { -1.0 } else { 0.0 }
    }

    /// The width of heads whose rows the file keeps in another order: the two of a pair to rotate beside each other
    /// instead of in the two halves of the head.
    pub(crate) fn interleaved(&self, name: &str) -> Option<usize> {
        let turned = name.contains(".self_attn.q_proj.") || name.contains(".self_attn.k_proj.");
        (self.architecture == "llama" && turned).then_some(self.head_dim)
    }

    /// Whether a tensor of the file is part of the configuration, or of none.
    pub(crate) fn ignores(stored_name: &str) -> bool {
        IGNORED.contains(&stored_name)
    }

    /// Whether it is a Gemma, whose hidden numbers leave the range of f16.
    pub(crate) fn is_gemma(&self) -> bool {
        self.architecture.starts_with("gemma")
    }
}

/// A number of f32 with as few digits as tell it from its neighbours.
pub(super) fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

fn unscaled(gguf: &Gguf) -> Error {
    Error::unsupported(format!("{}: no rope_scaling of config.json amounts to its {ROPE_FACTORS}", gguf.label()))
        .with_hint("the file runs as it is; to convert, take the model that it was made of, as safetensors")
}

/// The `rope_scaling` of Llama 3 that gives these factors of wavelengths. Only its ratios to the original context show
/// in them, so that the usual values are tried first; otherwise `low_freq_factor` is 1.
fn llama3(theta: f64, factors: &[f32]) -> Option<Value> {
    let factor = shortest(factors.iter().copied().fold(1.0, f32::max));
    let scaling = |original: f64, high: f64| {
        json!({"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": high,
            "original_max_position_embeddings": original as u64})
    };
    if factor == 1.0 {
        return Some(json!({"rope_type": "default"}));
    }
    let dims = 2.0 * factors.len() as f64;
    let turns = |pair: usize| theta.powf(-2.0 * pair as f64 / dims) / TAU;
    let expected = |pair: usize, original: f64, high: f64| {
        let smooth = ((original * turns(pair) - 1.0) / (high - 1.0)).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / factor + smooth)
    };
    let fits = |original: f64, high: f64| {
        let off = |(pair, stored): (usize, &f32)| (expected(pair, original, high) / f64::from(*stored) - 1.0).abs();
        factors.iter().enumerate().map(off).fold(0.0, f64::max) < 1e-5
    };
    const HIGH: f64 = 4.0;
    let usual = [13, 12, 14, 15, 11, 10, 9, 8, 7, 6, 16, 17, 18].into_iter().map(|power| f64::from(1u32 << power));
    if let Some(original) = usual.into_iter().find(|original| fits(*original, HIGH)) {
        return Some(scaling(original, HIGH));
    }
    // Between the two ends the share of the plain frequency is a line over the turns of a position.
    let share = |stored: f32| (1.0 / f64::from(stored) - 1.0 / factor) / (1.0 - 1.0 / factor);
    let mut between = (0..factors.len()).map(|pair| (turns(pair), share(factors[pair])));
    let mut between = between.by_ref().filter(|(_, share)| (1e-4..1.0 - 1e-4).contains(share));
    let (first, last) = (between.next()?, between.last()?);
    let slope = (last.1 - first.1) / (last.0 - first.0);
    let high = 1.0 - 1.0 / (first.1 - slope * first.0);
    let high = (high * 100.0).round() / 100.0;
    let original = (slope * (high - 1.0)).round();
    fits(original, high).then(|| scaling(original, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalings_are_found_again() {
        for (theta, pairs, factor, low, high, original) in [
            (500_000.0, 64, 8.0, 1.0, 4.0, 8192.0),
            (500_000.0, 32, 32.0, 1.0, 4.0, 8192.0),
            (10_000.0, 8, 4.0, 1.0, 4.0, 8192.0),
            (500_000.0, 64, 8.0, 2.0, 8.0, 6000.0),
            (500_000.0, 128, 16.0, 1.0, 1.5, 10_000.0),
        ] {
            let factors: Vec<f32> = (0..pairs)
                .map(|pair| {
                    let wavelength = TAU * f64::powf(theta, f64::from(pair) / f64::from(pairs));
                    let smooth: f64 = ((original / wavelength - low) / (high - low)).clamp(0.0, 1.0);
                    (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
                })
                .collect();
            let found = llama3(theta, &factors).unwrap();
            assert_eq!(found["factor"], factor);
            assert_eq!(found["high_freq_factor"], high / low, "{found}");
            assert_eq!(found["original_max_position_embeddings"], (original / low) as u64, "{found}");
        }
        assert_eq!(llama3(10_000.0, &[1.0; 4]).unwrap()["rope_type"], "default");
        assert!(llama3(10_000.0, &[1.0, 7.0, 2.0, 3.0, 8.0, 5.0]).is_none());
    }
}
