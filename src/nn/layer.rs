//! The weights of a layer, slot by slot as in [`spec`](crate::arch::spec).

use std::rc::Rc;

use crate::arch::spec::Activation;
use crate::backend::Backend;
use crate::error::{Error, Result};

/// A layer.
pub(super) struct Layer<B: Backend> {
    pub mixer: Mixer<B>,
    pub beside: Option<Mixer<B>>,
    pub mixer_norm: Option<B::Norm>,
    pub mixer_post_norm: Option<B::Norm>,
    pub ffn: Ffn<B>,
    pub shortcut: Option<Ffn<B>>,
    pub ffn_norm: Option<B::Norm>,
    pub ffn_post_norm: Option<B::Norm>,
    pub per_layer_input: Option<PerLayerInput<B>>,
    /// Factors of the residual stream where what the mixer, and where what the feed-forward block gives is added.
    pub stream_factors: Option<Box<[B::Vector; 2]>>,
    pub output_scale: f32,
    /// Factors of what mixer and feed-forward block add to the residual stream.
    pub branch_scales: [f32; 2],
    /// Factor of the embedding that is added.
    pub embedding_scale: Option<f32>,
    pub altup: Option<Box<AltUp<B>>>,
    pub residuals: Option<Box<ResidualAttention<B>>>,
    /// Around the mixer and the feed-forward block.
    pub hyper: Option<Box<[HyperConnection<B>; 2]>>,
}

/// How a layer attends to residual streams.
pub(super) struct ResidualAttention<B: Backend> {
    pub mixer: ResidualQuery<B>,
    pub ffn: ResidualQuery<B>,
}

/// What a mixture of residual streams is made by.
pub(super) struct ResidualQuery<B: Backend> {
    /// With the weight of the norm in it.
    pub query: B::Vector,
    pub epsilon: f32,
}

/// What mixes several streams around a block.
pub(super) struct HyperConnection<B: Backend> {
    pub norm: B::Norm,
    /// Scaled, with the base as its bias.
    pub mixture: B::Linear,
}

/// How a layer goes on with several streams.
pub(super) struct AltUp<B: Backend> {
    pub norm: B::Norm,
    pub router: B::Linear,
    pub prediction: B::Linear,
    pub correction: B::Linear,
    pub output_scale: Option<B::Vector>,
    pub left: B::Linear,
    pub right: B::Linear,
    pub laurel_norm: B::Norm,
}

/// What mixes positions.
pub(super) enum Mixer<B: Backend> {
    Attention(Attention<B>),
    ShortConv(ShortConv<B>),
    GatedDelta(Box<GatedDelta<B>>),
    Latent(Box<Latent<B>>),
    Compressed(Box<Compressed<B>>),
    StateSpace(Box<StateSpace<B>>),
    Linear(Box<LinearAttention<B>>),
    GatedConv(Box<GatedConv<B>>),
    Recurrence(Box<Recurrence<B>>),
    TimeMix(Box<TimeMix<B>>),
    None,
}

/// Latent attention.
pub(super) struct Latent<B: Backend> {
    pub input: B::Linear,
    pub query: Option<(B::Norm, B::Linear)>,
    pub latent_norm: B::Norm,
    pub expansion: Expansion<B>,
    pub rope: Option<Rc<B::Rope>>,
    pub indexer: Option<Indexer<B>>,
    pub output: B::Linear,
}

/// Attention to a window and to chosen entries.
pub(super) struct Compressed<B: Backend> {
    pub input: B::Linear,
    pub query: (B::Norm, B::Linear),
    pub key_norm: B::Norm,
    pub sinks: B::Vector,
    pub rope: Rc<B::Rope>,
    /// The other way round.
    pub back: Rc<B::Rope>,
    /// Norm and rotation of entries.
    pub entries: Option<(B::Norm, Rc<B::Rope>)>,
    /// What makes keys of entries.
    pub keys: Option<EntryKeys<B>>,
    pub groups: B::Heads,
    pub output: B::Linear,
}

