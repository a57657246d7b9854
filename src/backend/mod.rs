//! The seam between the models, written once in `nn`, and what computes them.
//!
//! A backend lives on the engine's worker thread and never leaves it. Its operations are coarse, so that each can be
//! one fused kernel; those with a default body are compositions that a backend overrides where it can do better.
//! All activations are matrices of `rows × width`, where the rows are the tokens of several sequences, one after the
//! other ([`Rows`]). A backend may compute lazily: errors then surface at [`Backend::read_tokens`],
//! [`Backend::read_logits`] or [`Backend::wait`].

use std::ops::Range;

use crate::arch::spec::{Activation, EntryIndexer, HyperMixing, Indexer, Rope};
use crate::error::Result;
use crate::weights::{LinearData, NormData};

pub(crate) mod cpu;
#[cfg(feature = "mlx")]
pub(crate) mod mlx;
mod operands;
mod precision;
pub(crate) mod profile;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use operands::*;
pub use precision::{KvBits, Precision};
pub(crate) use rows::{Rows, Segment};

/// What a cache of one layer and sequence holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CacheLayout {
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions that later ones can still see; all when absent.
    pub window: Option<usize>,
    /// Whether these are the keys of an indexer: numbers, whatever the others are stored as, and no values.
    pub index: bool,
}

/// Keys and values of one layer and sequence.
///
/// With a window, positions that no later one can see are dropped, at the start of the next append and never
/// during it, so that an append can always be taken back.
pub(crate) trait Cache {
    /// Positions appended, dropped ones included.
    fn len(&self) -> usize;

    /// Whether [`truncate`](Self::truncate) to `len` positions leaves all that position `len` needs to see.
    fn can_truncate(&self, len: usize) -> bool;

    /// Forgets all positions from `len` on. Callers check [`can_truncate`](Self::can_truncate) first.
    fn truncate(&mut self, len: usize);

    /// A second cache with the same content; memory is shared until one of them changes.
    fn fork(&self) -> Self;

    /// Bytes held, shared ones counted in each of the caches that share them.
    fn bytes(&self) -> usize;
}

/// What a recurrent layer keeps of a sequence. It is never changed: a step makes a new one. The default is that of an
/// empty sequence.
pub(crate) trait State: Clone + Default {
    /// Bytes held.
    fn bytes(&self) -> usize;
}

/// What outlives a step.
#[cfg_attr(not(feature = "mlx"), allow(dead_code, reason = "the CPU computes at once"))]
pub(crate) enum Kept<'a, B: Backend> {
    /// Keys and values.
    Cache(&'a B::Cache),
    /// The state of a recurrent layer.
    State(&'a B::State),
}

/// Bytes that a backend holds right now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MemoryUse {
    /// Weights, caches and activations in use.
    pub active: usize,
    /// The most that was in use at one time.
    pub peak: usize,
    /// Freed and kept for later.
    pub cached: usize,
}

