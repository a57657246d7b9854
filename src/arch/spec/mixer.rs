//! What mixes positions.

use serde::Serialize;

use super::{Linear, Norm, Rope, StateSpace};

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
    /// A selective state space.
    StateSpace(Box<StateSpace>),
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
    /// Name of the bias's tensor, `[channels]`.
    pub bias: Option<String>,
    /// Channels.
    pub channels: usize,
    /// Positions that count.
    pub width: usize,
}

/// A gated delta net. After a convolution and SiLU, each head keeps a memory `S` (value width × key width):
/// `S ← g S`, `S ← S + β (v - S k) kᵀ`, `y = S q`, with `q` and `k` of unit length (and `q` divided by the root of the
/// key width), `g = exp(-exp(decay) softplus(a + step))`, `β = sigmoid(b)`. What comes out is normed, and multiplied by
/// `silu(z)`; with [`ShortGates`] there is a `g` for each column of `S`, and the sigmoid of `z` counts.
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
    /// Over queries, keys and values.
    pub conv: Conv,
    /// Name of a tensor, `[value_heads]`.
    pub decay: String,
    /// Name of a tensor, `[value_heads]`, or `[value_heads * key_dim]` with short gates.
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
    /// `z`, `[value_heads * value_dim, rank]`.
    pub gate: Linear,
    /// `a`, `[value_heads * key_dim, rank]`.
    pub decay: Linear,
}

/// Grouped-query attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor of the scores, usually `head_dim^-0.5`.
    pub scale: f32,
    /// Queries, keys and values in this order, then the gate if there is one: a tensor each, or one that holds all
    /// rows, or pieces of tensors. Queries (and gate) alone when `shares_kv_of` is set.
    pub qkv: Vec<Linear>,
    /// The output projection, `[hidden, heads * head_dim]`.
    pub output: Linear,
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
    /// Name of a tensor, `[heads]`, of scores that take a share of the softmax and add nothing (attention sinks).
    pub sinks: Option<String>,
    /// Scores become `softcap * tanh(scores / softcap)`.
    pub softcap: Option<f32>,
    /// Queries grow with their position.
    pub query_growth: Option<QueryGrowth>,
    /// The output is multiplied by the sigmoid of a gate, `heads * head_dim` wide.
    pub gated: bool,
    /// The layer whose keys and values this one reads, having none of its own.
    pub shares_kv_of: Option<usize>,
}

/// Queries are multiplied by `1 + beta * ln(1 + floor(position / original))` (Llama 4).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QueryGrowth {
    /// How much.
    pub beta: f32,
    /// Positions without growth.
    pub original: usize,
}

impl QueryGrowth {
    /// The factor of a query.
    pub fn factor(&self, position: usize) -> f32 {
        1.0 + self.beta * ((1 + position / self.original.max(1)) as f32).ln()
    }
}

impl Conv {
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.weights.iter().chain(&self.bias)
    }
}

impl Mixer {
    /// Whether a state is kept instead of keys and values.
    pub fn is_recurrent(&self) -> bool {
        matches!(self, Self::ShortConv(_) | Self::GatedDelta(_) | Self::StateSpace(_))
    }

    /// Names of the tensors that are neither matrices nor norms.
    pub(super) fn vectors(&self) -> Vec<String> {
        match self {
            Self::Attention(attention) => attention.sinks.iter().cloned().collect(),
            Self::Latent(_) | Self::None => Vec::new(),
            Self::ShortConv(ShortConv { conv, .. }) => conv.names().cloned().collect(),
            Self::GatedDelta(delta) => {
                [&delta.decay, &delta.step].into_iter().chain(delta.conv.names()).cloned().collect()
            }
            Self::StateSpace(space) => space.vectors(),
        }
    }

    pub(crate) fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Attention(attention) => attention.qkv.iter().chain([&attention.output]).collect(),
            Self::ShortConv(conv) => vec![&conv.input, &conv.output],
            Self::GatedDelta(delta) => {
                let gates = delta.short_gates.iter().flat_map(|gates| [&gates.gate, &gates.decay]);
                delta.input.iter().chain(gates).chain([&delta.output]).collect()
            }
            Self::StateSpace(space) => space.linears(),
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
                norms.into_iter().flatten().collect()
            }
            Self::ShortConv(_) | Self::None => Vec::new(),
            Self::GatedDelta(delta) => vec![&delta.norm],
            Self::StateSpace(space) => space.norms(),
            Self::Latent(latent) => latent.query.iter().map(|query| &query.norm).chain([&latent.latent_norm]).collect(),
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
        self.value_heads * if self.short_gates.is_some() { self.key_dim } else { 1 }
    }
}
