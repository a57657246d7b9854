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
    /// Factor of embeddings, usually 1.
    pub embedding_scale: f32,
    /// Learned embeddings of positions, `[context_length, hidden]`, added to those of tokens.
    pub positions: Option<Linear>,
    /// A second embedding, of which each layer takes its part.
    pub per_layer_inputs: Option<PerLayerInputs>,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// The norm before the head.
    pub final_norm: Norm,
    /// The head, `[vocab, hidden]`; the embedding table is used when absent.
    pub head: Option<Linear>,
    /// Whether a checkpoint may lack the head, and then uses the embedding table.
    pub head_optional: bool,
    /// Factor of logits, usually 1.
    pub logit_scale: f32,
    /// Logits become `softcap * tanh(logits / softcap)`, after the scale.
    pub logit_softcap: Option<f32>,
    /// How quantized tensors are stored.
    pub quantization: Option<Quantization>,
    /// Tensors that a checkpoint may hold and that are not needed; a name matches when it contains one of these.
    pub ignored: Vec<String>,
}

/// One layer. With `x` as its input, `m` the mixer, `f` the feed-forward block, and norms where there are any:
///
/// - in sequence: `h = x + scale * post(m(norm(x)))`, then `h + scale * post(f(norm(h)))`;
/// - parallel: `x + m(norm(x)) + f(norm(x))`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// What mixes positions.
    pub mixer: Mixer,
    /// The norm before the mixer.
    pub mixer_norm: Option<Norm>,
    /// The norm after the mixer, before it is added.
    pub mixer_post_norm: Option<Norm>,
    /// The feed-forward block.
    pub ffn: Ffn,
    /// The norm before the feed-forward block. A parallel layer without one uses that of the mixer.
    pub ffn_norm: Option<Norm>,
    /// The norm after the feed-forward block, before it is added.
    pub ffn_post_norm: Option<Norm>,
    /// Whether mixer and feed-forward block both read the layer's input.
    pub parallel: bool,
    /// Factor of what is added to the residual stream, usually 1.
    pub residual_scale: f32,
    /// How the layer takes in its part of [`Spec::per_layer_inputs`].
    pub per_layer_input: Option<PerLayerInput>,
    /// Name of a tensor with one number that the layer's output is multiplied by.
    pub output_scale: Option<String>,
}

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

/// A feed-forward block.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ffn {
    /// The same matrices for every row.
    Dense(Mlp),
    /// Matrices chosen by each row.
    Moe(Box<Moe>),
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

/// A dense feed-forward block: `down(activation(gate(x)) * up(x))` when gated, else `down(activation(up(x)))`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mlp {
    /// Gate and up in this order, as two tensors or one that holds all rows; only up when not gated.
    pub gate_up: Vec<Linear>,
    /// `[hidden, intermediate]`.
    pub down: Linear,
    /// The activation function.
    pub activation: Activation,
    /// Whether there is a gate.
    pub gated: bool,
    /// What the names of the activation's own numbers begin with: `.alpha_p`, `.alpha_n`, `.beta`, `.eps` follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_name: Option<String>,
}

/// A mixture of experts: each row goes through the experts that its router chooses, and their outputs are added by
/// weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moe {
    /// Experts to choose from.
    pub experts: usize,
    /// Logits of the experts, `[experts, hidden]`.
    pub router: Linear,
    /// Norm of what the router sees, where that is not what the experts see.
    pub router_norm: Option<Norm>,
    /// How logits become choices and weights.
    pub routing: Routing,
    /// Norm of what the experts see.
    pub norm: Option<Norm>,
    /// The experts; tensors are stacked, `[experts, outputs, inputs]`.
    pub mlp: Mlp,
    /// Norm of what the experts give.
    pub post_norm: Option<Norm>,
    /// An expert that every row goes through.
    pub shared: Option<SharedExpert>,
}

