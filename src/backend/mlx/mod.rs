//! MLX through `mlx-rs`: Metal on Apple, CUDA on Linux, and MLX's own CPU device for parity.
//!
//! Operations only build a graph; [`Mlx::queue`] hands it to the device and the reads wait for it. All arrays belong
//! to the thread that made them: a backend and what it gave out stay on the worker thread.

use std::rc::Rc;

use mlx_rs::{Array, Dtype, fast, memory, ops, transforms};

use super::{AttentionParams, Backend, CacheLayout, Ids, MemoryUse, Precision, Rows};
use crate::arch::spec::{self, Activation};
use crate::error::{Error, Result};
use crate::weights::{LinearData, TensorView};

mod attention;
mod cache;
mod device;
#[allow(unsafe_code)]
mod error;
mod linear;
#[allow(unsafe_code)]
mod raw;
#[cfg(test)]
mod tests;

use attention::Rope;
use cache::KvCache;
pub(crate) use device::MlxDevice;
use linear::{Linear, cast};

/// MLX on one of its devices, for one model.
pub(crate) struct Mlx {
    device: MlxDevice,
    /// f32 activations, whatever the checkpoint has.
    exact: bool,
}

/// A lazy array that is cheap to clone; mlx-rs's own clone may panic.
#[derive(Clone)]
pub(crate) struct Tensor(Rc<Array>);

/// Ids that [`Backend::argmax`] picked, one a row.
#[derive(Clone)]
pub(crate) struct Tokens(Rc<Array>);

/// A root-mean-square norm.
pub(crate) struct Norm {
    weight: Array,
    epsilon: f32,
}

impl Mlx {
    /// Prepares MLX on the calling thread, where the backend has to stay.
    ///
    /// # Errors
    /// `Unsupported` when MLX has no such device.
    pub fn new(device: MlxDevice, precision: Precision) -> Result<Self> {
        device.start()?;
        Ok(Self { device, exact: precision == Precision::Exact })
    }
}

impl From<Array> for Tensor {
    fn from(array: Array) -> Self {
        Self(Rc::new(array))
    }
}

impl Norm {
    /// Normalises the last dimension; the result has the dtype of `x`.
    fn apply(&self, x: &Array) -> Result<Array> {
        cast(fast::rms_norm(x, Some(&self.weight), self.epsilon)?, x.dtype())
    }
}

impl Backend for Mlx {
    type Tensor = Tensor;
    type Linear = Linear;
    type Norm = Norm;
    type Rope = Rope;
    type Cache = KvCache;
    type Tokens = Tokens;

    fn load_linear(&self, parts: &[LinearData]) -> Result<Linear> {
        self.device.activate();
        Linear::load(parts, self.exact)
    }

    fn load_norm(&self, weight: &TensorView, epsilon: f32) -> Result<Norm> {
        self.device.activate();
        let weight = raw::from_view(weight)?;
        let weight = if self.exact { cast(weight, Dtype::Float32)? } else { weight };
        weight.eval()?;
        Ok(Norm { weight, epsilon })
    }

    fn load_rope(&self, rope: &spec::Rope) -> Result<Rope> {
        self.device.activate();
        Rope::load(rope)
    }

    fn new_cache(&self, layout: CacheLayout) -> KvCache {
        KvCache::new(layout)
    }

    fn embed(&self, table: &Linear, ids: Ids<'_, Self>) -> Result<Tensor> {
        self.device.activate();
        match ids {
            Ids::Host(ids) => Ok(table.rows(&Array::from_slice(ids, &[raw::dim(ids.len())?]))?.into()),
            Ids::Device(tokens) => Ok(table.rows(&tokens.0)?.into()),
        }
    }

