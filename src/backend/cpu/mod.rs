//! Pure Rust on the processor: f32 activations, weights in their stored form.
//!
//! In default precision, activations are rounded to i8 with a scale for each block before they are multiplied with
//! quantized weights (`kernels::codes`). In exact precision all is f32.
//!
//! A row's result depends on nothing but the row: not on its neighbours in the batch, on how a prompt is cut into
//! slices, on the number of threads, or on the processor's instructions. Every sum is taken in an order that its
//! length alone decides (`kernels`), and products are fused with sums everywhere (`simd`).
#![allow(unsafe_code)]
// Tiles of registers are indexed by the numbers of rows and columns, several at a time.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use self::buffer::Arena;
use self::cache::KvCache;
use self::experts::Experts;
use self::head::Format;
use self::heads::Heads;
use self::index::Choice;
use self::linear::Linear;
use self::norm::Norm;
use self::recurrent::{Conv, State};
use self::rope::Rope;
use self::simd::Level;
use self::slab::Slabs;
use self::tensor::Tensor;
use super::{
    AttentionParams, Backend, CacheLayout, ConvData, DeltaInput, DeltaParams, EntryChoice, EntryInput, ExpertsData,
    HeadPart, Ids, IndexInput, Kept, KvBits, MemoryUse, Precision, RoutingParams, Rows, ScanInput, ScanParams,
    TimeMixInput, TimeMixParams,
};
use crate::arch::spec::{self, Activation};
use crate::error::Result;
use crate::weights::{LinearData, NormData};

pub(crate) use self::pool::Pool;
pub(crate) use self::transcode::transcoded_bits;

mod activation;
mod attention;
mod bandwidth;
#[cfg(feature = "benchmarks")]
pub mod benchmarks;
mod buffer;
mod cache;
mod disjoint;
mod elementwise;
mod entries;
mod experts;
mod head;
mod heads;
mod index;
mod kernels;
mod linear;
mod matmul;
mod memory;
mod norm;
mod pool;
mod prepare;
mod recurrent;
mod rope;
mod rounding;
mod routing;
mod simd;
mod slab;
mod streams;
mod tensor;
#[cfg(test)]
mod tests;
mod time_mix;
mod transcode;

/// The processor's instructions that are used.
pub(crate) fn simd_level() -> &'static str {
    Level::best().name()
}

/// Bytes that a cache of `len` positions takes at most.
pub(crate) fn cache_bytes(precision: Precision, kv: Option<KvBits>, layout: &CacheLayout, len: usize) -> u64 {
    cache::bytes_of(layout, Format::of(precision, kv), len) as u64
}

/// What caches hold.
pub(crate) fn kv_bits(precision: Precision, asked: Option<KvBits>) -> KvBits {
    match Format::of(precision, asked) {
        Format::F32 => KvBits::Sixteen,
        Format::Bytes => KvBits::Eight,
        Format::Codes => KvBits::Four,
    }
}

/// The backend that runs everywhere.
pub(crate) struct Cpu {
    pool: Arc<Pool>,
    level: Level,
    precision: Precision,
    format: Format,
    arena: Rc<Arena>,
    slabs: Rc<Slabs>,
}

impl Cpu {
    /// A backend that computes on the threads of `pool`; caches hold what the precision takes unless `kv` is given.
    pub(crate) fn new(pool: Arc<Pool>, precision: Precision, kv: Option<KvBits>) -> Result<Self> {
        Ok(Self::with_level(pool, Level::best(), precision, kv))
    }

    /// How fast the threads read memory together.
    pub(crate) fn read_bytes_per_second(&self) -> Result<f64> {
        bandwidth::read_bytes_per_second(&self.pool)
    }

    fn with_level(pool: Arc<Pool>, level: Level, precision: Precision, kv: Option<KvBits>) -> Self {
        let format = Format::of(precision, kv);
        Self { pool, level, precision, format, arena: Rc::default(), slabs: Rc::default() }
    }

    /// [`Pool::run`], on the calling thread alone when it isn't worth more.
    fn run(&self, parallel: bool, chunks: usize, task: impl Fn(usize, usize) + Sync) -> Result<()> {
        if parallel {
            self.pool.run(chunks, task)
        } else {
            self.pool.run(1, |thread, _| (0..chunks).for_each(|chunk| task(thread, chunk)))
        }
    }
}

impl Backend for Cpu {
    const PIPELINED: bool = false;
    const BATCH_INVARIANT: bool = true;

    type Operands = Self;
    type Tensor = Tensor;
    type Linear = Linear;
    type Norm = Norm;
    type Vector = Vec<f32>;
    type Experts = Experts;
    type Choice = Choice;
    type Heads = Heads;
    type State = State;
    type Conv = Conv;
    type Rope = Rope;
    type Cache = KvCache;
    type Tokens = Rc<[u32]>;

