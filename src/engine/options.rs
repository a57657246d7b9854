//! What a host may set on engines, models and sessions. As JSON, unknown keys are refused by name.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backend::{KvBits, Precision};
use crate::error::{Error, Result};
use crate::object;
use crate::request::{Message, Request};

/// What computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// MLX's GPU if there is one, else the CPU backend.
    #[default]
    Auto,
    /// MLX on the GPU: Metal on Apple, CUDA on Linux.
    MlxGpu,
    /// MLX on the processor: slow, for parity checks.
    MlxCpu,
    /// The CPU backend.
    Cpu,
}

impl Device {
    /// The name used in options and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::MlxGpu => "mlx-gpu",
            Self::MlxCpu => "mlx-cpu",
            Self::Cpu => "cpu",
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Auto, Self::MlxGpu, Self::MlxCpu, Self::Cpu]
            .into_iter()
            .find(|device| device.name() == name)
            .ok_or_else(|| Error::invalid(format!("device {name:?}")).with_hint("one of auto, mlx-gpu, mlx-cpu, cpu"))
    }
}

/// Options of an engine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineOptions {
    /// What computes.
    pub device: Device,
    /// The most bytes that weights, caches and work buffers of the engine's models may take.
    /// Default: four fifths of the machine's memory.
    pub memory_limit_bytes: Option<u64>,
    /// Threads of the CPU backend, 1 to 256. Default: one for each processor that the process may use.
    pub threads: Option<usize>,
    /// A model that was idle this long gives its weights back; the next request loads them again. Default: never.
    pub idle_unload_seconds: Option<u64>,
    /// The most bytes that states kept for later prompts may take, within the memory limit; 0 keeps none.
    /// Default: what the memory limit leaves.
    pub prefix_cache_bytes: Option<u64>,
}

/// Options of loading a model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// In what precision to compute.
    pub precision: Precision,
    /// Bits of a number in the caches of keys and values. Default: 8 on the CPU backend, or what the precision is where
    /// that is exact or the checkpoint is stored in f32; not quantized on MLX. States of recurrent layers are never
    /// quantized; [`Model::info`](crate::Model::info) says under `kv_cache` what the caches of a model hold.
    pub kv_bits: Option<KvBits>,
    /// The longest sequence to allow, prompt and answer. Default: what the model was trained for.
    pub context_length: Option<usize>,
    /// Measure each operation by itself: [`Model::info`](crate::Model::info) gives time and bytes read, in all since
    /// the load, under `state.activity.profile`. Generation is slower on devices that compute behind the host's back.
    pub profile: bool,
}

/// Options of [`probe`](crate::probe).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeOptions {
    /// The context to estimate memory for. Default: 4,096 or the model's own if that is shorter.
    pub context_length: Option<usize>,
    /// As [`LoadOptions::kv_bits`].
    pub kv_bits: Option<KvBits>,
}

/// Options of a session.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionOptions {
    /// The system message.
    pub instructions: Option<String>,
    /// Messages to start from, after the system message.
    #[serde(deserialize_with = "object::list")]
    pub transcript: Vec<Message>,
    /// Tools offered in every request that names none.
    pub tools: Option<Vec<Value>>,
    /// Taken where a request leaves a field out.
    #[serde(deserialize_with = "object::one")]
    pub defaults: Request,
}

object::from_json!(EngineOptions: "engine", LoadOptions: "load", ProbeOptions: "probe", SessionOptions: "session");
