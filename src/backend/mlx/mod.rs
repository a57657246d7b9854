//! MLX through `mlx-rs`: Metal on Apple, CUDA on Linux, and MLX's own CPU device for parity.
//!
//! Operations only build a graph; [`Mlx::queue`] hands it to the device and the reads wait for it. All arrays belong
//! to the thread that made them: a backend and what it gave out stay on the worker thread.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use mlx_rs::{Array, Dtype, memory, ops, transforms};

use super::{
    AttentionParams, Backend, CacheLayout, ConvData, DeltaInput, DeltaParams, EntryChoice, EntryInput, ExpertsData,
    HeadPart, Ids, IndexInput, Kept, KvBits, MemoryUse, Precision, RoutingParams, Rows, ScanInput, ScanParams,
    TimeMixInput, TimeMixParams,
};
use crate::arch::spec::{self, Activation};
use crate::error::{Error, Result};
use crate::weights::{LinearData, NormData};

mod activation;
mod attention;
mod cache;
mod delta;
mod delta_rule;
mod device;
mod entries;
#[allow(unsafe_code)]
mod error;
#[allow(unsafe_code)]
mod exit;
mod experts;
mod heads;
mod index;
mod linear;
mod norm;
#[allow(unsafe_code)]
mod raw;
mod recurrence;
mod recurrent;
mod rotation;
mod rounding;
mod state_space;
mod streams;
#[cfg(test)]
mod tests;
mod time_mix;
#[cfg(test)]
pub(crate) use tests::on_worker;

use attention::Rope;
use cache::KvCache;
pub(crate) use device::MlxDevice;
use error::Fault;
use experts::{Experts, Stacked};
use heads::Heads;
use index::Choice;
use linear::{Linear, cast};
use norm::Norm;
use recurrent::{Conv, State};

/// Rows from which on a step computes layer by layer. With fewer, intermediate results are small, and waiting for
/// layers would cost more than they.
const MANY_ROWS: usize = 64;

/// MLX on one of its devices, for one model.
pub(crate) struct Mlx {
    device: MlxDevice,
    /// f32 activations, whatever the checkpoint has.
    exact: bool,
    /// Bits of a number in caches, where they are quantized.
    kv: Option<KvBits>,
    /// Bytes of the widest float loaded so far, and so of a float in a cache.
    width: Cell<usize>,
}

/// What caches of a layer hold: what was asked for, where MLX has groups for its heads.
pub(crate) fn kv_bits(asked: Option<KvBits>, layout: &CacheLayout) -> KvBits {
    asked.filter(|_| cache::quantized(asked, layout.head_dim).is_some()).unwrap_or(KvBits::Sixteen)
}

/// Bytes that the cache of a layer takes, with floats of so many bytes.
pub(crate) fn cache_bytes(kv: Option<KvBits>, layout: CacheLayout, len: usize, float_bytes: usize) -> u64 {
    cache::expected_bytes(layout, kv, len, float_bytes) as u64
}

/// A lazy array that is cheap to clone; mlx-rs's own clone may panic.
#[derive(Clone)]
pub(crate) struct Tensor(Rc<Array>);

/// Ids that [`Backend::argmax`] picked, one a row.
#[derive(Clone)]
pub(crate) struct Tokens(Rc<Array>);

impl Mlx {
    /// Prepares MLX on the calling thread, where the backend has to stay. The process's exit calls `end_use`, which
    /// has to see to it that no thread uses MLX any more; the first one given counts.
    ///
    /// # Errors
    /// `Unsupported` when MLX has no such device.
    pub fn new(device: MlxDevice, precision: Precision, kv: Option<KvBits>, end_use: fn()) -> Result<Self> {
        device.start().and_then(|()| exit::before_exit(end_use)).map_err(|fault| fault.0)?;
        let exact = precision == Precision::Exact;
        if exact && device == MlxDevice::Gpu && std::env::var_os("MLX_ENABLE_TF32").is_none() {
            tracing::warn!("MLX computes f32 products in TF32 on some GPUs, unless MLX_ENABLE_TF32=0 is set");
        }
        Ok(Self { device, exact, kv, width: Cell::new(if exact { 4 } else { 2 }) })
    }

    /// Starts computing arrays and what outlives the step, else its graph would grow from step to step.
    fn begin<'a: 'b, 'b>(&self, mut arrays: Vec<&'b Array>, kept: impl Iterator<Item = Kept<'a, Self>>) -> Result<()> {
        for kept in kept {
            match kept {
                Kept::Cache(cache) => arrays.extend(cache.arrays()),
                Kept::State(state) => arrays.extend(state.arrays()),
            }
        }
        self.run(|| Ok(transforms::async_eval(arrays)?))
    }

    /// Runs MLX's operations on the backend's device.
    fn run<T>(&self, operations: impl FnOnce() -> Result<T, Fault>) -> Result<T> {
        self.device.activate();
        operations().map_err(|fault| fault.0)
    }
}