    fn load_linear(&self, parts: &[LinearData]) -> Result<Linear> {
        Linear::load(self.level, parts)
    }

    fn load_norm(&self, norm: &NormData) -> Result<Norm> {
        Norm::load(self.level, norm)
    }

    fn load_vector(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        Ok(numbers)
    }

    fn load_heads(&self, matrices: &LinearData, heads: usize) -> Result<Heads> {
        Heads::load(self.level, matrices, heads)
    }

    fn load_conv(&self, conv: ConvData) -> Result<Conv> {
        Conv::load(&conv)
    }

    fn load_experts(&self, experts: &ExpertsData) -> Result<Experts> {
        Experts::load(self.level, experts)
    }

    fn load_rope(&self, rope: &spec::Rope) -> Result<Rope> {
        Rope::load(rope)
    }

    fn new_cache(&self, layout: CacheLayout) -> KvCache {
        KvCache::new(layout, self.format, Rc::clone(&self.slabs))
    }

    fn cache_bytes(&self, layout: CacheLayout, len: usize) -> usize {
        cache::bytes_of(&layout, self.format, len)
    }

    fn embed(&self, table: &Linear, ids: Ids<'_, Self>) -> Result<Tensor> {
        let ids: &[u32] = match ids {
            Ids::Host(ids) => ids,
            Ids::Device(tokens) => tokens,
        };
        elementwise::embed(self, table, ids)
    }

