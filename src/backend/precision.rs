//! How exactly a model computes and keeps keys and values.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// In what precision a model computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The backend's fast choice: the checkpoint's dtype on MLX; on the CPU backend products and caches of 8-bit
    /// integers, or f32 where the checkpoint is stored in f32.
    #[default]
    Default,
    /// f32 activations everywhere, for parity checks.
    Exact,
}

/// Bits of a number in caches of keys and values. As JSON a number: 4, 8 or 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum KvBits {
    /// Codes of 4 bits, with scales and biases 5 bits a number (on MLX 4.5 where heads are a multiple of 64 wide).
    Four,
    /// 8 bits, with scales about 8.4 (on MLX 8.5).
    Eight,
    /// Not quantized: numbers as the backend computes with them, which is f32 on the CPU backend and the checkpoint's
    /// dtype on MLX.
    Sixteen,
}

impl TryFrom<u64> for KvBits {
    type Error = Error;

    fn try_from(bits: u64) -> Result<Self> {
        match bits {
            4 => Ok(Self::Four),
            8 => Ok(Self::Eight),
            16 => Ok(Self::Sixteen),
            _ => Err(Error::invalid(format!("kv_bits is {bits}")).with_hint("one of 4, 8, 16")),
        }
    }
}

impl From<KvBits> for u64 {
    fn from(bits: KvBits) -> Self {
        match bits {
            KvBits::Four => 4,
            KvBits::Eight => 8,
            KvBits::Sixteen => 16,
        }
    }
}
