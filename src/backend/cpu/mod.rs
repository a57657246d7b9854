//! Pure Rust on the processor: f32 activations, weights in their stored form.
//!
//! A row's result depends on nothing but the row: not on its neighbours in the batch, on how a prompt is cut into
//! slices, on the number of threads, or on the processor's instructions. Every sum is taken in an order that its
//! length alone decides (`kernels`), and products are fused with sums everywhere (`simd`).
#![allow(unsafe_code)]

use std::rc::Rc;
use std::sync::Arc;

use self::buffer::Arena;
use self::cache::KvCache;
use self::head::Format;
use self::linear::Linear;
use self::norm::Norm;
use self::rope::Rope;
use self::simd::Level;
use self::slab::Slabs;
use self::tensor::Tensor;
use super::{AttentionParams, Backend, CacheLayout, Ids, MemoryUse, Precision, Rows};
use crate::arch::spec::{self, Activation};
use crate::error::Result;
use crate::weights::{LinearData, TensorView};

pub(crate) use self::pool::Pool;

mod attention;
mod bandwidth;
mod buffer;
mod cache;
mod disjoint;
mod elementwise;
mod head;
mod kernels;
mod linear;
mod matmul;
mod memory;
mod norm;
mod pool;
mod prepare;
mod rope;
mod simd;
mod slab;
mod tensor;
#[cfg(test)]
mod tests;

/// The processor's instructions that are used.
pub(crate) fn simd_level() -> &'static str {
    Level::best().name()
}

/// Bytes that a cache of `len` positions takes at most.
pub(crate) fn cache_bytes(precision: Precision, layout: &CacheLayout, len: usize) -> u64 {
    cache::bytes_of(layout, Format::of(precision), len) as u64
}

/// The backend that runs everywhere.
pub(crate) struct Cpu {
    pool: Arc<Pool>,
    level: Level,
    precision: Precision,
    arena: Rc<Arena>,
    slabs: Rc<Slabs>,
}

impl Cpu {
    /// A backend that computes on the threads of `pool`.
    pub(crate) fn new(pool: Arc<Pool>, precision: Precision) -> Result<Self> {
        Ok(Self::with_level(pool, Level::best(), precision))
    }

    /// How fast the threads read memory together.
    pub(crate) fn read_bytes_per_second(&self) -> Result<f64> {
        bandwidth::read_bytes_per_second(&self.pool)
    }

    fn with_level(pool: Arc<Pool>, level: Level, precision: Precision) -> Self {
        Self { pool, level, precision, arena: Rc::default(), slabs: Rc::default() }
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

    type Tensor = Tensor;
    type Linear = Linear;
    type Norm = Norm;
    type Rope = Rope;
    type Cache = KvCache;
    type Tokens = Rc<[u32]>;

    fn load_linear(&self, parts: &[LinearData]) -> Result<Linear> {
        Linear::load(self.level, parts)
    }

    fn load_norm(&self, weight: &TensorView, epsilon: f32) -> Result<Norm> {
        Norm::load(self.level, weight, epsilon)
    }

    fn load_rope(&self, rope: &spec::Rope) -> Result<Rope> {
        Rope::load(rope)
    }

    fn new_cache(&self, layout: CacheLayout) -> KvCache {
        KvCache::new(layout, Format::of(self.precision), Rc::clone(&self.slabs))
    }

    fn cache_bytes(&self, layout: CacheLayout, len: usize) -> usize {
        cache::bytes_of(&layout, Format::of(self.precision), len)
    }

    fn embed(&self, table: &Linear, ids: Ids<'_, Self>) -> Result<Tensor> {
        let ids: &[u32] = match ids {
            Ids::Host(ids) => ids,
            Ids::Device(tokens) => tokens,
        };
        elementwise::embed(self, table, ids)
    }

    fn norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        elementwise::norm(self, x, norm)
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
        }
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

    fn queue<'a>(&self, _: Option<&Rc<[u32]>>, _: Option<&Tensor>, _: impl Iterator<Item = &'a KvCache>) -> Result<()> {
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
