//! What mixes positions.

use serde::Serialize;

use super::{
    CompressedAttention, Indexer, KvConv, KvRounding, Linear, Norm, Recurrence, Rope, Scan, SecondLook, SparseBlocks,
    StateSpace, TimeMix,
};

/// What mixes positions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixer {
    /// Attention.
    Attention(Attention),
    /// A short convolution (LFM 2).
    ShortConv(ShortConv),
    /// A gated delta net (Yang et al. 2024).
    GatedDelta(GatedDelta),
    /// Attention over compressed keys and values.
    Latent(Box<LatentAttention>),
    /// Attention to a window and to chosen entries.
    Compressed(Box<CompressedAttention>),
    /// A selective state space.
    StateSpace(Box<StateSpace>),
    /// Attention without a softmax.
    Linear(Box<LinearAttention>),
    /// Convolutions of keys and values, gated by queries.
    GatedConv(Box<GatedConv>),
    /// A gated linear recurrence.
    Recurrence(Box<Recurrence>),
    /// RWKV's time mixing.
    TimeMix(Box<TimeMix>),
    /// Nothing: the layer is a feed-forward block alone.
    None,
}

/// Multi-head latent attention (DeepSeek 2): keys and values of a position are made of one short vector, beside a key
/// that is rotated and that all heads share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatentAttention {
    /// Heads.
    pub heads: usize,
    /// Width of the part of a query or key that is rotated.
    pub rotated: usize,
    /// Width of the part that is not.
    pub plain: usize,
    /// Width of a value.
    pub value: usize,
    /// Width of the compressed vector.
    pub latent: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// The query (the rotated parts of all heads, then the others) or what it is made of, the compressed vector, the
    /// rotated key.
    pub input: Vec<Linear>,
    /// How a query is made of its short form; none when the input has it already.
    pub query: Option<LatentQuery>,
    /// Norm of the compressed vector.
    pub latent_norm: Norm,
    /// How the compressed vector becomes keys and values.
    pub expansion: Expansion,
    /// Of the parts that are rotated; they are not when absent.
    pub rope: Option<Rope>,
    /// Queries grow with their position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_growth: Option<QueryGrowth>,
    /// How many numbers `input` gives last whose sigmoids the output is multiplied by: none, one a head, or one for each
    /// number of the output.
    pub gates: usize,
    /// Chooses the positions that are seen. `query` gives its queries, `input` its keys and weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexer: Option<Indexer>,
    /// `[hidden, heads * value]`.
    pub output: Linear,
}

/// A query made of a short form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatentQuery {
    /// Width of the short form.
    pub width: usize,
    /// Norm of it.
    pub norm: Norm,
    /// The rotated parts of all heads, then the others.
    pub linear: Vec<Linear>,
}

/// How compressed vectors become keys and values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expansion {
    /// Not at all: queries are brought into the space of the compressed vectors, and what attention gives is brought out
    /// of it. Only the compressed vectors are kept.
    Absorbed {
        /// `[heads, latent, plain]`, of queries.
        queries: Linear,
        /// `[heads, value, latent]`, of what attention gives.
        values: Linear,
    },
    /// The plain parts of the keys of all heads, then all values; these are kept.
    Full(Vec<Linear>),
}

impl LatentAttention {
    /// Key and value heads, and their width, as they are kept: a rotated part and another, or a longer value.
    pub fn kept(&self) -> (usize, usize) {
        match self.expansion {
            Expansion::Absorbed { .. } => (1, self.rotated + self.latent),
            Expansion::Full(_) => (self.heads, (self.rotated + self.plain).max(self.value)),
        }
    }

    /// Multiplies the output by the sigmoids of what `linear` makes of the input.
    pub(in crate::arch) fn gate(&mut self, linear: Linear) {
        self.gates = linear.outputs;
        self.input.push(linear);
    }
}

/// `output(c * convolution(b * x))`, where `input` gives `b`, `c` and `x` side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShortConv {
    /// `[3 * channels, hidden]`.
    pub input: Linear,
    /// Over the channels.
    pub conv: Conv,
    /// `[hidden, channels]`.
    pub output: Linear,
}

