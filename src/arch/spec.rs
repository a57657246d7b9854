//! All that `nn` needs to know of a model to run it, without any tensor. A family file makes one from `config.json`.

mod altup;
mod attention_parts;
mod compressed;
mod experts;
mod hyper;
mod indexer;
mod mixer;
mod ngrams;
mod quantization;
pub(crate) mod recorded;
mod recurrence;
mod residuals;
mod state_space;
pub(crate) mod time_mix;

use serde::Serialize;

pub use altup::{AltUp, Laurel, Streams};
pub use attention_parts::{KvConv, KvRounding, SecondLook, SparseBlocks};
pub use compressed::{Candidates, CompressedAttention, Compressor, EntryIndexer, EntryKeys, FarEntries};
pub use experts::{Groups, Moe, Narrowing, Routing, Score, SharedExpert};
pub use hyper::{HyperConnection, HyperMixing};
pub use indexer::{Choice, Indexer};
pub use mixer::{
    Attention, Conv, Expansion, Gate, GatedConv, GatedDelta, LatentAttention, LatentQuery, LinearAttention, Mixer,
    QueryGrowth, ShortConv, ShortGates,
};
pub use ngrams::{NgramTable, Ngrams};
pub use quantization::{Quantization, QuantizationFormat, QuantizationMode};
pub use recurrence::{HeadGate, Recurrence};
pub use residuals::{ResidualAttention, ResidualQuery};
pub use state_space::{InnerSelection, Scan, Selection, StateSpace};
pub use time_mix::{ChannelMix, LowRank, Shifts, TimeMix};

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
    /// Norm of embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_norm: Option<Norm>,
    /// Learned embeddings of positions, `[context_length, hidden]`, added to those of tokens.
    pub positions: Option<Linear>,
    /// A second embedding, of which each layer takes its part.
    pub per_layer_inputs: Option<PerLayerInputs>,
    /// Embeddings of the last few tokens together, averaged with that of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ngrams: Option<Ngrams>,
    /// Several residual streams instead of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
    /// Of what the head reads, where layers attend to residual streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual_query: Option<ResidualQuery>,
    /// Several residual streams that begin as the embedding; [`Layer::hyper`] mixes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hyper_streams: Option<usize>,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// How the layers run several times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loops: Option<Loops>,
    /// The norm before the head.
    pub final_norm: Norm,
    /// The head, `[vocab, hidden]`; the embedding table is used when absent.
    pub head: Option<Linear>,
    /// Whether a checkpoint may lack the head, and then uses the embedding table.
    pub head_optional: bool,
    /// Whether the residual stream is f32, whatever the weights are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wide_stream: bool,
    /// Factor of logits, usually 1.
    pub logit_scale: f32,
    /// Name of a tensor with one number that logits are multiplied by, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_gain: Option<String>,
    /// Token ids that are never an answer: their logits are minus infinity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused_ids: Vec<u32>,
    /// Whether the rows of a head that is not quantized are brought to unit length.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub head_normed: bool,
    /// Logits become `softcap * tanh(logits / softcap)`, after the scale.
    pub logit_softcap: Option<f32>,
    /// How quantized tensors are stored.
    pub quantization: Option<Quantization>,
    /// Tensors that a checkpoint may hold and that are not needed; a name matches when it contains one of these.
    pub ignored: Vec<String>,
}

/// Layers that run several times. [`Spec::layers`] has them as often as they run, since each time they keep positions of
/// their own; weights are loaded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Loops {
    /// How often.
    pub times: usize,
    /// Whether the final norm stands between one time and the next.
    pub normed: bool,
}

