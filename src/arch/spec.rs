//! All that `nn` needs to know of a model to run it, without any tensor. A family file makes one from `config.json`.

use serde::Serialize;

/// A decoder-only language model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spec {
    /// `model_type` of the checkpoint.
    pub model_type: String,
    /// Rows of the embedding and of the head.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Token ids that end an answer, as config.json names them.
    pub eos_ids: Vec<u32>,
    /// The embedding table, `[vocab, hidden]`.
    pub embedding: Linear,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// The norm before the head.
    pub final_norm: Norm,
    /// The head, `[vocab, hidden]`; the embedding table is used when absent.
    pub head: Option<Linear>,
    /// How quantized tensors are stored.
    pub quantization: Option<Quantization>,
    /// Tensors that a checkpoint may hold and that are not needed; a name matches when it ends with one of these.
    pub ignored: Vec<String>,
}

/// One layer: `x + attention(norm(x))`, then `x + mlp(norm(x))` (pre-norm).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// The norm before attention.
    pub attention_norm: Norm,
    /// Attention.
    pub attention: Attention,
    /// The norm before the MLP.
    pub mlp_norm: Norm,
    /// The MLP.
    pub mlp: Mlp,
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
    /// Queries, keys and values in this order: three tensors, or one that holds all rows.
    pub qkv: Vec<Linear>,
    /// The output projection, `[hidden, heads * head_dim]`.
    pub output: Linear,
    /// Norm over each query head, before rope.
    pub query_norm: Option<Norm>,
    /// Norm over each key head, before rope.
    pub key_norm: Option<Norm>,
    /// Rotary position embedding; none when absent.
    pub rope: Option<Rope>,
    /// Each position sees itself and the `window - 1` before it; all when absent.
    pub window: Option<usize>,
}

/// Gated MLP: `down(activation(gate(x)) * up(x))`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mlp {
    /// Gate and up in this order: two tensors, or one that holds all rows.
    pub gate_up: Vec<Linear>,
    /// `[hidden, intermediate]`.
    pub down: Linear,
    /// Applied to the gate.
    pub activation: Activation,
}

/// Activation functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
}

/// A matrix of the checkpoint, `[outputs, inputs]`, dense or quantized as the checkpoint has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Linear {
    /// Tensor name without `.weight`, `.scales`, `.biases`, `.bias`.
    pub name: String,
    /// Rows.
    pub outputs: usize,
    /// Columns.
    pub inputs: usize,
    /// Whether `name.bias`, `[outputs]`, exists.
    pub bias: bool,
}

/// Root-mean-square norm (Zhang and Sennrich 2019): `x / sqrt(mean(x²) + epsilon) * weight`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Norm {
    /// Tensor name without `.weight`; the weight is `[size]`.
    pub name: String,
    /// Width that is normalised.
    pub size: usize,
    /// Added under the root.
    pub epsilon: f32,
}

/// Rotary position embedding (Su et al. 2021). Dimension pair `i` of the first `dims` turns by
/// `position * inverse_frequencies[i]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rope {
    /// Rotated dimensions of each head; the rest passes through.
    pub dims: usize,
    /// Pairs are `(2i, 2i+1)` when true, `(i, i + dims/2)` when false.
    pub traditional: bool,
    /// Radians per position, `dims / 2` of them. All scaling (linear, llama3, yarn, longrope) is folded in.
    pub inverse_frequencies: Vec<f32>,
    /// Factor of the rotated dimensions of queries and keys (yarn's and longrope's attention factor), usually 1.
    pub magnitude: f32,
}

/// Affine quantization: `weight = code * scale + bias` over groups along a row (MLX's format).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quantization {
    /// For all layers that `overrides` doesn't name.
    pub default: Option<QuantizationFormat>,
    /// By tensor name without `.weight`; `None` means stored dense.
    pub overrides: std::collections::BTreeMap<String, Option<QuantizationFormat>>,
}

/// How codes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuantizationFormat {
    /// Bits a code: 2, 3, 4, 5, 6 or 8.
    pub bits: usize,
    /// Codes that share a scale and bias: 32, 64 or 128.
    pub group_size: usize,
}

impl Spec {
    /// Every matrix, the embedding table and the head included.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let layers = self.layers.iter().flat_map(|Layer { attention, mlp, .. }| {
            attention.qkv.iter().chain([&attention.output]).chain(&mlp.gate_up).chain([&mlp.down])
        });
        [&self.embedding].into_iter().chain(layers).chain(&self.head)
    }

    /// Every norm.
    pub(crate) fn norms(&self) -> impl Iterator<Item = &Norm> {
        let layers = self.layers.iter().flat_map(|Layer { attention_norm, attention, mlp_norm, .. }| {
            [attention_norm, mlp_norm].into_iter().chain(&attention.query_norm).chain(&attention.key_norm)
        });
        layers.chain([&self.final_norm])
    }
}

impl QuantizationFormat {
    /// The formats that exist, for messages.
    pub(crate) const KNOWN: &str = "2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128";

    /// Whether there are codes of this width in groups of this size.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.bits, 2 | 3 | 4 | 5 | 6 | 8) && matches!(self.group_size, 32 | 64 | 128)
    }
}

impl Quantization {
    /// The format of a tensor (name without `.weight`), if it may be quantized at all.
    #[cfg(test)]
    pub fn format(&self, name: &str) -> Option<QuantizationFormat> {
        self.overrides.get(name).copied().unwrap_or(self.default)
    }
}