/// The operations of a model.
pub(crate) trait Backend: Sized + 'static {
    /// Whether picked tokens are computed behind the host's back, so that the next step should be queued before they
    /// are read.
    const PIPELINED: bool;

    /// Whether a row's result is the same, bit for bit, however many rows are computed with it.
    const BATCH_INVARIANT: bool;

    /// The backend whose operands operations take: this one, or the one that it measures.
    type Operands: Backend<
            Tensor = Self::Tensor,
            Norm = Self::Norm,
            Vector = Self::Vector,
            Rope = Self::Rope,
            Cache = Self::Cache,
            Choice = Self::Choice,
            State = Self::State,
            Tokens = Self::Tokens,
        >;
    /// A matrix of activations; cheap to clone.
    type Tensor: Clone;
    /// A loaded matrix, dense or quantized, with its optional bias; may consist of several tensors stacked by rows.
    type Linear;
    /// A loaded norm.
    type Norm;
    /// A loaded vector of f32 numbers.
    type Vector;
    /// Loaded experts.
    type Experts;
    /// Prepared rotary frequencies.
    type Rope;
    /// Keys and values of one layer and sequence.
    type Cache: Cache;
    /// The positions that each row sees.
    type Choice;
    /// Loaded matrices, one for each head.
    type Heads;
    /// What a recurrent layer keeps of a sequence.
    type State: State;
    /// A loaded convolution.
    type Conv;
    /// Token ids picked by the device, possibly not computed yet.
    type Tokens: Clone;

    /// Takes over matrices whose outputs are concatenated in order (one for most, q, k, v or gate, up when fused).
    /// All have the same inputs.
    fn load_linear(&self, parts: &[LinearData]) -> Result<Self::Linear>;

    /// Takes over a norm's numbers.
    fn load_norm(&self, norm: &NormData) -> Result<Self::Norm>;

    /// Takes over numbers.
    fn load_vector(&self, numbers: Vec<f32>) -> Result<Self::Vector>;

    /// Takes over a matrix for each head, with the rows of all heads, one head after the other.
    fn load_heads(&self, matrices: &LinearData, heads: usize) -> Result<Self::Heads>;

    /// Takes over a convolution.
    fn load_conv(&self, conv: ConvData) -> Result<Self::Conv>;

    /// Takes over the matrices of experts.
    fn load_experts(&self, experts: &ExpertsData) -> Result<Self::Experts>;

    /// Prepares rotary frequencies.
    fn load_rope(&self, rope: &Rope) -> Result<Self::Rope>;

    /// An empty cache. Allocates on append.
    fn new_cache(&self, layout: CacheLayout) -> Self::Cache;

    /// Bytes that a cache of `len` positions takes.
    fn cache_bytes(&self, layout: CacheLayout, len: usize) -> usize;

    /// Rows of the embedding table.
    fn embed(&self, table: &Self::Linear, ids: Ids<'_, Self::Operands>) -> Result<Self::Tensor>;

    /// The norm of each row, or of each piece of it when it is a multiple of the norm's size.
    fn norm(&self, x: &Self::Tensor, norm: &Self::Norm) -> Result<Self::Tensor>;

    /// `x · Wᵀ + bias`.
    fn linear(&self, x: &Self::Tensor, linear: &Self::Linear) -> Result<Self::Tensor>;

    /// `a + b`.
    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor>;

    /// `activation(gate) * up` for rows that hold gate and up side by side.
    fn gate(&self, gate_up: &Self::Tensor, activation: Activation) -> Result<Self::Tensor>;

    /// `activation(x)`, for activations that need no gate.
    fn activate(&self, x: &Self::Tensor, activation: Activation) -> Result<Self::Tensor>;

    /// `x * sigmoid(gate)`; the gate is as wide as `x`, or has a number for each of equal parts of a row.
    fn sigmoid_gate(&self, x: &Self::Tensor, gate: &Self::Tensor) -> Result<Self::Tensor>;

    /// The same numbers in f32, whatever format activations have.
    fn widen(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `x * factor`.
    fn scale(&self, x: &Self::Tensor, factor: f32) -> Result<Self::Tensor>;

    /// `a * b`, number by number; `b` may have a number for each of equal parts of a row of `a`.
    fn multiply(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor>;

    /// Each column times its number.
    fn scale_columns(&self, x: &Self::Tensor, factors: &Self::Vector) -> Result<Self::Tensor>;

    /// Each column plus its number.
    fn add_columns(&self, x: &Self::Tensor, numbers: &Self::Vector) -> Result<Self::Tensor>;

    /// For each of `outputs` the sum of `inputs` with factors of the row's own: `coefficients` has `outputs` times as
    /// many as there are inputs, the first output's first.
    fn mix_streams(
        &self,
        inputs: &[Self::Tensor],
        coefficients: &Self::Tensor,
        outputs: usize,
    ) -> Result<Vec<Self::Tensor>>;

    /// The sum of `inputs`, of which there is one at least, weighed row by row by a softmax over them: an input's score is
    /// `query · x / sqrt(mean(x²) + epsilon)`.
    fn mix_by_query(&self, inputs: &[Self::Tensor], query: &Self::Vector, epsilon: f32) -> Result<Self::Tensor>;

    /// The mixtures of a hyper-connection ([`HyperConnection`](crate::arch::spec::HyperConnection)): for each row `pre`, then
    /// for each stream its factors of all streams and of the block's output. All is computed in f32.
    fn hyper_mixtures(
        &self,
        streams: &[Self::Tensor],
        norm: &Self::Norm,
        mixture: &Self::Linear,
        mixing: HyperMixing,
    ) -> Result<Self::Tensor>;

    /// `x` made as large as `like`, row by row, by their root mean squares.
    fn match_magnitude(&self, x: &Self::Tensor, like: &Self::Tensor) -> Result<Self::Tensor>;

    /// `cap * tanh(x / cap)`.
    fn softcap(&self, x: &Self::Tensor, cap: f32) -> Result<Self::Tensor>;

    /// Some columns.
    fn columns(&self, x: &Self::Tensor, columns: Range<usize>) -> Result<Self::Tensor>;

    /// Each head's part of a row through a matrix of its own: `rows × (heads * inputs)` gives
    /// `rows × (heads * outputs)`.
    fn heads_linear(&self, x: &Self::Tensor, heads: &Self::Heads) -> Result<Self::Tensor>;

    /// For each head, the parts of that head side by side.
    fn join_heads(&self, parts: &[HeadPart<'_, Self::Operands>], heads: usize) -> Result<Self::Tensor>;

    /// For each head, some columns of its part.
    fn head_columns(&self, x: &Self::Tensor, heads: usize, columns: Range<usize>) -> Result<Self::Tensor>;

    /// The rotary embedding of heads that lie side by side in rows.
    fn rotate(&self, x: &Self::Tensor, heads: usize, rope: &Self::Rope, rows: &Rows) -> Result<Self::Tensor>;

    /// `c * convolution(b * x)` for rows that hold `b`, `c` and `x` side by side. There is a state for each segment of
    /// `rows`, replaced by the one after its rows.
    fn short_conv(
        &self,
        bcx: &Self::Tensor,
        conv: &Self::Conv,
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<Self::Tensor>;

    /// A convolution alone. It uses and replaces its own part of the states, as the two operations below do with theirs.
    fn convolve(
        &self,
        x: &Self::Tensor,
        conv: &Self::Conv,
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<Self::Tensor>;

    /// The memory of a gated delta net ([`GatedDelta`](crate::arch::spec::GatedDelta)): `y` of all heads, before norm and
    /// gate.
    fn gated_delta(
        &self,
        input: DeltaInput<'_, Self::Operands>,
        params: &DeltaParams<'_, Self::Operands>,
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<Self::Tensor>;

    /// The states of a state space ([`StateSpace`](crate::arch::spec::StateSpace)): `y` of all heads, before norm and
    /// gate.
    fn state_space(
        &self,
        input: ScanInput<'_, Self::Operands>,
        params: &ScanParams<'_, Self::Operands>,
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<Self::Tensor>;

    /// `h ← a h + sqrt(1 - a²) x` with `a = exp(decay * sigmoid(gate))`, a number `h` for each column; the first position
    /// of a sequence is taken as it is. Decays are below zero. See [`Recurrence`](crate::arch::spec::Recurrence).
    fn recurrence(
        &self,
        x: &Self::Tensor,
        gate: &Self::Tensor,
        decay: &Self::Vector,
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<Self::Tensor>;

    /// For each of `shares`, which are as wide as `x`, `x + share * (before - x)` with the row of the position before. It
    /// uses and replaces the part of the states that a convolution of width 2 has.
    fn token_shift(
        &self,
        x: &Self::Tensor,
        shares: &[Self::Vector],
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<Vec<Self::Tensor>>;

    /// The memory of RWKV's time mixing ([`TimeMix`](crate::arch::spec::TimeMix)): `y` of all heads before the norm, and
    /// what is added behind it, `(r · k · bonus) v`.
    fn time_mix(
        &self,
        input: TimeMixInput<'_, Self::Operands>,
        params: &TimeMixParams<'_, Self::Operands>,
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<[Self::Tensor; 2]>;

    /// Sends each row through the experts that `logits` (`rows × experts`) choose, and adds up what they give by
    /// weight. A row's result never depends on other rows.
    fn experts(
        &self,
        x: &Self::Tensor,
        logits: &Self::Tensor,
        experts: &Self::Experts,
        routing: &RoutingParams<'_, Self::Operands>,
    ) -> Result<Self::Tensor>;

    /// For each `ratio` positions of a sequence that are complete with its rows the sum of their numbers, weighed column
    /// by column by the softmax of their gates; rows of `x` hold both side by side. What waits for more is kept in the
    /// states. Gives the sums of all segments in their order, or nothing where there are none.
    fn pool(
        &self,
        x: &Self::Tensor,
        ratio: usize,
        rows: &Rows,
        states: &mut [Self::State],
    ) -> Result<Option<Self::Tensor>>;

    /// Appends rows to caches of one key head, as keys and as values where they have some.
    fn keep(&self, x: &Self::Tensor, rows: &Rows, caches: &mut [&mut Self::Cache]) -> Result<()>;

    /// Chooses the entries that each row sees, the earlier of equals where the backend can tell, by the keys of an indexer
    /// (a cache for each segment of `rows`, in order). A row's choice never depends on other segments.
    fn choose_entries(
        &self,
        input: EntryInput<'_, Self::Operands>,
        indexer: &EntryIndexer,
        rows: &Rows,
        caches: &[&Self::Cache],
    ) -> Result<EntryChoice<Self::Operands>>;

    /// Appends keys to the caches of an indexer (one for each segment of `rows`, in order) and chooses the positions that
    /// each row sees, the earlier of equals where the backend can tell. A row's choice never depends on other segments.
    fn choose(
        &self,
        input: IndexInput<'_, Self::Operands>,
        indexer: &Indexer,
        rows: &Rows,
        caches: &mut [&mut Self::Cache],
    ) -> Result<Self::Choice>;

    /// [`attention`](Self::attention) of queries alone, `rows × (heads * head_dim)`, over what the caches of another
    /// layer hold, the positions of these rows included.
    fn attention_shared(
        &self,
        queries: &Self::Tensor,
        params: &AttentionParams<'_, Self::Operands>,
        rows: &Rows,
        caches: &[&Self::Cache],
    ) -> Result<Self::Tensor>;

    /// Norms and rotates queries and keys, appends keys and values to the caches (one for each segment of `rows`, in
    /// order) and attends causally. Gives `rows × (heads * head_dim)`. A row's result never depends on other segments.
    fn attention(
        &self,
        qkv: &Self::Tensor,
        params: &AttentionParams<'_, Self::Operands>,
        rows: &Rows,
        caches: &mut [&mut Self::Cache],
    ) -> Result<Self::Tensor>;

    /// The given rows, in the given order.
    fn select_rows(&self, x: &Self::Tensor, rows: &[usize]) -> Result<Self::Tensor>;

    /// `x · Wᵀ` in f32 as `rows × vocab`.
    fn logits(&self, x: &Self::Tensor, head: &Self::Linear) -> Result<Self::Tensor>;

    /// The most likely id of each row of logits, the lowest id of equals.
    fn argmax(&self, logits: &Self::Tensor) -> Result<Self::Tokens>;

    /// The same ids, but 0 for those that are not below `limit`.
    fn tokens_below(&self, tokens: &Self::Tokens, limit: usize) -> Result<Self::Tokens>;

    /// Told after each layer but the last one of a step what it leaves to the next one and what it keeps, and what the
    /// layer before it left. A backend that computes later may begin with it and wait for the layer before, so that a
    /// long slice's intermediate results are those of two layers, not of all.
    fn layer_done<'a>(
        &self,
        left: &[&Self::Tensor],
        kept: impl Iterator<Item = Kept<'a, Self::Operands>>,
        before: Option<&Self::Tensor>,
    ) -> Result<()> {
        let _ = (left, kept, before);
        Ok(())
    }

    /// Starts computing the given results and everything that outlives the step, without waiting for it.
    fn queue<'a>(
        &self,
        tokens: Option<&Self::Tokens>,
        logits: Option<&Self::Tensor>,
        kept: impl Iterator<Item = Kept<'a, Self::Operands>>,
    ) -> Result<()>;

    /// Waits for the ids.
    fn read_tokens(&self, tokens: &Self::Tokens) -> Result<Vec<u32>>;

    /// Waits for the logits of one row and appends them to `out`.
    fn read_logits(&self, logits: &Self::Tensor, row: usize, out: &mut Vec<f32>) -> Result<()>;

    /// Waits until nothing is queued or computing.
    fn wait(&self) -> Result<()>;

    /// Gives memory kept for later back to the system.
    fn trim(&self);

    /// Bytes held.
    fn memory(&self) -> MemoryUse;

    /// What the operations took, where that is measured.
    fn profile(&self) -> Option<profile::Profile> {
        None
    }

    /// `norm`, then `linear`.
    fn norm_linear(&self, x: &Self::Tensor, norm: &Self::Norm, linear: &Self::Linear) -> Result<Self::Tensor> {
        self.linear(&self.norm(x, norm)?, linear)
    }

    /// `residual + linear(x)`.
    fn linear_add(&self, x: &Self::Tensor, linear: &Self::Linear, residual: &Self::Tensor) -> Result<Self::Tensor> {
        self.add(residual, &self.linear(x, linear)?)
    }

    /// `residual + down(activation(gate(n)) * up(n))` with `n = norm(residual)`.
    fn gated_mlp(
        &self,
        residual: &Self::Tensor,
        norm: &Self::Norm,
        gate_up: &Self::Linear,
        down: &Self::Linear,
        activation: Activation,
    ) -> Result<Self::Tensor> {
        let gated = self.gate(&self.norm_linear(residual, norm, gate_up)?, activation)?;
        self.linear_add(&gated, down, residual)
    }
}