/// One layer. With `x` as its input, `m` the mixer, `f` the feed-forward block, and norms where there are any:
///
/// - in sequence: `h = x + scale * post(m(norm(x)))`, then `h + scale * post(f(norm(h)))`;
/// - parallel: `x + m(norm(x)) + f(norm(x))`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// What mixes positions.
    pub mixer: Mixer,
    /// A second mixer that reads what the first one reads, and is added as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Mixer>,
    /// The norm before the mixer.
    pub mixer_norm: Option<Norm>,
    /// The norm after the mixer, before it is added.
    pub mixer_post_norm: Option<Norm>,
    /// The feed-forward block.
    pub ffn: Ffn,
    /// A second block that reads what the first one reads. What it gives is added after the next layer (ScMoE).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Ffn>,
    /// The norm before the feed-forward block. A parallel layer without one uses that of the mixer.
    pub ffn_norm: Option<Norm>,
    /// The norm after the feed-forward block, before it is added.
    pub ffn_post_norm: Option<Norm>,
    /// Whether mixer and feed-forward block both read the layer's input.
    pub parallel: bool,
    /// Factor of what is added to the residual stream, usually 1.
    pub residual_scale: f32,
    /// Learned factors of what is added to the residual stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gains: Option<Gains>,
    /// How the layer takes in its part of [`Spec::per_layer_inputs`].
    pub per_layer_input: Option<PerLayerInput>,
    /// Names of tensors, `[hidden]`: factors of the residual stream where what the mixer gives is added, and where what the
    /// feed-forward block gives is. Only in sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_factors: Option<Box<[String; 2]>>,
    /// Name of a tensor with one number that the layer's output is multiplied by.
    pub output_scale: Option<String>,
    /// How the layer goes on with [`Spec::streams`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altup: Option<Box<AltUp>>,
    /// How the layer attends to residual streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residuals: Option<Box<ResidualAttention>>,
    /// How the layer's mixer and feed-forward block read and change [`Spec::hyper_streams`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hyper: Option<Box<[HyperConnection; 2]>>,
}

/// Names of tensors with one number each (Talkie).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gains {
    /// Of what the mixer gives.
    pub mixer: String,
    /// Of what the feed-forward block gives.
    pub ffn: String,
    /// Of the embedding that the first layer took in, which is added at the end of this one.
    pub embedding: String,
}

/// A feed-forward block.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ffn {
    /// The same matrices for every row.
    Dense(Mlp),
    /// Matrices chosen by each row.
    Moe(Box<Moe>),
    /// One matrix, `[hidden, hidden]`.
    Linear(Linear),
    /// Matrices that read a mixture with the position before (RWKV).
    ChannelMix(Box<ChannelMix>),
    /// Nothing: the layer is a mixer alone.
    None,
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
    /// Whether gate and up take turns, number by number.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interleaved: bool,
    /// Norm of what goes into `down`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Box<Norm>>,
    /// What the names of the activation's own numbers begin with: `.alpha_p`, `.alpha_n`, `.beta`, `.eps` follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_name: Option<String>,
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
    /// `ln(1 + exp(x))`.
    Softplus,
    /// `x * Φ(x)`, with the error function.
    Gelu,
    /// GELU by the approximation with tanh.
    GeluTanh,
    /// GELU (tanh) of what exceeds a bound: the mean of the row and so many of its standard deviations (Gemma 3n).
    SparseGeluTanh {
        /// Standard deviations.
        deviations: f32,
    },
    /// `max(x, 0)²`.
    Relu2,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `clamp(x, ±limit)`.
    Clamp {
        /// The largest number.
        limit: f32,
    },
    /// The nearest multiple of a step, of -128 to 127 of them. Never gated.
    Rounded {
        /// From one multiple to the next.
        step: f32,
    },
    /// `min(x, limit) * sigmoid(alpha * min(x, limit)) * (clamp(up, ±limit) + 1)` (GPT-OSS). Only gated.
    ClippedSwiglu {
        /// Factor within the sigmoid.
        alpha: f32,
        /// The largest number.
        limit: f32,
    },
    /// `min(x * sigmoid(x), limit) * clamp(up, ±limit)` (Step 3.5). Only gated.
    LimitedSwiglu {
        /// The largest number.
        limit: f32,
    },
    /// `beta * tanh(x / beta) * sigmoid(x) * up`, where `up` becomes `cap * tanh(up / cap)` if there is a cap (Kimi K3's
    /// SiTU). Only gated.
    Situ {
        /// The largest number of the gate.
        beta: f32,
        /// The largest number of the other half.
        cap: Option<f32>,
    },
    /// `silu(min(x, limit)) * clamp(up, ±limit)` (DeepSeek 4). Only gated.
    ClampedSwiglu {
        /// The largest number.
        limit: f32,
    },
    /// The nearest numbers of 8 bits (e4m3) with a scale, a power of two, for each group. Never gated.
    Float8 {
        /// Numbers that share a scale.
        group: usize,
    },
    /// The nearest numbers of 4 bits (e2m1) with a scale for each group. Never gated.
    Float4 {
        /// Numbers that share a scale.
        group: usize,
        /// Whether scales are numbers of 8 bits (e4m3) instead of powers of two.
        fine: bool,
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
    /// Tensor name without `.weight`, `.scales`, `.biases`, `.bias`. Where experts have a tensor each, `{}` stands for the
    /// expert's number.
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
    /// How many experts are stacked in the tensor, which is then `[experts, outputs, inputs]`, or have a tensor each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<usize>,
    /// Whether the tensor is called `name` and no more. It is never quantized then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
    /// Whether numbers are -1, 0 and 1 times the one number of `name.weight_scale`, four rows in a byte (BitNet).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ternary: bool,
}