/// An expert that every row goes through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SharedExpert {
    /// Norm of what it sees.
    pub norm: Option<Norm>,
    /// Its matrices.
    pub mlp: Mlp,
    /// Its output is multiplied by the sigmoid of this product, `[1, hidden]`.
    pub gate: Option<Linear>,
    /// Norm of what it gives.
    pub post_norm: Option<Norm>,
}

/// How a router chooses. Scores are made of logits; the experts with the highest scores (after a correction, within
/// the best groups) are chosen; their scores without the correction are the weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Routing {
    /// Experts of a row.
    pub top_k: usize,
    /// How scores are made.
    pub score: Score,
    /// Name of a tensor, `[experts]`, added to the scores to choose, but not to weigh.
    pub correction: Option<String>,
    /// Only experts of the best groups are chosen.
    pub groups: Option<Groups>,
    /// Whether weights are divided by their sum, and what is added to it.
    pub normalize: Option<f32>,
    /// Factor of all weights.
    pub scale: f32,
    /// Name of a tensor, `[experts]`, of factors.
    pub expert_scale: Option<String>,
}

/// How logits of experts become scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Softmax over all experts.
    Softmax,
    /// The sigmoid of each.
    Sigmoid,
    /// Sparse mixer (Phi 3.5 MoE): one after the other, the softmax over those that are within twice this relative
    /// distance from the best that is left.
    SparseMixer(f32),
}

/// Groups of experts with consecutive numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Groups {
    /// How many groups there are.
    pub count: usize,
    /// How many of them are chosen from.
    pub chosen: usize,
    /// A group is as good as the sum of its best scores, that many of them.
    pub best: usize,
}

/// A second embedding table with a part for each layer (Gemma 3n and 4), added to a projection of the first embedding:
/// `(norm(projection(x) * projection_scale) + table(ids) * table_scale) * scale`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerLayerInputs {
    /// Width of a layer's part.
    pub width: usize,
    /// `[vocab, layers * width]`.
    pub table: Linear,
    /// Factor of the table's rows.
    pub table_scale: f32,
    /// `[layers * width, hidden]`.
    pub projection: Linear,
    /// Factor of the projection.
    pub projection_scale: f32,
    /// Norm of each layer's part of the projection.
    pub norm: Norm,
    /// Factor of the sum.
    pub scale: f32,
}

/// `x + norm(projection(activation(gate(x)) * input))`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerLayerInput {
    /// `[width, hidden]`.
    pub gate: Linear,
    /// Of the gate.
    pub activation: Activation,
    /// `[hidden, width]`.
    pub projection: Linear,
    /// Before it is added.
    pub norm: Norm,
}

/// Activation functions. Where a block is gated, `x` is the gate and `up` the other half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Φ(x)`, with the error function.
    Gelu,
    /// GELU by the approximation with tanh.
    GeluTanh,
    /// `max(x, 0)²`.
    Relu2,
    /// `min(x, limit) * sigmoid(alpha * min(x, limit)) * (clamp(up, ±limit) + 1)` (GPT-OSS). Only gated.
    ClippedSwiglu {
        /// Factor within the sigmoid.
        alpha: f32,
        /// The largest number.
        limit: f32,
    },
    /// xIELU (Huang and Schlag 2024): with `p = softplus(alpha_p)` and `n = beta + softplus(alpha_n)`,
    /// `p * x² + beta * x` where `x > 0`, else `n * (exp(min(x, eps)) - 1 - x) + beta * x`. Never gated. The numbers are
    /// learned: they come from tensors beside the matrices, [`Mlp::activation_name`].
    Xielu {
        /// Curvature above zero, before the softplus.
        alpha_p: f32,
        /// Curvature below zero, before the softplus.
        alpha_n: f32,
        /// Slope at zero.
        beta: f32,
        /// Just below zero.
        eps: f32,
    },
}