    fn norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        self.device.activate();
        Ok(norm.apply(&x.0)?.into())
    }

    fn linear(&self, x: &Tensor, linear: &Linear) -> Result<Tensor> {
        self.device.activate();
        Ok(linear.apply(&x.0)?.into())
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.device.activate();
        Ok(a.0.add(&*b.0)?.into())
    }

    fn gate(&self, gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
        self.device.activate();
        let width = match gate_up.0.shape() {
            [_, width] if width % 2 == 0 => *width as usize,
            other => return Err(Error::internal(format!("gate and up of shape {other:?}"))),
        };
        let gate = raw::slice_axis(&gate_up.0, 1, 0..width / 2)?;
        let up = raw::slice_axis(&gate_up.0, 1, width / 2..width)?;
        let activated = match activation {
            Activation::Silu => gate.multiply(ops::sigmoid(&gate)?)?,
        };
        Ok(activated.multiply(&up)?.into())
    }

    fn attention(
        &self,
        qkv: &Tensor,
        params: &AttentionParams<'_, Self>,
        rows: &Rows,
        caches: &mut [&mut KvCache],
    ) -> Result<Tensor> {
        self.device.activate();
        Ok(attention::attention(&qkv.0, params, rows, caches)?.into())
    }

    fn select_rows(&self, x: &Tensor, rows: &[usize]) -> Result<Tensor> {
        self.device.activate();
        let have = x.0.shape().first().map_or(0, |&n| n as usize);
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else {
            return Err(Error::internal("no rows to select"));
        };
        if let Some(row) = rows.iter().find(|&&row| row >= have) {
            return Err(Error::internal(format!("row {row} of {have}")));
        }
        if rows.iter().enumerate().all(|(i, &row)| row == first + i) {
            return Ok(raw::slice_axis(&x.0, 0, first..last + 1)?.into());
        }
        let indices = rows.iter().map(|&row| raw::dim(row)).collect::<Result<Vec<_>>>()?;
        let indices = Array::from_slice(&indices, &[raw::dim(rows.len())?]);
        Ok(x.0.take_axis(&indices, 0)?.into())
    }

    fn logits(&self, x: &Tensor, head: &Linear) -> Result<Tensor> {
        self.device.activate();
        Ok(cast(head.apply(&x.0)?, Dtype::Float32)?.into())
    }

    fn argmax(&self, logits: &Tensor) -> Result<Tokens> {
        self.device.activate();
        Ok(Tokens(Rc::new(ops::indexing::argmax_axis(&*logits.0, -1, false)?)))
    }

    fn queue<'a>(
        &self,
        tokens: Option<&Tokens>,
        logits: Option<&Tensor>,
        caches: impl Iterator<Item = &'a KvCache>,
    ) -> Result<()> {
        self.device.activate();
        let mut arrays: Vec<&Array> = tokens.map(|t| &*t.0).into_iter().chain(logits.map(|t| &*t.0)).collect();
        // What outlives the step must be computed with it, else its graph would grow from step to step.
        for cache in caches {
            arrays.extend(cache.arrays());
        }
        Ok(transforms::async_eval(arrays)?)
    }

    fn read_tokens(&self, tokens: &Tokens) -> Result<Vec<u32>> {
        self.device.activate();
        Ok(tokens.0.try_as_slice::<u32>()?.to_vec())
    }

    fn read_logits(&self, logits: &Tensor, row: usize, out: &mut Vec<f32>) -> Result<()> {
        self.device.activate();
        let width = logits.0.shape().last().map_or(0, |&n| n as usize);
        let all = logits.0.try_as_slice::<f32>()?;
        match all.chunks_exact(width.max(1)).nth(row) {
            Some(values) => out.extend_from_slice(values),
            None => return Err(Error::internal(format!("row {row} of logits of shape {:?}", logits.0.shape()))),
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        self.device.activate();
        raw::synchronize()
    }

    fn trim(&self) {
        if let Err(error) = memory::clear_cache() {
            tracing::warn!(%error, "MLX kept its freed memory");
        }
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse {
            active: memory::active_memory().unwrap_or(0),
            peak: memory::peak_memory().unwrap_or(0),
            cached: memory::cache_memory().unwrap_or(0),
        }
    }
}
