//! Which device an engine computes on, and what this machine has.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use serde_json::{Value, json};

use super::options::{Device, EngineOptions};
use crate::arch::Activations;
#[cfg(feature = "mlx")]
use crate::arch::Recording;
use crate::arch::spec::Spec;
use crate::backend::cpu::{self, Pool};
use crate::backend::{CacheLayout, KvBits, Precision};
use crate::error::{Error, Result};
use crate::weights::{self, Tensors};

/// The most threads of the CPU backend.
const MAX_THREADS: usize = 256;

/// A device that was found to be there.
#[derive(Clone)]
pub(crate) enum Compute {
    /// The CPU backend.
    Cpu(Arc<Threads>),
    /// MLX.
    #[cfg(feature = "mlx")]
    Mlx(crate::backend::mlx::MlxDevice),
}

/// How numbers are computed and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub precision: Precision,
    /// Bytes of a number in MLX's activations, and in its caches that are not quantized.
    pub float_bytes: usize,
}

impl Default for Numbers {
    /// Those of most checkpoints.
    fn default() -> Self {
        Self { precision: Precision::Default, float_bytes: 2 }
    }
}

/// The CPU backend's threads, started with the first model.
pub(crate) struct Threads {
    count: usize,
    pool: OnceCell<Arc<Pool>>,
}

impl Threads {
    /// The threads.
    pub fn pool(&self) -> Result<Arc<Pool>> {
        self.pool.get_or_try_init(|| Pool::new(self.count)).cloned()
    }
}

impl Compute {
    /// Finds the device that the options ask for.
    ///
    /// # Errors
    /// `Unsupported` when it is not there, naming what is.
    pub fn choose(options: &EngineOptions) -> Result<Self> {
        let threads = options.threads.unwrap_or_else(processors);
        if threads == 0 || threads > MAX_THREADS {
            return Err(Error::invalid(format!("threads is {threads}; it must be 1 to {MAX_THREADS}")));
        }
        let cpu = || Self::Cpu(Arc::new(Threads { count: threads, pool: OnceCell::new() }));
        match options.device {
            Device::Cpu => Ok(cpu()),
            Device::Auto => Ok(Self::mlx_gpu().unwrap_or_else(|_| cpu())),
            Device::MlxGpu => Self::mlx_gpu(),
            Device::MlxCpu => Self::mlx_cpu(),
        }
    }

    #[cfg(feature = "mlx")]
    fn mlx_gpu() -> Result<Self> {
        use crate::backend::mlx::MlxDevice;
        if MlxDevice::gpu_available() {
            return Ok(Self::Mlx(MlxDevice::Gpu));
        }
        Err(Error::unsupported("device mlx-gpu: MLX finds no GPU on this machine")
            .with_hint("use --device cpu; on Linux, MLX needs an NVIDIA GPU and its CUDA build of libmlx"))
    }

    #[cfg(feature = "mlx")]
    fn mlx_cpu() -> Result<Self> {
        Ok(Self::Mlx(crate::backend::mlx::MlxDevice::Cpu))
    }

    #[cfg(not(feature = "mlx"))]
    fn mlx_gpu() -> Result<Self> {
        Err(without_mlx(Device::MlxGpu))
    }

    #[cfg(not(feature = "mlx"))]
    fn mlx_cpu() -> Result<Self> {
        Err(without_mlx(Device::MlxCpu))
    }

    /// The device's name.
    pub fn device(&self) -> Device {
        match self {
            Self::Cpu(_) => Device::Cpu,
            #[cfg(feature = "mlx")]
            Self::Mlx(crate::backend::mlx::MlxDevice::Gpu) => Device::MlxGpu,
            #[cfg(feature = "mlx")]
            Self::Mlx(crate::backend::mlx::MlxDevice::Cpu) => Device::MlxCpu,
        }
    }

    /// The precision to compute a checkpoint in. On the CPU backend, one that is stored in f32 loses nothing: default
    /// precision is no lower than what the checkpoint has, as on MLX. There, activations are as wide as the scales of the
    /// embedding table: f16 for blocks of GGUF, which is too little for models that scale their embeddings up (Gemma).
    pub fn precision(&self, asked: Precision, spec: &Spec, tensors: &Tensors) -> Precision {
        let table = format!("{}.weight", spec.embedding.name);
        let narrow = spec.embedding_scale > 1.0 && tensors.blocks(&table).is_some();
        match self {
            Self::Cpu(_) if tensors.is_f32() => Precision::Exact,
            other if narrow && !matches!(other, Self::Cpu(_)) => Precision::Exact,
            _ => asked,
        }
    }