    fn norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        norm::norm(self, x, norm)
    }

    fn linear(&self, x: &Tensor, linear: &Linear) -> Result<Tensor> {
        matmul::linear(self, x, linear)
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        elementwise::add(self, a, b)
    }

    fn gate(&self, gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
        match activation {
            Activation::Silu => elementwise::silu(self, gate_up),
            other => activation::activate(self, gate_up, other, true),
        }
    }

    fn activate(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        activation::activate(self, x, activation, false)
    }

    fn sigmoid_gate(&self, x: &Tensor, gate: &Tensor) -> Result<Tensor> {
        activation::sigmoid_gate(self, x, gate)
    }

    fn widen(&self, x: &Tensor) -> Result<Tensor> {
        // Activations are f32.
        Ok(x.clone())
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        activation::scale(self, x, factor)
    }

    fn multiply(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        activation::multiply(self, a, b)
    }

    fn scale_columns(&self, x: &Tensor, factors: &Vec<f32>) -> Result<Tensor> {
        streams::scale_columns(self, x, factors)
    }

    fn add_columns(&self, x: &Tensor, numbers: &Vec<f32>) -> Result<Tensor> {
        streams::add_columns(self, x, numbers)
    }

    fn mix_streams(&self, inputs: &[Tensor], coefficients: &Tensor, outputs: usize) -> Result<Vec<Tensor>> {
        streams::mix_streams(self, inputs, coefficients, outputs)
    }

    fn mix_by_query(&self, inputs: &[Tensor], query: &Vec<f32>, epsilon: f32) -> Result<Tensor> {
        streams::mix_by_query(self, inputs, query, epsilon)
    }

    fn hyper_mixtures(
        &self,
        streams: &[Tensor],
        norm: &Norm,
        mixture: &Linear,
        mixing: spec::HyperMixing,
    ) -> Result<Tensor> {
        let parts: Vec<_> = streams.iter().map(HeadPart::Own).collect();
        let all = self.norm(&self.join_heads(&parts, 1)?, norm)?;
        streams::hyper_mixtures(self, &self.linear(&all, mixture)?, mixing)
    }

    fn match_magnitude(&self, x: &Tensor, like: &Tensor) -> Result<Tensor> {
        streams::match_magnitude(self, x, like)
    }

    fn softcap(&self, x: &Tensor, cap: f32) -> Result<Tensor> {
        activation::softcap(self, x, cap)
    }

    fn columns(&self, x: &Tensor, columns: Range<usize>) -> Result<Tensor> {
        activation::columns(self, x, columns)
    }

    fn heads_linear(&self, x: &Tensor, heads: &Heads) -> Result<Tensor> {
        heads::heads_linear(self, x, heads)
    }

    fn join_heads(&self, parts: &[HeadPart<'_, Self>], heads: usize) -> Result<Tensor> {
        heads::join_heads(self, parts, heads)
    }

    fn head_columns(&self, x: &Tensor, heads: usize, columns: Range<usize>) -> Result<Tensor> {
        heads::head_columns(self, x, heads, columns)
    }

    fn rotate(&self, x: &Tensor, heads: usize, rope: &Rope, rows: &Rows) -> Result<Tensor> {
        heads::rotate(self, x, heads, rope, rows)
    }

    fn short_conv(&self, bcx: &Tensor, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Tensor> {
        recurrent::short_conv(self, bcx, conv, rows, states)
    }

    fn convolve(&self, x: &Tensor, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Tensor> {
        recurrent::convolve(self, x, conv, rows, states)
    }

    fn gated_delta(
        &self,
        input: DeltaInput<'_, Self>,
        params: &DeltaParams<'_, Self>,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<Tensor> {
        recurrent::gated_delta(self, input, params, rows, states)
    }

    fn state_space(
        &self,
        input: ScanInput<'_, Self>,
        params: &ScanParams<'_, Self>,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<Tensor> {
        recurrent::state_space(self, input, params, rows, states)
    }

    fn recurrence(
        &self,
        x: &Tensor,
        gate: &Tensor,
        decay: &Vec<f32>,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<Tensor> {
        recurrent::recurrence(self, x, gate, decay, rows, states)
    }

    fn token_shift(&self, x: &Tensor, shares: &[Vec<f32>], rows: &Rows, states: &mut [State]) -> Result<Vec<Tensor>> {
        time_mix::token_shift(self, x, shares, rows, states)
    }

    fn time_mix(
        &self,
        input: TimeMixInput<'_, Self>,
        params: &TimeMixParams<'_, Self>,
        rows: &Rows,
        states: &mut [State],
    ) -> Result<[Tensor; 2]> {
        time_mix::time_mix(self, input, params, rows, states)
    }

    fn experts(
        &self,
        x: &Tensor,
        logits: &Tensor,
        experts: &Experts,
        routing: &RoutingParams<'_, Self>,
    ) -> Result<Tensor> {
        experts::experts(self, x, logits, experts, routing)
    }

    fn pool(&self, x: &Tensor, ratio: usize, rows: &Rows, states: &mut [State]) -> Result<Option<Tensor>> {
        entries::pool(self, x, ratio, rows, states)
    }

    fn keep(&self, x: &Tensor, rows: &Rows, caches: &mut [&mut KvCache]) -> Result<()> {
        entries::keep(self, x, rows, caches)
    }

    fn choose_entries(
        &self,
        input: EntryInput<'_, Self>,
        indexer: &spec::EntryIndexer,
        rows: &Rows,
        caches: &[&KvCache],
    ) -> Result<EntryChoice<Self>> {
        entries::choose_entries(self, input, indexer, rows, caches)
    }

    fn choose(
        &self,
        input: IndexInput<'_, Self>,
        indexer: &spec::Indexer,
        rows: &Rows,
        caches: &mut [&mut KvCache],
    ) -> Result<Choice> {
        index::choose(self, input, indexer, rows, caches)
    }

    fn attention_shared(
        &self,
        queries: &Tensor,
        params: &AttentionParams<'_, Self>,
        rows: &Rows,
        caches: &[&KvCache],
    ) -> Result<Tensor> {
        attention::attention_shared(self, queries, params, rows, caches)
    }

    fn attention(
        &self,
        qkv: &Tensor,
        params: &AttentionParams<'_, Self>,
        rows: &Rows,
        caches: &mut [&mut KvCache],
    ) -> Result<Tensor> {
        attention::attention(self, qkv, params, rows, caches)
    }

    fn select_rows(&self, x: &Tensor, rows: &[usize]) -> Result<Tensor> {
        elementwise::select(self, x, rows)
    }

    fn logits(&self, x: &Tensor, head: &Linear) -> Result<Tensor> {
        self.linear(x, head)
    }

    fn argmax(&self, logits: &Tensor) -> Result<Rc<[u32]>> {
        Ok(elementwise::argmax(self, logits)?.into())
    }

    fn tokens_below(&self, tokens: &Rc<[u32]>, limit: usize) -> Result<Rc<[u32]>> {
        Ok(tokens.iter().map(|&id| if (id as usize) < limit { id } else { 0 }).collect())
    }

    fn queue<'a>(
        &self,
        _: Option<&Rc<[u32]>>,
        _: Option<&Tensor>,
        _: impl Iterator<Item = Kept<'a, Self>>,
    ) -> Result<()> {
        // Everything is computed at once.
        Ok(())
    }

    fn read_tokens(&self, tokens: &Rc<[u32]>) -> Result<Vec<u32>> {
        Ok(tokens.to_vec())
    }

    fn read_logits(&self, logits: &Tensor, row: usize, out: &mut Vec<f32>) -> Result<()> {
        out.extend_from_slice(logits.row(row)?);
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }

    fn trim(&self) {
        self.arena.trim();
    }

    fn memory(&self) -> MemoryUse {
        let process = &memory::PROCESS;
        MemoryUse { active: process.active(), peak: process.peak(), cached: self.arena.cached() }
    }
}