/// A matrix of the checkpoint, `[outputs, inputs]`, dense or quantized as the checkpoint has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Linear {
    /// Tensor name without `.weight`, `.scales`, `.biases`, `.bias`.
    pub name: String,
    /// Rows; of one expert, where there are several.
    pub outputs: usize,
    /// Columns.
    pub inputs: usize,
    /// Whether `name.bias`, `[outputs]`, exists.
    pub bias: bool,
    /// Where these rows are in a tensor that holds more: the first of them, and the tensor's rows in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<(usize, usize)>,
    /// How many experts are stacked in the tensor, which is then `[experts, outputs, inputs]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<usize>,
}

/// A norm: with weight, `normalized * (weight + offset) * factor + bias`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Norm {
    /// What is computed.
    pub kind: NormKind,
    /// Names of the tensors of the weight, `[size]` each: none (the weight is 1), one, or one for each head.
    pub weights: Vec<String>,
    /// Name of the tensor of the bias, `[size]`.
    pub bias: Option<String>,
    /// Width that is normalised.
    pub size: usize,
    /// Heads that have weights of their own, in one tensor `[heads, size]` or in one each. 1 when all share one.
    pub heads: usize,
    /// Added under the root.
    pub epsilon: f32,
    /// Added to the weight.
    pub offset: f32,
    /// Factor of the weight.
    pub factor: f32,
}

/// What a norm computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + epsilon)` (Zhang and Sennrich 2019).
    Rms,
    /// `(x - mean) / sqrt(variance + epsilon)` (Ba et al. 2016).
    Layer,
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

/// How quantized tensors are stored.
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
    /// Bits a code.
    pub bits: usize,
    /// Codes that share a scale.
    pub group_size: usize,
    /// What codes mean.
    pub mode: QuantizationMode,
}

/// What codes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantizationMode {
    /// `weight = code * scale + bias` over groups along a row (MLX's own format).
    Affine,
    /// FP4 (E2M1) numbers; groups of 32 share a power of two (OCP microscaling formats 1.0).
    Mxfp4,
    /// FP8 (E4M3) numbers; groups of 32 share a power of two (OCP microscaling formats 1.0).
    Mxfp8,
    /// FP4 (E2M1) numbers; groups of 16 share an FP8 (E4M3) factor (NVIDIA).
    Nvfp4,
}

impl QuantizationMode {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Mxfp4 => "mxfp4",
            Self::Mxfp8 => "mxfp8",
            Self::Nvfp4 => "nvfp4",
        }
    }
}

impl Layer {
    /// Attention, if that is what mixes positions.
    pub fn attention(&self) -> Option<&Attention> {
        match &self.mixer {
            Mixer::Attention(attention) => Some(attention),
            Mixer::ShortConv(_) | Mixer::GatedDelta(_) => None,
        }
    }

    /// Names of the tensors that are neither matrices nor norms.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = String> {
        let mut all: Vec<String> = match &self.mixer {
            Mixer::Attention(attention) => attention.sinks.iter().cloned().collect(),
            Mixer::ShortConv(ShortConv { conv, .. }) => conv.names().cloned().collect(),
            Mixer::GatedDelta(delta) => {
                [&delta.decay, &delta.step].into_iter().chain(delta.conv.names()).cloned().collect()
            }
        };
        match &self.ffn {
            Ffn::Dense(mlp) => all.extend(mlp.activation_numbers()),
            Ffn::Moe(moe) => {
                let vectors = [&moe.routing.correction, &moe.routing.expert_scale];
                all.extend(vectors.into_iter().flatten().cloned());
            }
        }
        all.extend(self.output_scale.clone());
        all.into_iter()
    }
}

impl Conv {
    fn names(&self) -> impl Iterator<Item = &String> {
        [&self.weight].into_iter().chain(&self.bias)
    }
}

impl Mixer {
    pub(crate) fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Attention(attention) => attention.qkv.iter().chain([&attention.output]).collect(),
            Self::ShortConv(conv) => vec![&conv.input, &conv.output],
            Self::GatedDelta(delta) => delta.input.iter().chain([&delta.output]).collect(),
        }
    }

    fn norms(&self) -> Vec<&Norm> {
        match self {
            Self::Attention(attention) => {
                let norms = [&attention.query_norm, &attention.key_norm, &attention.value_norm];
                norms.into_iter().flatten().collect()
            }
            Self::ShortConv(_) => Vec::new(),
            Self::GatedDelta(delta) => vec![&delta.norm],
        }
    }
}