impl From<Array> for Tensor {
    fn from(array: Array) -> Self {
        Self(Rc::new(array))
    }
}

impl Backend for Mlx {
    const PIPELINED: bool = true;

    // MLX has other kernels for other numbers of rows.
    const BATCH_INVARIANT: bool = false;

    type Operands = Self;
    type Tensor = Tensor;
    type Linear = Linear;
    type Norm = Norm;
    type Vector = Array;
    type Experts = Experts;
    type Choice = Choice;
    type Heads = Heads;
    type State = State;
    type Conv = Conv;
    type Rope = Rope;
    type Cache = KvCache;
    type Tokens = Tokens;

    fn load_linear(&self, parts: &[LinearData]) -> Result<Linear> {
        let linear = self.run(|| Linear::load(parts, self.exact))?;
        self.width.update(|width| width.max(linear.float_width()));
        Ok(linear)
    }

    fn load_norm(&self, norm: &NormData) -> Result<Norm> {
        self.run(|| Norm::load(norm, self.exact))
    }

    fn load_vector(&self, numbers: Vec<f32>) -> Result<Array> {
        self.run(|| Ok(Array::from_slice(&numbers, &[raw::dim(numbers.len())?])))
    }

    fn load_heads(&self, matrices: &LinearData, heads: usize) -> Result<Heads> {
        self.run(|| Ok(Heads { matrices: Stacked::load_one(matrices, heads, self.exact)?, heads: raw::dim(heads)? }))
    }

    fn load_conv(&self, conv: ConvData) -> Result<Conv> {
        self.run(|| Conv::load(&conv))
    }

    fn load_experts(&self, experts: &ExpertsData) -> Result<Experts> {
        self.run(|| Experts::load(experts, self.exact))
    }

    fn load_rope(&self, rope: &spec::Rope) -> Result<Rope> {
        self.run(|| Rope::load(rope))
    }

    fn new_cache(&self, layout: CacheLayout) -> KvCache {
        KvCache::new(layout, self.kv)
    }

    fn cache_bytes(&self, layout: CacheLayout, len: usize) -> usize {
        cache::expected_bytes(layout, self.kv, len, self.width.get())
    }

    fn embed(&self, table: &Linear, ids: Ids<'_, Self>) -> Result<Tensor> {
        self.run(|| match ids {
            Ids::Host(ids) => Ok(table.rows(&Array::from_slice(ids, &[raw::dim(ids.len())?]))?.into()),
            Ids::Device(tokens) => Ok(table.rows(&tokens.0)?.into()),
        })
    }

