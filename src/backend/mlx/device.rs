//! Which of MLX's devices computes.

use std::cell::Cell;

use mlx_rs::{Device, memory};

use super::error::{self, Result};
use super::raw;
use crate::error::Error;

/// One of MLX's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MlxDevice {
    /// Metal on Apple, CUDA on Linux.
    Gpu,
    /// The processor.
    Cpu,
}

/// Freed memory that MLX may keep for later. Its own default is one and a half times what the GPU should use at most.
const CACHE_LIMIT: usize = if cfg!(target_os = "ios") { 128 << 20 } else { 1 << 30 };

thread_local! {
    static CURRENT: Cell<Option<MlxDevice>> = const { Cell::new(None) };
}

impl MlxDevice {
    /// Whether the loaded libmlx has a GPU to run on. On Linux that takes its CUDA build and an NVIDIA GPU.
    pub fn gpu_available() -> bool {
        error::install();
        raw::gpu_available().unwrap_or(false)
    }

    /// Prepares MLX to compute on this device.
    pub(super) fn start(self) -> Result<()> {
        error::install();
        if self == Self::Gpu && !raw::gpu_available()? {
            let hint = if cfg!(target_os = "linux") {
                "put the libmlx.so of MLX's CUDA build and its NVIDIA libraries on LD_LIBRARY_PATH, or use the device cpu"
            } else {
                "use the device cpu"
            };
            return Err(Error::unsupported("MLX has no GPU to run on").with_hint(hint).into());
        }
        if self == Self::Cpu {
            // It would run a C++ compiler and load what that made.
            mlx_rs::transforms::compile::disable_compile();
        }
        memory::set_cache_limit(CACHE_LIMIT)?;
        self.activate();
        Ok(())
    }

    /// Makes this device the one that the thread's next operations run on.
    pub(super) fn activate(self) {
        if CURRENT.get() != Some(self) {
            Device::set_default(&match self {
                Self::Gpu => Device::gpu(),
                Self::Cpu => Device::cpu(),
            });
            CURRENT.set(Some(self));
        }
    }
}