/// What makes keys of entries.
pub(super) struct EntryKeys<B: Backend> {
    pub projection: B::Linear,
    pub norm: B::Norm,
}

/// What chooses the positions that are seen.
pub(super) struct Indexer<B: Backend> {
    pub query_norm: Option<B::Norm>,
    pub key_norm: Option<B::Norm>,
    pub rope: Option<Rc<B::Rope>>,
}

/// How compressed vectors become keys and values.
pub(super) enum Expansion<B: Backend> {
    Absorbed { queries: B::Heads, values: B::Heads },
    Full(B::Linear),
}

/// A short convolution.
pub(super) struct ShortConv<B: Backend> {
    pub input: B::Linear,
    pub conv: B::Conv,
    pub output: B::Linear,
}

/// A gated delta net.
pub(super) struct GatedDelta<B: Backend> {
    pub input: B::Linear,
    pub conv: B::Conv,
    pub short_gates: Option<ShortGates<B>>,
    pub decay: B::Vector,
    pub step: B::Vector,
    pub norm: B::Norm,
    pub output: B::Linear,
}

/// What makes a delta net's gates of their short forms.
pub(super) struct ShortGates<B: Backend> {
    pub gate: Option<B::Linear>,
    pub decay: B::Linear,
}

/// A selective state space.
pub(super) struct StateSpace<B: Backend> {
    pub input: B::Linear,
    pub conv: B::Conv,
    pub selection: Selection<B>,
    /// Below zero.
    pub decay: B::Vector,
    pub skip: B::Vector,
    pub norm: Option<B::Norm>,
    pub output: B::Linear,
}

/// Attention without a softmax.
pub(super) struct LinearAttention<B: Backend> {
    pub input: B::Linear,
    pub query_norm: Option<B::Norm>,
    pub key_norm: Option<B::Norm>,
    pub rope: Rc<B::Rope>,
    pub decays: B::Vector,
    /// Zeros.
    pub skip: B::Vector,
    pub norm: B::Norm,
    pub output: B::Linear,
}

/// Convolutions of keys and values, gated by queries.
pub(super) struct GatedConv<B: Backend> {
    pub input: B::Linear,
    pub query_norm: B::Norm,
    pub key_norm: B::Norm,
    pub conv: B::Conv,
    pub output: B::Linear,
}

/// A gated linear recurrence.
pub(super) struct Recurrence<B: Backend> {
    pub input: B::Linear,
    pub conv: B::Conv,
    pub input_gate: B::Heads,
    pub keep_gate: B::Heads,
    /// Below zero.
    pub decay: B::Vector,
    pub output: B::Linear,
}

/// RWKV's time mixing.
pub(super) struct TimeMix<B: Backend> {
    /// Of receptance, decay, key, value, rate, gate.
    pub shifts: Vec<B::Vector>,
    pub receptance: B::Linear,
    pub key: B::Linear,
    pub value: B::Linear,
    pub decay: LowRank<B>,
    pub rate: LowRank<B>,
    pub residual: Option<LowRank<B>>,
    pub gate: LowRank<B>,
    pub key_scale: B::Vector,
    pub key_rate: B::Vector,
    pub bonus: B::Vector,
    pub norm: B::Norm,
    pub output: B::Linear,
}

/// A matrix of low rank.
pub(super) struct LowRank<B: Backend> {
    pub down: B::Linear,
    pub up: B::Linear,
}

/// RWKV's feed-forward block.
pub(super) struct ChannelMix<B: Backend> {
    /// One.
    pub shift: Vec<B::Vector>,
    pub key: B::Linear,
    pub value: B::Linear,
}

/// Where a state space's `B`, `C` and steps come from.
pub(super) enum Selection<B: Backend> {
    Input { bias: B::Vector },
    Inner { projection: B::Linear, norms: Option<[B::Norm; 3]>, step: B::Linear, bias: Option<B::Vector> },
}

