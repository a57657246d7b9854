//! Whether a model fits this device, and how fast it would be.

use serde::{Deserialize, Serialize};

use crate::arch;
use crate::arch::spec::Spec;
use crate::backend::KvBits;
use crate::engine::{Capacity, Numbers};
use crate::error::Result;
use crate::object;

/// The context when none is asked for.
const DEFAULT_CONTEXT: usize = 4096;

/// What a model must fit into.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitOptions {
    /// The most bytes that a model may take. Default: what engines allow by default on this machine.
    pub memory_bytes: Option<u64>,
    /// The context that must fit, in tokens. Default: 4,096, or the model's own if that is shorter.
    pub context_length: Option<usize>,
    /// As [`LoadOptions::kv_bits`](crate::LoadOptions::kv_bits).
    pub kv_bits: Option<KvBits>,
}
object::from_json!(FitOptions: "fit");

/// What a model takes on this device, and what there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// Whether it fits.
    pub fits: bool,
    /// What would compute: `cpu` or `mlx-gpu`.
    pub device: &'static str,
    /// The context that was reckoned with, in tokens.
    pub context_length: usize,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes of keys, values and states of one sequence that fills the context.
    pub cache_bytes: u64,
    /// Bytes of a step's activations.
    pub work_bytes: u64,
    /// All of these.
    pub needed_bytes: u64,
    /// Bytes that a model may take here.
    pub memory_bytes: u64,
    /// Bytes that are missing; 0 when it fits.
    pub missing_bytes: u64,
    /// The longest context that fits, in tokens; 0 when none does.
    pub longest_context: usize,
    /// Tokens a second that one sequence may expect with a full context, from the measured speed of the memory; `None`
    /// where that is not measured.
    pub tokens_per_second: Option<f64>,
    /// All this in words.
    pub reason: String,
}

/// This device and what is asked of it.
pub(super) struct Device {
    capacity: Capacity,
    context: Option<usize>,
}

impl Device {
    /// # Errors
    /// Those of choosing a device.
    pub fn here(options: &FitOptions) -> Result<Self> {
        if options.context_length == Some(0) || options.memory_bytes == Some(0) {
            return Err(crate::error::Error::invalid("memory_bytes or context_length is 0")
                .with_hint("leave it out for the default"));
        }
        Ok(Self {
            capacity: Capacity::here(options.memory_bytes, options.kv_bits, true)?,
            context: options.context_length,
        })
    }

    /// Reckons with `weight_bytes` where a hub told them, else with what shapes tell.
    pub fn fit(&self, spec: &Spec, weight_bytes: Option<u64>) -> Fit {
        let shapes = arch::weights(spec);
        let weight_bytes = weight_bytes.unwrap_or(shapes.bytes);
        let limit = spec.context_length;
        let context = self.context.unwrap_or(DEFAULT_CONTEXT.min(limit));
        let memory = self.capacity.memory(spec, context, Numbers::default());
        let needed = weight_bytes.saturating_add(memory.kv).saturating_add(memory.work);
        let room = self.capacity.memory_bytes;
        let fits = needed <= room && context <= limit;
        let read = shapes.read.saturating_add(memory.kv);
        let mut fit = Fit {
            fits,
            device: self.capacity.device().name(),
            context_length: context,
            weight_bytes,
            cache_bytes: memory.kv,
            work_bytes: memory.work,
            needed_bytes: needed,
            memory_bytes: room,
            missing_bytes: needed.saturating_sub(room),
            longest_context: self.longest(spec, weight_bytes, limit),
            tokens_per_second: self.capacity.tokens_per_second(read),
            reason: String::new(),
        };
        fit.reason = fit.words(limit);
        fit
    }