/// A norm: with weight, `normalized * (weight + offset) * factor + bias`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Norm {
    /// What is computed.
    pub kind: NormKind,
    /// Names of the tensors of the weight, `[size]` each: none (the weight is 1), one, or one for each head.
    pub weights: Vec<String>,
    /// Whether the weight is one number for each head, `[heads]`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_head: bool,
    /// Name of a tensor, `[size]`, that the weight is multiplied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<String>,
    /// Name of the tensor of the bias, as large as the weight's.
    pub bias: Option<String>,
    /// Name of a tensor, `[size]`, that numbers are multiplied by before they are normed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
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

impl Layer {
    /// Attention, if that is what mixes positions.
    #[cfg(test)]
    pub fn attention(&self) -> Option<&Attention> {
        match &self.mixer {
            Mixer::Attention(attention) => Some(attention),
            _ => None,
        }
    }

    /// The mixer, and the one beside it.
    pub(crate) fn mixers(&self) -> impl Iterator<Item = &Mixer> {
        [&self.mixer].into_iter().chain(&self.beside)
    }

    /// The feed-forward blocks.
    pub(crate) fn ffns(&self) -> impl Iterator<Item = &Ffn> {
        [&self.ffn].into_iter().chain(&self.shortcut)
    }

    fn queries(&self) -> impl Iterator<Item = &ResidualQuery> {
        self.residuals.iter().flat_map(|residuals| residuals.queries())
    }

    /// Names of the tensors that are neither matrices nor norms.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = String> {
        let mut all: Vec<String> = self.mixers().flat_map(Mixer::vectors).collect();
        for ffn in self.ffns() {
            match ffn {
                Ffn::Dense(mlp) => all.extend(mlp.activation_numbers()),
                Ffn::Moe(moe) => {
                    let vectors = [&moe.routing.correction, &moe.routing.expert_scale];
                    all.extend(vectors.into_iter().flatten().cloned());
                }
                Ffn::ChannelMix(mix) => all.push(mix.shift.clone()),
                Ffn::Linear(_) | Ffn::None => {}
            }
        }
        all.extend(self.output_scale.clone());
        all.extend(self.stream_factors.iter().flat_map(|factors| factors.iter().cloned()));
        all.extend(self.gains.iter().flat_map(|gains| [&gains.mixer, &gains.ffn, &gains.embedding].map(String::clone)));
        all.extend(self.altup.iter().flat_map(|altup| altup.output_scale.clone()));
        all.extend(self.queries().map(|query| query.query.clone()));
        all.extend(self.hyper.iter().flat_map(|both| both.iter().flat_map(HyperConnection::vectors)).cloned());
        all.into_iter()
    }
}

impl Linear {
    /// What stands for an expert's number in a name.
    const EACH: &str = "{}";

    /// Name of the tensor of the numbers, or of their codes.
    pub(crate) fn weight(&self) -> String {
        if self.bare { self.name.clone() } else { format!("{}.weight", self.name) }
    }