/// A causal convolution along positions, each channel by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conv {
    /// Names of the weight's tensors, which have `channels` together, `[channels, width, 1]`; the last column is that of
    /// the current position.
    pub weights: Vec<String>,
    /// Names of the bias's tensors, which have `channels` together; none without.
    pub biases: Vec<String>,
    /// Channels.
    pub channels: usize,
    /// Positions that count.
    pub width: usize,
}

/// A gated delta net. After a convolution and SiLU, each head keeps a memory `S` (value width × key width):
/// `S ← g S`, `S ← S + β (v - S k) kᵀ`, `y = S q`, with `q` and `k` of unit length (and `q` divided by the root of the
/// key width), `g = exp(-exp(decay) softplus(a + step))`, `β = rate_scale * sigmoid(b)`. What comes out is normed, and multiplied by
/// `silu(z)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GatedDelta {
    /// Heads of queries and keys; divides `value_heads`.
    pub key_heads: usize,
    /// Heads of values.
    pub value_heads: usize,
    /// Width of a query or key.
    pub key_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// Queries, keys, values, `z`, `b`, `a` in this order, in tensors or pieces of them; the short forms of `z` and `a`
    /// where they have some.
    pub input: Vec<Linear>,
    /// How `z` and `a` are made of short forms, if they are.
    pub short_gates: Option<ShortGates>,
    /// Whether there is a `g` for each column of `S`.
    pub decay_by_column: bool,
    /// Whether what comes out is multiplied by the sigmoid of `z` instead of its SiLU.
    pub sigmoid_gate: bool,
    /// With this, `g = exp(lowest * sigmoid(exp(decay) (a + step)))`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_decay: Option<f32>,
    /// Over queries, keys and values.
    pub conv: Conv,
    /// Factor of `β`; above 1 a memory may change its sign.
    pub rate_scale: f32,
    /// Name of a tensor, `[value_heads]`.
    pub decay: String,
    /// Name of a tensor, `[value_heads]`, or `[value_heads * key_dim]` with a `g` for each column.
    pub step: String,
    /// Norm of each head's output.
    pub norm: Norm,
    /// `[hidden, value_heads * value_dim]`.
    pub output: Linear,
}

/// Gates of a delta net that are made of short forms (Kimi Linear): each column of the memory has its own decay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShortGates {
    /// Width of a short form.
    pub rank: usize,
    /// `z`, `[value_heads * value_dim, rank]`; the input has all of it when absent.
    pub gate: Option<Linear>,
    /// `a`, `[value_heads * key_dim, rank]`.
    pub decay: Linear,
}

/// Linear attention whose memory fades (lightning attention, Qin et al. 2024). Each head keeps a memory `S` (width of a
/// value × width of a key): `S ← exp(decay) S + v kᵀ`, `y = S q`. What comes out is normed and multiplied by the sigmoid
/// of a gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinearAttention {
    /// Heads, of queries as of keys and values.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor of queries.
    pub scale: f32,
    /// Queries, keys, values and the gate, in tensors or pieces of them.
    pub input: Vec<Linear>,
    /// Norm of each query head.
    pub query_norm: Option<Norm>,
    /// Norm of each key head.
    pub key_norm: Option<Norm>,
    /// Of queries and keys.
    pub rope: Rope,
    /// The logarithm of what a head keeps from one position to the next, below zero.
    pub decays: Vec<f32>,
    /// Norm of what comes out.
    pub norm: Norm,
    /// `[hidden, heads * head_dim]`.
    pub output: Linear,
}

impl LinearAttention {
    /// The sizes of its scan.
    pub fn scan(&self) -> Scan {
        let Self { heads, head_dim, .. } = *self;
        // Steps are all 1.
        Scan { heads, head_dim, groups: heads, state: head_dim, decay_by_state: false, limits: [1.0, 1.0] }
    }
}

/// A gated convolution (Gear): `output(sigmoid(q * k) * v)`, where keys (normed) and values have gone through a
/// convolution, and query heads share them as in attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GatedConv {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Queries, keys and values.
    pub input: Vec<Linear>,
    /// Norm of each query head.
    pub query_norm: Norm,
    /// Norm of each key head, before the convolution.
    pub key_norm: Norm,
    /// Over keys and values.
    pub conv: Conv,
    /// `[hidden, heads * head_dim]`.
    pub output: Linear,
}

