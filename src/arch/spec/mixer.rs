//! What mixes positions.

use serde::Serialize;

use super::{Linear, Norm, Rope};

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
    /// Of the rotated parts.
    pub rope: Rope,
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
    /// Name of the weight's tensor, `[channels, width, 1]`; the last column is that of the current position.
    pub weight: String,
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
    /// Queries, keys, values, `z`, `b`, `a` in this order, in tensors or pieces of them.
    pub input: Vec<Linear>,
    /// Over queries, keys and values.
    pub conv: Conv,
    /// Name of a tensor, `[value_heads]`.
    pub decay: String,
    /// Name of a tensor, `[value_heads]`.
    pub step: String,
    /// Norm of each head's output.
    pub norm: Norm,
    /// `[hidden, value_heads * value_dim]`.
    pub output: Linear,
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
        [&self.weight].into_iter().chain(&self.bias)
    }
}

impl Mixer {
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Attention(attention) => attention.qkv.iter().chain([&attention.output]).collect(),
            Self::ShortConv(conv) => vec![&conv.input, &conv.output],
            Self::GatedDelta(delta) => delta.input.iter().chain([&delta.output]).collect(),
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
            Self::ShortConv(_) => Vec::new(),
            Self::GatedDelta(delta) => vec![&delta.norm],
            Self::Latent(latent) => latent.query.iter().map(|query| &query.norm).chain([&latent.latent_norm]).collect(),
        }
    }
}

impl GatedDelta {
    /// Channels of the convolution: queries, keys and values.
    pub fn channels(&self) -> usize {
        2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim
    }
}