impl GatedDelta {
    /// Channels of the convolution: queries, keys and values.
    pub fn channels(&self) -> usize {
        2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim
    }
}

impl Mlp {
    /// Names of the activation's own numbers, one number each, in the order of its fields.
    pub(crate) fn activation_numbers(&self) -> Vec<String> {
        let parts = |name: &String| ["alpha_p", "alpha_n", "beta", "eps"].map(|part| format!("{name}.{part}"));
        self.activation_name.iter().flat_map(parts).collect()
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.gate_up.iter().chain([&self.down])
    }
}

impl Ffn {
    fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Dense(mlp) => mlp.linears().collect(),
            Self::Moe(moe) => {
                let shared = moe.shared.iter().flat_map(|shared| shared.mlp.linears().chain(&shared.gate));
                [&moe.router].into_iter().chain(moe.mlp.linears()).chain(shared).collect()
            }
        }
    }

    fn norms(&self) -> Vec<&Norm> {
        let Self::Moe(moe) = self else { return Vec::new() };
        let own = [&moe.router_norm, &moe.norm, &moe.post_norm];
        let shared = moe.shared.iter().flat_map(|shared| [&shared.norm, &shared.post_norm]);
        own.into_iter().chain(shared).flatten().collect()
    }
}

impl Spec {
    /// Every matrix, the embedding table and the head included.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let layers = self.layers.iter().flat_map(|layer| {
            let input = layer.per_layer_input.iter().flat_map(|input| [&input.gate, &input.projection]);
            layer.mixer.linears().into_iter().chain(layer.ffn.linears()).chain(input)
        });
        let inputs = self.per_layer_inputs.iter().flat_map(|inputs| [&inputs.table, &inputs.projection]);
        [&self.embedding].into_iter().chain(&self.positions).chain(inputs).chain(layers).chain(&self.head)
    }

    /// Every norm.
    pub(crate) fn norms(&self) -> impl Iterator<Item = &Norm> {
        let layers = self.layers.iter().flat_map(|layer| {
            let own = [&layer.mixer_norm, &layer.mixer_post_norm, &layer.ffn_norm, &layer.ffn_post_norm];
            let input = layer.per_layer_input.iter().map(|input| &input.norm);
            own.into_iter().flatten().chain(layer.mixer.norms()).chain(layer.ffn.norms()).chain(input)
        });
        layers.chain(self.per_layer_inputs.iter().map(|inputs| &inputs.norm)).chain([&self.final_norm])
    }
}

impl QuantizationFormat {
    /// The formats that exist, for messages.
    pub(crate) const KNOWN: &str = "2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128 (affine), mxfp4 and mxfp8 in groups of 32, nvfp4 in groups of 16";

    /// Affine codes.
    pub const fn affine(bits: usize, group_size: usize) -> Self {
        Self { bits, group_size, mode: QuantizationMode::Affine }
    }

    /// Whether there are codes of this width in groups of this size.
    pub(crate) fn is_known(&self) -> bool {
        match self.mode {
            QuantizationMode::Affine => {
                matches!(self.bits, 2 | 3 | 4 | 5 | 6 | 8) && matches!(self.group_size, 32 | 64 | 128)
            }
            QuantizationMode::Mxfp4 => (self.bits, self.group_size) == (4, 32),
            QuantizationMode::Mxfp8 => (self.bits, self.group_size) == (8, 32),
            QuantizationMode::Nvfp4 => (self.bits, self.group_size) == (4, 16),
        }
    }
}

impl Quantization {
    /// The format of a tensor (name without `.weight`), if it may be quantized at all.
    #[cfg(test)]
    pub fn format(&self, name: &str) -> Option<QuantizationFormat> {
        self.overrides.get(name).copied().unwrap_or(self.default)
    }
}