    fn norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        self.run(|| Ok(norm.apply(&x.0)?.into()))
    }

    fn linear(&self, x: &Tensor, linear: &Linear) -> Result<Tensor> {
        self.run(|| Ok(linear.apply(&x.0)?.into()))
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.run(|| Ok(a.0.add(&*b.0)?.into()))
    }

    fn gate(&self, gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
        self.run(|| Ok(activation::gate(&gate_up.0, activation)?.into()))
    }

    fn activate(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        self.run(|| Ok(activation::activate(&x.0, activation)?.into()))
    }

    fn sigmoid_gate(&self, x: &Tensor, gate: &Tensor) -> Result<Tensor> {
        self.run(|| Ok(activation::sigmoid_gate(&x.0, &gate.0)?.into()))
    }

    fn widen(&self, x: &Tensor) -> Result<Tensor> {
        self.run(|| Ok(activation::wide(&x.0)?.into()))
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        self.run(|| Ok(activation::scale(&x.0, factor)?.into()))
    }

    fn multiply(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        self.run(|| Ok(activation::multiply(&a.0, &b.0)?.into()))
    }

    fn scale_columns(&self, x: &Tensor, factors: &Array) -> Result<Tensor> {
        self.run(|| Ok(x.0.multiply(cast(factors.reshape(factors.shape())?, x.0.dtype())?)?.into()))
    }

    fn add_columns(&self, x: &Tensor, numbers: &Array) -> Result<Tensor> {
        self.run(|| Ok(x.0.add(cast(numbers.reshape(numbers.shape())?, x.0.dtype())?)?.into()))
    }

    fn mix_streams(&self, inputs: &[Tensor], coefficients: &Tensor, outputs: usize) -> Result<Vec<Tensor>> {
        self.run(|| streams::mix_streams(inputs, &coefficients.0, outputs))
    }

    fn mix_by_query(&self, inputs: &[Tensor], query: &Array, epsilon: f32) -> Result<Tensor> {
        self.run(|| Ok(streams::mix_by_query(inputs, query, epsilon)?.into()))
    }

    fn hyper_mixtures(
        &self,
        streams: &[Tensor],
        norm: &Norm,
        mixture: &Linear,
        mixing: spec::HyperMixing,
    ) -> Result<Tensor> {
        self.run(|| Ok(streams::hyper_mixtures(streams, norm, mixture, mixing)?.into()))
    }

    fn match_magnitude(&self, x: &Tensor, like: &Tensor) -> Result<Tensor> {
        self.run(|| Ok(streams::match_magnitude(&x.0, &like.0)?.into()))
    }

    fn softcap(&self, x: &Tensor, cap: f32) -> Result<Tensor> {
        self.run(|| Ok(activation::softcap(&x.0, cap)?.into()))
    }

    fn columns(&self, x: &Tensor, columns: Range<usize>) -> Result<Tensor> {
        self.run(|| Ok(raw::slice_axis(&x.0, 1, columns)?.into()))
    }

    fn heads_linear(&self, x: &Tensor, heads: &Heads) -> Result<Tensor> {
        self.run(|| Ok(heads::heads_linear(&x.0, heads)?.into()))
    }

    fn join_heads(&self, parts: &[HeadPart<'_, Self>], heads: usize) -> Result<Tensor> {
        self.run(|| Ok(heads::join_heads(parts, heads)?.into()))
    }

    fn head_columns(&self, x: &Tensor, heads: usize, columns: Range<usize>) -> Result<Tensor> {
        self.run(|| Ok(heads::head_columns(&x.0, heads, columns)?.into()))
    }

    fn rotate(&self, x: &Tensor, heads: usize, rope: &Rope, rows: &Rows) -> Result<Tensor> {
        self.run(|| Ok(attention::rotate(&x.0, heads, rope, rows)?.into()))
    }

    fn short_conv(&self, bcx: &Tensor, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Tensor> {
        self.run(|| Ok(recurrent::short_conv(&bcx.0, conv, rows, states)?.into()))
    }

    fn convolve(&self, x: &Tensor, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Tensor> {
        self.run(|| Ok(recurrent::convolve(&x.0, conv, rows, states)?.into()))
    }

    fn gated_delta(
        &self,
        input: DeltaInput<'_, Self>,
        params: &DeltaParams<'_, Self>,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<Tensor> {
        self.run(|| Ok(delta::gated_delta(input, params, rows, states)?.into()))
    }

    fn state_space(
        &self,
        input: ScanInput<'_, Self>,
        params: &ScanParams<'_, Self>,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<Tensor> {
        self.run(|| Ok(state_space::state_space(input, params, rows, states)?.into()))
    }

    fn recurrence(
        &self,
        x: &Tensor,
        gate: &Tensor,
        decay: &Array,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<Tensor> {
        self.run(|| Ok(recurrence::recurrence(&x.0, &gate.0, decay, rows, states)?.into()))
    }

    fn token_shift(&self, x: &Tensor, shares: &[Array], rows: &Rows, states: &mut [State]) -> Result<Vec<Tensor>> {
        self.run(|| time_mix::token_shift(&x.0, shares, rows, states))
    }

    fn time_mix(
        &self,
        input: TimeMixInput<'_, Self>,
        params: &TimeMixParams<'_, Self>,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<[Tensor; 2]> {
        self.run(|| time_mix::time_mix(input, params, rows, states))
    }

    fn experts(
        &self,
        x: &Tensor,
        logits: &Tensor,
        experts: &Experts,
        routing: &RoutingParams<'_, Self>,
    ) -> Result<Tensor> {
        self.run(|| Ok(experts::experts(&x.0, &logits.0, experts, routing)?.into()))
    }

    fn pool(&self, x: &Tensor, ratio: usize, rows: &Rows, states: &mut [State]) -> Result<Option<Tensor>> {
        self.run(|| entries::pool(&x.0, ratio, rows, states))
    }

    fn keep(&self, x: &Tensor, rows: &Rows, caches: &mut [&mut KvCache]) -> Result<()> {
        self.run(|| entries::keep(&x.0, rows, caches))
    }

    fn choose_entries(
        &self,
        input: EntryInput<'_, Self>,
        indexer: &spec::EntryIndexer,
        rows: &Rows,
        caches: &[&KvCache],
    ) -> Result<EntryChoice<Self>> {
        self.run(|| entries::choose_entries(input, indexer, rows, caches))
    }

    fn choose(
        &self,
        input: IndexInput<'_, Self>,
        indexer: &spec::Indexer,
        rows: &Rows,
        caches: &mut [&mut KvCache],
    ) -> Result<Choice> {
        self.run(|| index::choose(input, indexer, rows, caches))
    }

    fn attention_shared(
        &self,
        queries: &Tensor,
        params: &AttentionParams<'_, Self>,
        rows: &Rows,
        caches: &[&KvCache],
    ) -> Result<Tensor> {
        self.run(|| Ok(attention::attention_shared(&queries.0, params, rows, caches)?.into()))
    }

    fn attention(
        &self,
        qkv: &Tensor,
        params: &AttentionParams<'_, Self>,
        rows: &Rows,
        caches: &mut [&mut KvCache],
    ) -> Result<Tensor> {
        self.run(|| Ok(attention::attention(&qkv.0, params, rows, caches)?.into()))
    }

    fn select_rows(&self, x: &Tensor, rows: &[usize]) -> Result<Tensor> {
        let (have, _) = shape(x);
        // MLX would clamp them.
        if rows.is_empty() || rows.iter().any(|&row| row >= have) {
            return Err(Error::internal(format!("rows {rows:?} of {have}")));
        }
        self.run(|| {
            if rows.windows(2).all(|pair| pair[1] == pair[0] + 1) {
                return Ok(raw::slice_axis(&x.0, 0, rows[0]..rows[0] + rows.len())?.into());
            }
            let indices = rows.iter().map(|&row| raw::dim(row)).collect::<Result<Vec<_>, Fault>>()?;
            let indices = Array::from_slice(&indices, &[raw::dim(rows.len())?]);
            Ok(x.0.take_axis(&indices, 0)?.into())
        })
    }

    fn logits(&self, x: &Tensor, head: &Linear) -> Result<Tensor> {
        self.run(|| Ok(cast(head.apply(&x.0)?, Dtype::Float32)?.into()))
    }

    fn argmax(&self, logits: &Tensor) -> Result<Tokens> {
        self.run(|| Ok(Tokens(Rc::new(ops::indexing::argmax_axis(&*logits.0, -1, false)?))))
    }

    fn tokens_below(&self, tokens: &Tokens, limit: usize) -> Result<Tokens> {
        self.run(|| {
            let ids = &*tokens.0;
            let limit = Array::from_int(raw::dim(limit)?).as_dtype(ids.dtype())?;
            let zero = Array::from_int(0).as_dtype(ids.dtype())?;
            Ok(Tokens(Rc::new(ops::select(ids.lt(limit)?, ids, zero)?)))
        })
    }

    fn layer_done<'a>(
        &self,
        left: &[&Tensor],
        kept: impl Iterator<Item = Kept<'a, Self>>,
        before: Option<&Tensor>,
    ) -> Result<()> {
        let kept: Vec<_> = kept.collect();
        let many = left.first().is_some_and(|x| shape(x).0 >= MANY_ROWS);
        if !many && !kept.iter().any(|kept| matches!(kept, Kept::Cache(cache) if cache.grew())) {
            return Ok(());
        }
        self.begin(left.iter().map(|x| &*x.0).collect(), kept.into_iter())?;
        match before {
            Some(before) => self.run(|| Ok(before.0.eval()?)),
            None => Ok(()),
        }
    }

    fn queue<'a>(
        &self,
        tokens: Option<&Tokens>,
        logits: Option<&Tensor>,
        kept: impl Iterator<Item = Kept<'a, Self>>,
    ) -> Result<()> {
        self.begin(tokens.map(|t| &*t.0).into_iter().chain(logits.map(|t| &*t.0)).collect(), kept)
    }

    fn read_tokens(&self, tokens: &Tokens) -> Result<Vec<u32>> {
        self.run(|| Ok(tokens.0.try_as_slice::<u32>()?.to_vec()))
    }

    fn read_logits(&self, logits: &Tensor, row: usize, out: &mut Vec<f32>) -> Result<()> {
        let (rows, width) = shape(logits);
        self.run(|| {
            // The whole matrix lies in memory that both sides see, or is brought there at once.
            let all = logits.0.try_as_slice::<f32>()?;
            let Some(values) = all.get(row * width..(row + 1) * width) else {
                return Err(Fault::internal(format!("row {row} of {rows}")));
            };
            out.extend_from_slice(values);
            Ok(())
        })
    }

    fn wait(&self) -> Result<()> {
        self.run(raw::synchronize)
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

/// Rows and width.
fn shape(x: &Tensor) -> (usize, usize) {
    match x.0.shape() {
        [rows, width] => (*rows as usize, *width as usize),
        _ => (0, 0),
    }
}