impl<B: Backend> Mixer<B> {
    /// The first and the last projection, where one comes before all else.
    pub fn projections(&self) -> Result<(&B::Linear, &B::Linear)> {
        Ok(match self {
            Self::Attention(attention) => (&attention.qkv, &attention.output),
            Self::ShortConv(conv) => (&conv.input, &conv.output),
            Self::GatedDelta(delta) => (&delta.input, &delta.output),
            Self::Latent(latent) => (&latent.input, &latent.output),
            Self::Compressed(compressed) => (&compressed.input, &compressed.output),
            Self::StateSpace(space) => (&space.input, &space.output),
            Self::Linear(linear) => (&linear.input, &linear.output),
            Self::GatedConv(mixer) => (&mixer.input, &mixer.output),
            Self::Recurrence(mixer) => (&mixer.input, &mixer.output),
            Self::TimeMix(_) | Self::None => return Err(Error::internal("a mixer without a first projection")),
        })
    }
}

/// Attention.
pub(super) struct Attention<B: Backend> {
    pub qkv: B::Linear,
    pub output: B::Linear,
    pub output_norm: Option<B::Norm>,
    pub query_norm: Option<B::Norm>,
    pub key_norm: Option<B::Norm>,
    pub value_norm: Option<B::Norm>,
    pub rope: Option<Rc<B::Rope>>,
    pub sinks: Option<B::Vector>,
    pub indexer: Option<Indexer<B>>,
    /// Of keys and values.
    pub conv: Option<B::Conv>,
    /// Steps of keys and values.
    pub rounding: Option<[f32; 2]>,
    /// Of a second look.
    pub gate: Option<B::Heads>,
}

/// A feed-forward block.
pub(super) enum Ffn<B: Backend> {
    Dense(Mlp<B>),
    Moe(Box<Moe<B>>),
    Linear(B::Linear),
    ChannelMix(Box<ChannelMix<B>>),
    None,
}

/// A dense feed-forward block.
pub(super) struct Mlp<B: Backend> {
    pub gate_up: B::Linear,
    pub down: B::Linear,
    pub activation: Activation,
    pub gated: bool,
    /// The number of pairs where gate and up take turns.
    pub interleaved: Option<usize>,
    pub norm: Option<B::Norm>,
}

/// A mixture of experts.
pub(super) struct Moe<B: Backend> {
    pub router: B::Linear,
    pub balance: Option<B::Linear>,
    pub router_norm: Option<B::Norm>,
    pub correction: Option<B::Vector>,
    pub expert_scale: Option<B::Vector>,
    pub norm: Option<B::Norm>,
    pub narrowing: Option<Narrowing<B>>,
    pub experts: B::Experts,
    pub expert_norm: Option<B::Norm>,
    pub post_norm: Option<B::Norm>,
    pub shared: Option<SharedExpert<B>>,
}

/// What stands around narrow experts.
pub(super) struct Narrowing<B: Backend> {
    pub down: B::Linear,
    pub norm: Option<B::Norm>,
    pub up: B::Linear,
}

/// The expert of every row.
pub(super) struct SharedExpert<B: Backend> {
    pub norm: Option<B::Norm>,
    pub mlp: Mlp<B>,
    pub gate: Option<B::Linear>,
    pub post_norm: Option<B::Norm>,
}

/// The embedding of which every layer takes a part.
pub(super) struct PerLayerInputs<B: Backend> {
    pub table: B::Linear,
    pub projection: B::Linear,
    pub norm: B::Norm,
}

/// A table of n-grams.
pub(super) struct Ngram<B: Backend> {
    pub table: B::Linear,
    pub projection: B::Linear,
}

/// How a layer takes its part in.
pub(super) struct PerLayerInput<B: Backend> {
    pub gate: B::Linear,
    pub projection: B::Linear,
    pub norm: B::Norm,
}
