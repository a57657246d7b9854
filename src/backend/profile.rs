//! A backend that measures another's operations, each waited for by itself: what a model's time is spent on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter::empty;
use std::ops::Range;
use std::time::Instant;

use serde::Serialize;

use super::{
    AttentionParams, Backend, Cache, CacheLayout, ConvData, DeltaInput, DeltaParams, EntryChoice, EntryInput,
    ExpertsData, HeadPart, Ids, IndexInput, Kept, MemoryUse, RoutingParams, Rows, ScanInput, ScanParams, StackData,
    State, TimeMixInput, TimeMixParams,
};
use crate::arch::spec::{Activation, EntryIndexer, HyperMixing, Indexer, Rope};
use crate::error::Result;
use crate::weights::{LinearData, NormData};

/// What the operations of one kind took since the model was loaded.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct OperationProfile {
    /// How often it ran.
    pub calls: u64,
    /// Time in all.
    pub seconds: f64,
    /// Stored weights and cached keys and values read in all; activations are not counted.
    pub bytes: u64,
}

/// What operations took, by the name of the [`Backend`]'s function.
pub(crate) type Operations = BTreeMap<&'static str, OperationProfile>;

/// Time and bytes by operation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Profile {
    /// What the device can read, measured at load; absent where that can't be measured.
    pub read_bytes_per_second: Option<f64>,
    /// Passes in which some sequence took in several positions.
    pub prefill: Operations,
    /// Passes in which each sequence took in one.
    pub decode: Operations,
}

/// Runs on `B` and takes the time of each operation.
pub(crate) struct Profiled<B: Backend> {
    inner: B,
    profile: RefCell<Profile>,
    pass: RefCell<Pass>,
}