    /// Name of the tensor of a ternary matrix's scale.
    pub(crate) fn ternary_scale(&self) -> String {
        format!("{}.weight_scale", self.name)
    }

    /// The matrices that have tensors of their own: this one, or one for each expert.
    pub(crate) fn stored(&self) -> Vec<Self> {
        match self.experts {
            Some(experts) if self.name.contains(Self::EACH) => {
                let name = |expert: usize| self.name.replace(Self::EACH, &expert.to_string());
                (0..experts).map(|expert| Self { name: name(expert), experts: None, ..self.clone() }).collect()
            }
            _ => vec![self.clone()],
        }
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
                let narrowing = moe.narrowing.iter().flat_map(|narrowing| [&narrowing.down, &narrowing.up]);
                [&moe.router]
                    .into_iter()
                    .chain(&moe.balance)
                    .chain(narrowing)
                    .chain(moe.mlp.linears())
                    .chain(shared)
                    .collect()
            }
            Self::Linear(linear) => vec![linear],
            Self::ChannelMix(mix) => vec![&mix.key, &mix.value],
            Self::None => Vec::new(),
        }
    }

    fn norms(&self) -> Vec<&Norm> {
        let moe = match self {
            Self::Moe(moe) => moe,
            Self::Dense(mlp) => return mlp.norm.as_deref().into_iter().collect(),
            Self::Linear(_) | Self::ChannelMix(_) | Self::None => return Vec::new(),
        };
        let own = [&moe.router_norm, &moe.norm, &moe.expert_norm, &moe.post_norm];
        let shared = moe.shared.iter().flat_map(|shared| [&shared.norm, &shared.post_norm]);
        let narrow = moe.narrowing.iter().map(|narrowing| &narrowing.norm);
        own.into_iter().chain(shared).chain(narrow).flatten().collect()
    }
}

impl Spec {
    /// Every matrix, the embedding table and the head included.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        let layers = self.layers.iter().flat_map(|layer| {
            let input = layer.per_layer_input.iter().flat_map(|input| [&input.gate, &input.projection]);
            let altup = layer.altup.iter().flat_map(|altup| altup.linears());
            let hyper = layer.hyper.iter().flat_map(|both| both.iter().map(|connection| &connection.mixture));
            let blocks = layer.mixers().flat_map(Mixer::linears).chain(layer.ffns().flat_map(Ffn::linears));
            blocks.chain(input).chain(altup).chain(hyper)
        });
        let streams = self.streams.iter().flat_map(|streams| streams.widen.iter().chain(&streams.narrow));
        let inputs = self.per_layer_inputs.iter().flat_map(|inputs| [&inputs.table, &inputs.projection]);
        let ngrams = self.ngrams.iter().flat_map(|ngrams| ngrams.linears());
        let start = [&self.embedding].into_iter().chain(&self.positions).chain(inputs).chain(ngrams);
        start.chain(streams).chain(layers).chain(&self.head)
    }

    /// Names of the tensors that are neither matrices nor norms.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = String> {
        let query = self.residual_query.iter().map(|query| query.query.clone());
        self.layers.iter().flat_map(Layer::vectors).chain(query).chain(self.logit_gain.clone())
    }

    /// Every norm.
    pub(crate) fn norms(&self) -> impl Iterator<Item = &Norm> {
        let layers = self.layers.iter().flat_map(|layer| {
            let own = [&layer.mixer_norm, &layer.mixer_post_norm, &layer.ffn_norm, &layer.ffn_post_norm];
            let input = layer.per_layer_input.iter().map(|input| &input.norm);
            let altup = layer.altup.iter().flat_map(|altup| altup.norms());
            own.into_iter()
                .flatten()
                .chain(layer.mixers().flat_map(Mixer::norms))
                .chain(layer.ffns().flat_map(Ffn::norms))
                .chain(input)
                .chain(altup)
                .chain(layer.queries().map(|query| &query.norm))
        });
        let query = self.residual_query.iter().map(|query| &query.norm);
        let inputs = self.per_layer_inputs.iter().map(|inputs| &inputs.norm);
        layers.chain(inputs).chain(query).chain(&self.embedding_norm).chain([&self.final_norm])
    }
}