/// Grouped-query attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Whether query head `h` reads key head `h % kv_heads` instead of `h / (heads / kv_heads)`. `qkv` then lists query
    /// heads by the key head that they read.
    pub strided: bool,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of a value, where it is not that of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_dim: Option<usize>,
    /// Factor of values, usually 1.
    pub value_scale: f32,
    /// Factor of the scores, usually `head_dim^-0.5`.
    pub scale: f32,
    /// Queries, keys and values in this order, then the gate if there is one: a tensor each, or one that holds all
    /// rows, or pieces of tensors. Queries (and gate) alone when `shares_kv_of` is set.
    pub qkv: Vec<Linear>,
    /// Queries, keys and values are brought within ± this before anything else happens to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f32>,
    /// A convolution of keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conv: Option<Box<KvConv>>,
    /// Rounding of keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Box<KvRounding>>,
    /// Which blocks of positions are seen; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<SparseBlocks>,
    /// How a layer that runs twice attends the second time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_look: Option<Box<SecondLook>>,
    /// The output projection, `[hidden, heads * head_dim]`.
    pub output: Linear,
    /// Norm of what attention gives, before the gate: of all heads together, or of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_norm: Option<Box<Norm>>,
    /// Norm of queries: over each head, or over all heads together when it is as wide as they are.
    pub query_norm: Option<Norm>,
    /// Norm of keys, likewise.
    pub key_norm: Option<Norm>,
    /// Norm over each value head.
    pub value_norm: Option<Norm>,
    /// Whether queries and keys are normed after they are rotated instead of before.
    pub norm_after_rope: bool,
    /// Rotary position embedding; none when absent.
    pub rope: Option<Rope>,
    /// Each position sees itself and the `window - 1` before it; all when absent.
    pub window: Option<usize>,
    /// No position before the last multiple of this is seen (Llama 4); the window is not wider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk: Option<usize>,
    /// Name of a tensor, `[heads]`, of scores that take a share of the softmax and add nothing (attention sinks).
    pub sinks: Option<String>,
    /// Scores become `softcap * tanh(scores / softcap)`.
    pub softcap: Option<f32>,
    /// Queries grow with their position.
    pub query_growth: Option<QueryGrowth>,
    /// What the output is multiplied by.
    pub gate: Option<Gate>,
    /// The layer whose keys and values this one reads, having none of its own.
    pub shares_kv_of: Option<usize>,
    /// Chooses the positions that are seen. `qkv` gives its queries and keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexer: Option<Box<Indexer>>,
}

/// What the output of attention is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The sigmoid of a gate as wide as the output.
    Sigmoid,
    /// The sigmoid of a number for each head.
    HeadSigmoid,
    /// The softplus of a number for each head.
    HeadSoftplus,
}

/// Queries are multiplied by `1 + beta * ln(1 + floor((position + shift) / original))` (Llama 4).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QueryGrowth {
    /// How much.
    pub beta: f32,
    /// Positions without growth.
    pub original: usize,
    /// What the first position counts as.
    pub shift: usize,
}

impl QueryGrowth {
    /// The factor of a query.
    pub fn factor(&self, position: usize) -> f32 {
        1.0 + self.beta * ((1 + (position + self.shift) / self.original.max(1)) as f32).ln()
    }
}

impl Attention {
    /// Width of queries, keys, values and the gate.
    pub(crate) fn qkv_width(&self) -> usize {
        let all: usize = self.qkv.iter().map(|part| part.outputs).sum();
        all - self.indexer.as_ref().map_or(0, |indexer| indexer.query_width() + indexer.head_dim)
    }
}

impl Conv {
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.weights.iter().chain(&self.biases)
    }
}

impl Mixer {
    /// What chooses the positions that are seen.
    pub(crate) fn indexer(&self) -> Option<&Indexer> {
        match self {
            Self::Attention(attention) => attention.indexer.as_deref(),
            Self::Latent(latent) => latent.indexer.as_ref(),
            _ => None,
        }
    }

    /// Whether a state is kept, instead of keys and values or beside them.
    pub fn is_recurrent(&self) -> bool {
        match self {
            Self::Attention(attention) => attention.conv.is_some(),
            Self::Latent(_) | Self::None => false,
            Self::Compressed(compressed) => compressed.pooled().is_some(),
            Self::ShortConv(_) | Self::GatedDelta(_) | Self::StateSpace(_) => true,
            Self::Linear(_) | Self::GatedConv(_) | Self::Recurrence(_) | Self::TimeMix(_) => true,
        }
    }

