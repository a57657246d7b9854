//! What this device has room for, and how fast it would be.

use once_cell::sync::OnceCell;
use serde_json::Value;

use super::device::{Compute, Numbers};
use super::options::{Device, EngineOptions};
use crate::arch;
use crate::arch::spec::Spec;
use crate::backend::cpu::Cpu;
use crate::backend::{CacheLayout, KvBits, Precision};
use crate::error::Result;
use crate::weights::Tensors;

/// The share of the memory's speed that decoding reaches; benches/README.md has what was measured.
const EFFICIENCY: f64 = 0.85;

/// The device that engines choose by default.
pub(crate) struct Capacity {
    compute: Compute,
    kv_bits: Option<KvBits>,
    /// Bytes that models may take.
    pub memory_bytes: u64,
    /// How fast the device reads memory, where that can be measured.
    pub read_bytes_per_second: Option<f64>,
}

impl Capacity {
    /// This device, with an engine's default limit where `memory_bytes` names none, and caches of `kv_bits`. `measure` the memory's speed, which
    /// takes about a third of a second once a process.
    ///
    /// # Errors
    /// Those of choosing a device.
    pub fn here(memory_bytes: Option<u64>, kv_bits: Option<KvBits>, measure: bool) -> Result<Self> {
        let compute = Compute::choose(&EngineOptions::default())?;
        let memory_bytes = memory_bytes.unwrap_or_else(super::memory::default_limit);
        let read_bytes_per_second = if measure { speed(&compute) } else { None };
        Ok(Self { compute, kv_bits, memory_bytes, read_bytes_per_second })
    }

    /// What computes.
    pub fn device(&self) -> Device {
        self.compute.device()
    }

    /// How numbers of a checkpoint are computed and kept.
    pub fn numbers(&self, spec: &Spec, tensors: &Tensors) -> Numbers {
        self.compute.numbers(Precision::Default, spec, tensors)
    }

    /// What one sequence of a model takes beside the weights.
    pub fn memory(&self, spec: &Spec, context: usize, numbers: Numbers) -> arch::Memory {
        let activations = self.compute.activations(numbers, self.kv_bits);
        arch::memory(spec, context, activations, |kept| {
            let layout = CacheLayout { kv_heads: kept.heads, head_dim: kept.head_dim, window: None, index: kept.index };
            self.compute.cache_bytes(numbers, self.kv_bits, layout, kept.positions)
        })
    }

    /// Bytes of a model's weights as the device holds them.
    pub fn weight_bytes(&self, spec: &Spec, tensors: &Tensors) -> u64 {
        self.compute.weight_bytes(spec, tensors)
    }

    /// What the caches of its layers hold, as JSON.
    pub fn kv_cache(&self, spec: &Spec, precision: Precision) -> Value {
        super::kv::describe(&self.compute, spec, precision, self.kv_bits)
    }

    /// Tokens a second of one sequence whose every token reads so many bytes.
    pub fn tokens_per_second(&self, bytes: u64) -> Option<f64> {
        Some(self.read_bytes_per_second? * EFFICIENCY / bytes.max(1) as f64)
    }
}

/// Measured for the CPU backend alone: a GPU's memory is not what processors see of it.
fn speed(compute: &Compute) -> Option<f64> {
    static SPEED: OnceCell<Option<f64>> = OnceCell::new();
    match compute {
        Compute::Cpu(threads) => *SPEED.get_or_init(|| {
            let measured =
                threads.pool().and_then(|pool| Cpu::new(pool, Precision::Default, None)?.read_bytes_per_second());
            measured.inspect_err(|error| tracing::debug!(%error, "the memory's speed could not be measured")).ok()
        }),
        #[cfg(feature = "mlx")]
        Compute::Mlx(_) => None,
    }
}