    /// The longest context that fits beside the weights.
    fn longest(&self, spec: &Spec, weight_bytes: u64, limit: usize) -> usize {
        let fits = |context: usize| {
            let memory = self.capacity.memory(spec, context, Numbers::default());
            weight_bytes.saturating_add(memory.kv).saturating_add(memory.work) <= self.capacity.memory_bytes
        };
        let (mut fitting, mut beyond) = (0, limit.saturating_add(1));
        while beyond - fitting > 1 {
            let middle = fitting + (beyond - fitting) / 2;
            if fits(middle) { fitting = middle } else { beyond = middle }
        }
        fitting
    }
}

impl Fit {
    fn words(&self, limit: usize) -> String {
        let context = self.context_length;
        let needs = format!(
            "needs {} ({} of weights, {} for {context} tokens)",
            size(self.needed_bytes),
            size(self.weight_bytes),
            size(self.cache_bytes + self.work_bytes)
        );
        if context > limit {
            return format!("its context ends at {limit} tokens, {context} were asked for");
        }
        if !self.fits {
            let rather = match self.longest_context {
                0 => "no context fits".to_owned(),
                longest => format!("a context of {longest} tokens fits"),
            };
            let (missing, room) = (size(self.missing_bytes), size(self.memory_bytes));
            return format!("{needs}, {missing} more than the {room} here; {rather}");
        }
        let speed = match self.tokens_per_second {
            Some(speed) if speed >= 10.0 => format!("; about {speed:.0} tokens/s"),
            Some(speed) => format!("; about {speed:.1} tokens/s"),
            None => String::new(),
        };
        format!("{needs} of {}{speed}", size(self.memory_bytes))
    }
}

/// A size in the units of data sheets.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes.div_ceil(1_000_000)),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A device with so much memory that reads so fast.
    pub fn device(memory_bytes: u64, read_bytes_per_second: f64, context: Option<usize>) -> Device {
        let mut capacity = Capacity::here(Some(memory_bytes), None, false).unwrap();
        capacity.read_bytes_per_second = Some(read_bytes_per_second);
        Device { capacity, context }
    }

    fn spec() -> Spec {
        let config = json!({
            "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
            "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 40960, "tie_word_embeddings": true,
            "quantization": {"bits": 4, "group_size": 64},
        });
        arch::from_config(&config, "config.json").unwrap()
    }

    #[test]
    fn what_fits_is_told_with_its_speed() {
        let fit = device(8_000_000_000, 20e9, None).fit(&spec(), None);
        // 335 MB were measured of this model as mlx_lm.convert writes it.
        assert!((334_000_000..337_000_000).contains(&fit.weight_bytes), "{fit:?}");
        assert!(fit.fits && fit.missing_bytes == 0 && fit.longest_context == 40_960, "{fit:?}");
        assert_eq!(fit.needed_bytes, fit.weight_bytes + fit.cache_bytes + fit.work_bytes);
        let speed = 20e9 * 0.85 / (fit.weight_bytes + fit.cache_bytes) as f64;
        assert!((fit.tokens_per_second.unwrap() - speed).abs() < 1.0, "{fit:?}");
        assert!(fit.reason.contains("tokens/s"), "{}", fit.reason);
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_is_missing() {
        let fit = device(300_000_000, 20e9, None).fit(&spec(), None);
        assert!(!fit.fits && fit.longest_context == 0, "{fit:?}");
        assert_eq!(fit.missing_bytes, fit.needed_bytes - 300_000_000);
        assert!(fit.reason.contains("more than the 300 MB here; no context fits"), "{}", fit.reason);
        // Weights fit, a long context does not.
        let fit = device(600_000_000, 20e9, Some(40_960)).fit(&spec(), None);
        assert!(!fit.fits && fit.longest_context > 0 && fit.longest_context < 40_960, "{fit:?}");
        assert!(device(600_000_000, 20e9, Some(fit.longest_context)).fit(&spec(), None).fits);
        assert!(!device(600_000_000, 20e9, Some(fit.longest_context + 64)).fit(&spec(), None).fits);
        let fit = device(1 << 40, 20e9, Some(1 << 20)).fit(&spec(), None);
        assert!(!fit.fits && fit.reason.contains("ends at 40960"), "{}", fit.reason);
    }
}