/// One pass through the model. Only its first attention tells what kind of pass it is.
enum Pass {
    Unknown(Vec<(&'static str, OperationProfile)>),
    Prefill,
    Decode,
}

/// A matrix that knows how many bytes it has; or experts, and the bytes of one.
pub(crate) struct Weighed<L> {
    linear: L,
    bytes: usize,
}

impl<B: Backend> Profiled<B> {
    /// Nothing measured yet.
    pub fn new(inner: B, read_bytes_per_second: Option<f64>) -> Self {
        let profile = Profile { read_bytes_per_second, prefill: BTreeMap::new(), decode: BTreeMap::new() };
        Self { inner, profile: RefCell::new(profile), pass: RefCell::new(Pass::Unknown(Vec::new())) }
    }

    fn record(&self, operation: &'static str, bytes: usize, began: Instant) {
        let seconds = began.elapsed().as_secs_f64();
        self.note(operation, OperationProfile { calls: 1, seconds, bytes: bytes as u64 });
    }

    fn note(&self, operation: &'static str, took: OperationProfile) {
        let mut profile = self.profile.borrow_mut();
        let operations = match &mut *self.pass.borrow_mut() {
            Pass::Unknown(pending) => return pending.push((operation, took)),
            Pass::Prefill => &mut profile.prefill,
            Pass::Decode => &mut profile.decode,
        };
        let total = operations.entry(operation).or_default();
        total.calls += took.calls;
        total.seconds += took.seconds;
        total.bytes += took.bytes;
    }

    /// Says what kind of pass it is.
    fn decide(&self, rows: &Rows) {
        let decode = rows.segments().iter().all(|segment| segment.len == 1);
        let before = self.pass.replace(if decode { Pass::Decode } else { Pass::Prefill });
        if let Pass::Unknown(pending) = before {
            pending.into_iter().for_each(|(operation, took)| self.note(operation, took));
        }
    }

    /// Runs an operation, waits for its result, and notes what that took.
    fn tensor(
        &self,
        operation: &'static str,
        bytes: usize,
        run: impl FnOnce(&B) -> Result<B::Tensor>,
    ) -> Result<B::Tensor> {
        let began = Instant::now();
        let result = run(&self.inner)?;
        self.inner.queue(None, Some(&result), empty())?;
        self.inner.wait()?;
        self.record(operation, bytes, began);
        Ok(result)
    }

    /// Measures an operation that gives several tensors.
    fn tensors<T: AsRef<[B::Tensor]>>(
        &self,
        operation: &'static str,
        bytes: usize,
        run: impl FnOnce(&B) -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let results = run(&self.inner)?;
        for tensor in results.as_ref() {
            self.inner.queue(None, Some(tensor), empty())?;
        }
        self.inner.wait()?;
        self.record(operation, bytes, began);
        Ok(results)
    }
}

impl<B: Backend> Backend for Profiled<B> {
    const PIPELINED: bool = B::PIPELINED;
    const BATCH_INVARIANT: bool = B::BATCH_INVARIANT;

    type Operands = B::Operands;
    type Tensor = B::Tensor;
    type Linear = Weighed<B::Linear>;
    type Norm = B::Norm;
    type Vector = B::Vector;
    type Experts = Weighed<B::Experts>;
    type Heads = Weighed<B::Heads>;
    type State = B::State;
    type Conv = B::Conv;
    type Rope = B::Rope;
    type Cache = B::Cache;
    type Tokens = B::Tokens;
    type Choice = B::Choice;

    fn load_linear(&self, parts: &[LinearData]) -> Result<Self::Linear> {
        let bytes = parts.iter().map(LinearData::bytes).sum();
        Ok(Weighed { linear: self.inner.load_linear(parts)?, bytes })
    }

    fn load_norm(&self, norm: &NormData) -> Result<B::Norm> {
        self.inner.load_norm(norm)
    }

    fn load_vector(&self, numbers: Vec<f32>) -> Result<B::Vector> {
        self.inner.load_vector(numbers)
    }

    fn load_heads(&self, matrices: &LinearData, heads: usize) -> Result<Self::Heads> {
        Ok(Weighed { linear: self.inner.load_heads(matrices, heads)?, bytes: matrices.bytes() })
    }

    fn load_conv(&self, conv: ConvData) -> Result<B::Conv> {
        self.inner.load_conv(conv)
    }

    fn load_experts(&self, experts: &ExpertsData) -> Result<Self::Experts> {
        let bytes: usize = experts.gate_up.iter().chain([&experts.down]).map(StackData::bytes).sum();
        Ok(Weighed { linear: self.inner.load_experts(experts)?, bytes: bytes / experts.count.max(1) })
    }

    fn load_rope(&self, rope: &Rope) -> Result<B::Rope> {
        self.inner.load_rope(rope)
    }

    fn new_cache(&self, layout: CacheLayout) -> B::Cache {
        self.inner.new_cache(layout)
    }

    fn cache_bytes(&self, layout: CacheLayout, len: usize) -> usize {
        self.inner.cache_bytes(layout, len)
    }

    fn embed(&self, table: &Self::Linear, ids: Ids<'_, B::Operands>) -> Result<B::Tensor> {
        self.pass.replace(Pass::Unknown(Vec::new()));
        self.tensor("embed", 0, |inner| inner.embed(&table.linear, ids))
    }

    fn norm(&self, x: &B::Tensor, norm: &B::Norm) -> Result<B::Tensor> {
        self.tensor("norm", 0, |inner| inner.norm(x, norm))
    }

    fn linear(&self, x: &B::Tensor, linear: &Self::Linear) -> Result<B::Tensor> {
        self.tensor("linear", linear.bytes, |inner| inner.linear(x, &linear.linear))
    }

    fn add(&self, a: &B::Tensor, b: &B::Tensor) -> Result<B::Tensor> {
        self.tensor("add", 0, |inner| inner.add(a, b))
    }

    fn gate(&self, gate_up: &B::Tensor, activation: Activation) -> Result<B::Tensor> {
        self.tensor("gate", 0, |inner| inner.gate(gate_up, activation))
    }

    fn attention(
        &self,
        qkv: &B::Tensor,
        params: &AttentionParams<'_, B::Operands>,
        rows: &Rows,
        caches: &mut [&mut B::Cache],
    ) -> Result<B::Tensor> {
        self.decide(rows);
        let began = Instant::now();
        let result = self.inner.attention(qkv, params, rows, caches)?;
        self.inner.queue(None, Some(&result), caches.iter().map(|cache| Kept::Cache(&**cache)))?;
        self.inner.wait()?;
        self.record("attention", caches.iter().map(|cache| cache.bytes()).sum(), began);
        Ok(result)
    }

    fn choose(
        &self,
        input: IndexInput<'_, B::Operands>,
        indexer: &Indexer,
        rows: &Rows,
        caches: &mut [&mut B::Cache],
    ) -> Result<B::Choice> {
        self.decide(rows);
        let began = Instant::now();
        let choice = self.inner.choose(input, indexer, rows, caches)?;
        // What is chosen may be computed later, with the attention that asks for it.
        self.inner.queue(None, None, caches.iter().map(|cache| Kept::Cache(&**cache)))?;
        self.inner.wait()?;
        self.record("choose", caches.iter().map(|cache| cache.bytes()).sum(), began);
        Ok(choice)
    }

    fn pool(&self, x: &B::Tensor, ratio: usize, rows: &Rows, states: &mut [B::State]) -> Result<Option<B::Tensor>> {
        self.decide(rows);
        let began = Instant::now();
        let pooled = self.inner.pool(x, ratio, rows, states)?;
        self.inner.queue(None, pooled.as_ref(), states.iter().map(Kept::State))?;
        self.inner.wait()?;
        self.record("pool", states.iter().map(State::bytes).sum(), began);
        Ok(pooled)
    }

    fn keep(&self, x: &B::Tensor, rows: &Rows, caches: &mut [&mut B::Cache]) -> Result<()> {
        let began = Instant::now();
        self.inner.keep(x, rows, caches)?;
        self.inner.queue(None, None, caches.iter().map(|cache| Kept::Cache(&**cache)))?;
        self.inner.wait()?;
        self.record("keep", 0, began);
        Ok(())
    }

    fn choose_entries(
        &self,
        input: EntryInput<'_, B::Operands>,
        indexer: &EntryIndexer,
        rows: &Rows,
        caches: &[&B::Cache],
    ) -> Result<EntryChoice<B::Operands>> {
        let began = Instant::now();
        let choice = self.inner.choose_entries(input, indexer, rows, caches)?;
        // What is chosen may be computed later, with the attention that asks for it.
        self.record("choose_entries", caches.iter().map(|cache| cache.bytes()).sum(), began);
        Ok(choice)
    }

    fn attention_shared(
        &self,
        queries: &B::Tensor,
        params: &AttentionParams<'_, B::Operands>,
        rows: &Rows,
        caches: &[&B::Cache],
    ) -> Result<B::Tensor> {
        let bytes = caches.iter().map(|cache| cache.bytes()).sum();
        self.tensor("attention_shared", bytes, |inner| inner.attention_shared(queries, params, rows, caches))
    }

    fn activate(&self, x: &B::Tensor, activation: Activation) -> Result<B::Tensor> {
        self.tensor("activate", 0, |inner| inner.activate(x, activation))
    }

    fn sigmoid_gate(&self, x: &B::Tensor, gate: &B::Tensor) -> Result<B::Tensor> {
        self.tensor("sigmoid_gate", 0, |inner| inner.sigmoid_gate(x, gate))
    }

    fn scale(&self, x: &B::Tensor, factor: f32) -> Result<B::Tensor> {
        self.tensor("scale", 0, |inner| inner.scale(x, factor))
    }

    fn multiply(&self, a: &B::Tensor, b: &B::Tensor) -> Result<B::Tensor> {
        self.tensor("multiply", 0, |inner| inner.multiply(a, b))
    }

    fn scale_columns(&self, x: &B::Tensor, factors: &B::Vector) -> Result<B::Tensor> {
        self.tensor("scale_columns", 0, |inner| inner.scale_columns(x, factors))
    }

    fn add_columns(&self, x: &B::Tensor, numbers: &B::Vector) -> Result<B::Tensor> {
        self.tensor("add_columns", 0, |inner| inner.add_columns(x, numbers))
    }

    fn mix_streams(&self, inputs: &[B::Tensor], coefficients: &B::Tensor, outputs: usize) -> Result<Vec<B::Tensor>> {
        self.tensors("mix_streams", 0, |inner| inner.mix_streams(inputs, coefficients, outputs))
    }

    fn mix_by_query(&self, inputs: &[B::Tensor], query: &B::Vector, epsilon: f32) -> Result<B::Tensor> {
        self.tensor("mix_by_query", 0, |inner| inner.mix_by_query(inputs, query, epsilon))
    }

    fn hyper_mixtures(
        &self,
        streams: &[B::Tensor],
        norm: &B::Norm,
        mixture: &Self::Linear,
        mixing: HyperMixing,
    ) -> Result<B::Tensor> {
        self.tensor("hyper_mixtures", mixture.bytes, |inner| {
            inner.hyper_mixtures(streams, norm, &mixture.linear, mixing)
        })
    }

    fn widen(&self, x: &B::Tensor) -> Result<B::Tensor> {
        self.tensor("widen", 0, |inner| inner.widen(x))
    }

    fn match_magnitude(&self, x: &B::Tensor, like: &B::Tensor) -> Result<B::Tensor> {
        self.tensor("match_magnitude", 0, |inner| inner.match_magnitude(x, like))
    }

    fn softcap(&self, x: &B::Tensor, cap: f32) -> Result<B::Tensor> {
        self.tensor("softcap", 0, |inner| inner.softcap(x, cap))
    }

    fn columns(&self, x: &B::Tensor, columns: Range<usize>) -> Result<B::Tensor> {
        self.tensor("columns", 0, |inner| inner.columns(x, columns))
    }

    fn heads_linear(&self, x: &B::Tensor, heads: &Self::Heads) -> Result<B::Tensor> {
        self.tensor("heads_linear", heads.bytes, |inner| inner.heads_linear(x, &heads.linear))
    }

    fn join_heads(&self, parts: &[HeadPart<'_, B::Operands>], heads: usize) -> Result<B::Tensor> {
        self.tensor("join_heads", 0, |inner| inner.join_heads(parts, heads))
    }

    fn head_columns(&self, x: &B::Tensor, heads: usize, columns: Range<usize>) -> Result<B::Tensor> {
        self.tensor("head_columns", 0, |inner| inner.head_columns(x, heads, columns))
    }

    fn rotate(&self, x: &Self::Tensor, heads: usize, rope: &Self::Rope, rows: &Rows) -> Result<Self::Tensor> {
        self.tensor("rotate", 0, |b| b.rotate(x, heads, rope, rows))
    }

    fn short_conv(&self, bcx: &B::Tensor, conv: &B::Conv, rows: &Rows, states: &mut [B::State]) -> Result<B::Tensor> {
        self.decide(rows);
        self.tensor("short_conv", 0, |inner| inner.short_conv(bcx, conv, rows, states))
    }

    fn convolve(&self, x: &B::Tensor, conv: &B::Conv, rows: &Rows, states: &mut [B::State]) -> Result<B::Tensor> {
        self.decide(rows);
        self.tensor("convolve", 0, |inner| inner.convolve(x, conv, rows, states))
    }

    fn gated_delta(
        &self,
        input: DeltaInput<'_, B::Operands>,
        params: &DeltaParams<'_, B::Operands>,
        rows: &Rows,
        states: &mut [B::State],
    ) -> Result<B::Tensor> {
        self.decide(rows);
        let bytes = states.iter().map(State::bytes).sum();
        self.tensor("gated_delta", bytes, |inner| inner.gated_delta(input, params, rows, states))
    }

    fn state_space(
        &self,
        input: ScanInput<'_, B::Operands>,
        params: &ScanParams<'_, B::Operands>,
        rows: &Rows,
        states: &mut [B::State],
    ) -> Result<B::Tensor> {
        self.decide(rows);
        let bytes = states.iter().map(State::bytes).sum();
        self.tensor("state_space", bytes, |inner| inner.state_space(input, params, rows, states))
    }

    fn recurrence(
        &self,
        x: &B::Tensor,
        gate: &B::Tensor,
        decay: &B::Vector,
        rows: &Rows,
        states: &mut [B::State],
    ) -> Result<B::Tensor> {
        self.decide(rows);
        let bytes = states.iter().map(State::bytes).sum();
        self.tensor("recurrence", bytes, |inner| inner.recurrence(x, gate, decay, rows, states))
    }

    fn token_shift(
        &self,
        x: &B::Tensor,
        shares: &[B::Vector],
        rows: &Rows,
        states: &mut [B::State],
    ) -> Result<Vec<B::Tensor>> {
        self.decide(rows);
        self.tensors("token_shift", 0, |inner| inner.token_shift(x, shares, rows, states))
    }

    fn time_mix(
        &self,
        input: TimeMixInput<'_, B::Operands>,
        params: &TimeMixParams<'_, B::Operands>,
        rows: &Rows,
        states: &mut [B::State],
    ) -> Result<[B::Tensor; 2]> {
        self.decide(rows);
        let bytes = states.iter().map(State::bytes).sum();
        self.tensors("time_mix", bytes, |inner| inner.time_mix(input, params, rows, states))
    }

    fn experts(
        &self,
        x: &B::Tensor,
        logits: &B::Tensor,
        experts: &Self::Experts,
        routing: &RoutingParams<'_, B::Operands>,
    ) -> Result<B::Tensor> {
        // Those of one row: which experts rows have in common only the device knows.
        let bytes = experts.bytes * routing.rule.top_k;
        self.tensor("experts", bytes, |inner| inner.experts(x, logits, &experts.linear, routing))
    }

    fn select_rows(&self, x: &B::Tensor, rows: &[usize]) -> Result<B::Tensor> {
        self.tensor("select_rows", 0, |inner| inner.select_rows(x, rows))
    }

    fn logits(&self, x: &B::Tensor, head: &Self::Linear) -> Result<B::Tensor> {
        self.tensor("logits", head.bytes, |inner| inner.logits(x, &head.linear))
    }

    fn argmax(&self, logits: &B::Tensor) -> Result<B::Tokens> {
        let began = Instant::now();
        let tokens = self.inner.argmax(logits)?;
        self.inner.queue(Some(&tokens), None, empty())?;
        self.inner.wait()?;
        self.record("argmax", 0, began);
        Ok(tokens)
    }

    fn tokens_below(&self, tokens: &B::Tokens, limit: usize) -> Result<B::Tokens> {
        self.inner.tokens_below(tokens, limit)
    }

    fn queue<'a>(
        &self,
        tokens: Option<&B::Tokens>,
        logits: Option<&B::Tensor>,
        kept: impl Iterator<Item = Kept<'a, B::Operands>>,
    ) -> Result<()> {
        self.inner.queue(tokens, logits, kept)
    }

    fn read_tokens(&self, tokens: &B::Tokens) -> Result<Vec<u32>> {
        self.inner.read_tokens(tokens)
    }

    fn read_logits(&self, logits: &B::Tensor, row: usize, out: &mut Vec<f32>) -> Result<()> {
        self.inner.read_logits(logits, row, out)
    }

    fn wait(&self) -> Result<()> {
        self.inner.wait()
    }

    fn trim(&self) {
        self.inner.trim();
    }

    fn memory(&self) -> MemoryUse {
        self.inner.memory()
    }

    fn profile(&self) -> Option<Profile> {
        Some(self.profile.borrow().clone())
    }

    fn norm_linear(&self, x: &B::Tensor, norm: &B::Norm, linear: &Self::Linear) -> Result<B::Tensor> {
        self.tensor("norm_linear", linear.bytes, |inner| inner.norm_linear(x, norm, &linear.linear))
    }

    fn linear_add(&self, x: &B::Tensor, linear: &Self::Linear, residual: &B::Tensor) -> Result<B::Tensor> {
        self.tensor("linear_add", linear.bytes, |inner| inner.linear_add(x, &linear.linear, residual))
    }

    fn gated_mlp(
        &self,
        residual: &B::Tensor,
        norm: &B::Norm,
        gate_up: &Self::Linear,
        down: &Self::Linear,
        activation: Activation,
    ) -> Result<B::Tensor> {
        self.tensor("gated_mlp", gate_up.bytes + down.bytes, |inner| {
            inner.gated_mlp(residual, norm, &gate_up.linear, &down.linear, activation)
        })
    }
}