    /// Names of the tensors that are neither matrices nor norms.
    pub(super) fn vectors(&self) -> Vec<String> {
        match self {
            Self::Attention(attention) => {
                let conv = attention.conv.iter().flat_map(|conv| [&conv.key, &conv.value]);
                let rounding = attention.rounding.iter().flat_map(|rounding| [&rounding.key, &rounding.value]);
                attention.sinks.iter().chain(conv).chain(rounding).cloned().collect()
            }
            Self::Compressed(compressed) => vec![compressed.sinks.clone()],
            Self::Latent(_) | Self::Linear(_) | Self::None => Vec::new(),
            Self::GatedConv(mixer) => mixer.conv.names().cloned().collect(),
            Self::ShortConv(ShortConv { conv, .. }) => conv.names().cloned().collect(),
            Self::GatedDelta(delta) => {
                [&delta.decay, &delta.step].into_iter().chain(delta.conv.names()).cloned().collect()
            }
            Self::StateSpace(space) => space.vectors(),
            Self::Recurrence(recurrence) => recurrence.vectors(),
            Self::TimeMix(mix) => mix.vectors(),
        }
    }

    pub(crate) fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Attention(attention) => {
                let gate = attention.second_look.iter().map(|look| &look.gate);
                attention.qkv.iter().chain([&attention.output]).chain(gate).collect()
            }
            Self::ShortConv(conv) => vec![&conv.input, &conv.output],
            Self::GatedDelta(delta) => {
                let gates = delta.short_gates.iter().flat_map(|gates| gates.gate.iter().chain([&gates.decay]));
                delta.input.iter().chain(gates).chain([&delta.output]).collect()
            }
            Self::StateSpace(space) => space.linears(),
            Self::Linear(linear) => linear.input.iter().chain([&linear.output]).collect(),
            Self::GatedConv(mixer) => mixer.input.iter().chain([&mixer.output]).collect(),
            Self::Recurrence(mixer) => mixer.input.iter().chain([&mixer.output]).collect(),
            Self::TimeMix(mix) => mix.linears(),
            Self::Compressed(compressed) => compressed.linears(),
            Self::None => Vec::new(),
            Self::Latent(latent) => {
                let query = latent.query.iter().flat_map(|query| &query.linear);
                let expansion: Vec<&Linear> = match &latent.expansion {
                    Expansion::Absorbed { queries, values } => vec![queries, values],
                    Expansion::Full(parts) => parts.iter().collect(),
                };
                latent.input.iter().chain(query).chain(expansion).chain([&latent.output]).collect()
            }
        }
    }

    pub(super) fn norms(&self) -> Vec<&Norm> {
        match self {
            Self::Attention(attention) => {
                let norms = [&attention.query_norm, &attention.key_norm, &attention.value_norm];
                let indexer = attention.indexer.iter().flat_map(|indexer| indexer.norms());
                norms.into_iter().flatten().chain(attention.output_norm.as_deref()).chain(indexer).collect()
            }
            Self::ShortConv(_) | Self::Recurrence(_) | Self::None => Vec::new(),
            Self::Compressed(compressed) => compressed.norms(),
            Self::GatedDelta(delta) => vec![&delta.norm],
            Self::TimeMix(mix) => vec![&mix.norm],
            Self::StateSpace(space) => space.norms(),
            Self::Linear(linear) => {
                [&linear.query_norm, &linear.key_norm].into_iter().flatten().chain([&linear.norm]).collect()
            }
            Self::GatedConv(mixer) => vec![&mixer.query_norm, &mixer.key_norm],
            Self::Latent(latent) => {
                let own = latent.query.iter().map(|query| &query.norm).chain([&latent.latent_norm]);
                own.chain(latent.indexer.iter().flat_map(Indexer::norms)).collect()
            }
        }
    }
}

impl GatedDelta {
    /// Channels of the convolution: queries, keys and values.
    pub fn channels(&self) -> usize {
        2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim
    }

    /// Numbers of `a` in a row.
    pub fn decays(&self) -> usize {
        self.value_heads * if self.decay_by_column { self.key_dim } else { 1 }
    }
}
