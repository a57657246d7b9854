//! How quantized tensors are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};

/// How quantized tensors are stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quantization {
    /// For all layers that `overrides` doesn't name.
    pub default: Option<QuantizationFormat>,
    /// By tensor name without `.weight`; `None` means stored dense.
    pub overrides: BTreeMap<String, Option<QuantizationFormat>>,
    /// By the same names, the block of the Hadamard rotation that is folded into a matrix, whose signs are the tensor
    /// `name.signs`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rotations: BTreeMap<String, usize>,
    /// By the same names, the stacks of experts whose nvfp4 numbers have a further factor for each expert, which is
    /// `name.global_scale` (`[experts]`) divided by the largest number that codes and scales have. A checkpoint may have
    /// such tensors without saying so.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub global_scales: BTreeSet<String>,
}

/// How codes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuantizationFormat {
    /// Bits a code.
    pub bits: usize,
    /// Codes that share a scale.
    pub group_size: usize,
    /// What codes mean.
    pub mode: QuantizationMode,
}

/// What codes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantizationMode {
    /// `weight = code * scale + bias` over groups along a row (MLX's own format).
    Affine,
    /// FP4 (E2M1) numbers; groups of 32 share a power of two (OCP microscaling formats 1.0).
    Mxfp4,
    /// FP8 (E4M3) numbers; groups of 32 share a power of two (OCP microscaling formats 1.0).
    Mxfp8,
    /// FP4 (E2M1) numbers; groups of 16 share an FP8 (E4M3) factor (NVIDIA).
    Nvfp4,
}

impl QuantizationMode {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Mxfp4 => "mxfp4",
            Self::Mxfp8 => "mxfp8",
            Self::Nvfp4 => "nvfp4",
        }
    }
}

impl FromStr for QuantizationMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Affine, Self::Mxfp4, Self::Mxfp8, Self::Nvfp4];
        all.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            Error::invalid(format!("{name:?} is not a mode of quantization"))
                .with_hint("there are affine, mxfp4, mxfp8 and nvfp4")
        })
    }
}

impl QuantizationFormat {
    /// The formats that exist, for messages.
    pub(crate) const KNOWN: &str = "2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128 (affine), mxfp4 and mxfp8 in groups of 32, nvfp4 in groups of 16";

    /// Affine codes.
    pub const fn affine(bits: usize, group_size: usize) -> Self {
        Self { bits, group_size, mode: QuantizationMode::Affine }
    }

    /// What MLX takes where nothing else is said.
    pub(crate) const fn usual(mode: QuantizationMode) -> Self {
        let (bits, group_size) = match mode {
            QuantizationMode::Affine => (4, 64),
            QuantizationMode::Mxfp4 => (4, 32),
            QuantizationMode::Mxfp8 => (8, 32),
            QuantizationMode::Nvfp4 => (4, 16),
        };
        Self { bits, group_size, mode }
    }

    /// Whether there are codes of this width in groups of this size.
    pub(crate) fn is_known(&self) -> bool {
        match self.mode {
            QuantizationMode::Affine => {
                matches!(self.bits, 2 | 3 | 4 | 5 | 6 | 8) && matches!(self.group_size, 32 | 64 | 128)
            }
            QuantizationMode::Mxfp4 => (self.bits, self.group_size) == (4, 32),
            QuantizationMode::Mxfp8 => (self.bits, self.group_size) == (8, 32),
            QuantizationMode::Nvfp4 => (self.bits, self.group_size) == (4, 16),
        }
    }
}

impl Quantization {
    /// The format of a tensor (name without `.weight`), if it may be quantized at all.
    pub fn format(&self, name: &str) -> Option<QuantizationFormat> {
        self.overrides.get(name).copied().unwrap_or(self.default)
    }
}