    /// How numbers of a checkpoint are computed and kept.
    pub fn numbers(&self, asked: Precision, spec: &Spec, tensors: &Tensors) -> Numbers {
        let precision = self.precision(asked, spec, tensors);
        let exact = precision == Precision::Exact;
        let float_bytes = if exact { size_of::<f32>() } else { tensors.row_bytes(&spec.embedding.name) };
        Numbers { precision, float_bytes }
    }

    /// Which activations are in memory at a time.
    #[cfg_attr(not(feature = "mlx"), allow(unused_variables))]
    pub fn activations(&self, numbers: Numbers, kv: Option<KvBits>) -> Activations {
        match self {
            Self::Cpu(_) => Activations::ByOperation,
            #[cfg(feature = "mlx")]
            Self::Mlx(_) => {
                let keeps_scores = kv.is_some_and(|bits| bits != KvBits::Sixteen);
                Activations::ByLayer(Recording { float_bytes: numbers.float_bytes as u64, keeps_scores })
            }
        }
    }

    /// Bytes of a model's weights as the device holds them.
    pub fn weight_bytes(&self, spec: &Spec, tensors: &Tensors) -> u64 {
        match self {
            Self::Cpu(_) => weights::loaded_bytes(spec, tensors, cpu::transcoded_bits),
            #[cfg(feature = "mlx")]
            Self::Mlx(_) => weights::loaded_bytes(spec, tensors, |_| None),
        }
    }

    /// What the cache of a layer holds.
    #[cfg_attr(not(feature = "mlx"), allow(unused_variables))]
    pub fn kv_bits(&self, precision: Precision, asked: Option<KvBits>, layout: CacheLayout) -> KvBits {
        match self {
            Self::Cpu(_) => cpu::kv_bits(precision, asked),
            #[cfg(feature = "mlx")]
            Self::Mlx(_) => crate::backend::mlx::kv_bits(asked, &layout),
        }
    }

    /// Bytes that the cache of a layer takes.
    #[cfg_attr(not(feature = "mlx"), allow(unused_variables))]
    pub fn cache_bytes(&self, numbers: Numbers, kv: Option<KvBits>, layout: CacheLayout, positions: usize) -> u64 {
        match self {
            Self::Cpu(_) => cpu::cache_bytes(numbers.precision, kv, &layout, positions),
            #[cfg(feature = "mlx")]
            Self::Mlx(_) => crate::backend::mlx::cache_bytes(kv, layout, positions, numbers.float_bytes),
        }
    }

    /// Threads of the CPU backend.
    pub fn threads(&self) -> Option<usize> {
        match self {
            Self::Cpu(threads) => Some(threads.count),
            #[cfg(feature = "mlx")]
            Self::Mlx(_) => None,
        }
    }
}

#[cfg(not(feature = "mlx"))]
fn without_mlx(device: Device) -> Error {
    Error::unsupported(format!("device {}: this build has no MLX", device.name()))
        .with_hint("build with --features mlx (on Linux after `cargo xtask mlx`), or use --device cpu")
}

/// Processors that this process may use.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What this machine and build can do, as JSON: version, devices, processors, memory.
pub fn system_info() -> Value {
    let available = |device: Device| {
        let options = EngineOptions { device, ..EngineOptions::default() };
        match Compute::choose(&options) {
            Ok(_) => json!({ "name": device.name(), "available": true, "detail": "" }),
            Err(error) => {
                json!({ "name": device.name(), "available": false, "detail": error.message(), "hint": error.hint() })
            }
        }
    };
    let devices = [Device::Cpu, Device::MlxGpu, Device::MlxCpu].map(available);
    json!({
        "version": crate::VERSION,
        "devices": devices,
        "processors": processors(),
        "simd": crate::backend::cpu::simd_level(),
        "memory_bytes": super::memory::total(),
        "available_memory_bytes": super::memory::available(),
    })
}
