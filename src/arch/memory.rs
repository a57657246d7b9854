//! What a model takes in memory: its weights, as its shapes tell, and what there is beside them.

use serde::Serialize;

use super::layer_work::{self, Recording};
use super::spec::{Ffn, Indexer, Layer, Linear, Mixer, Mlp, QuantizationFormat, QuantizationMode, Spec};

/// Rows that one step computes at most: a full slice of a prompt.
pub(super) const ROWS: u64 = 512;

/// Estimated bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Keys and values of one sequence that fills the context.
    pub kv: u64,
    /// Activations of one step: a full slice of a prompt, and the logits of one row.
    pub work: u64,
}

/// What the shapes of a model say of its weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weights {
    /// Numbers in matrices and norms.
    pub parameters: u64,
    /// Bytes of the tensors.
    pub bytes: u64,
    /// Bytes that one token reads: of tables one row, of experts the chosen ones.
    pub read: u64,
}

impl Weights {
    /// Counts `copies` of a matrix, of which a token reads `read`.
    fn matrix(&mut self, spec: &Spec, linear: &Linear, copies: u64, read: u64) {
        let numbers = linear.outputs as u64 * linear.inputs as u64;
        let bytes = matrix_bytes(spec, linear);
        self.parameters = self.parameters.saturating_add(numbers.saturating_mul(copies));
        self.bytes = self.bytes.saturating_add(bytes.saturating_mul(copies));
        self.read = self.read.saturating_add(bytes.saturating_mul(read));
    }
}

/// Bytes of a matrix, or of one expert's. Not quantized, numbers take 2 bytes.
fn matrix_bytes(spec: &Spec, linear: &Linear) -> u64 {
    let numbers = linear.outputs as u64 * linear.inputs as u64;
    if linear.ternary {
        return numbers / 4;
    }
    let name = linear.stored().swap_remove(0).name;
    let format = spec
        .quantization
        .as_ref()
        .and_then(|quantization| quantization.overrides.get(&name).copied().unwrap_or(quantization.default));
    match format.filter(|format| linear.inputs.is_multiple_of(format.group_size)) {
        None => numbers.saturating_mul(2),
        Some(QuantizationFormat { bits, group_size, mode }) => {
            // A scale and a bias of 2 bytes each, or a scale of one byte.
            let group = if mode == QuantizationMode::Affine { 4 } else { 1 };
            numbers.saturating_mul(bits as u64) / 8 + numbers / group_size as u64 * group
        }
    }
}

/// Computes the size of the weights from shapes alone, as `mlx_lm.convert` would write them. A head that a checkpoint
/// may lack is taken to be the embedding table.
pub(crate) fn weights(spec: &Spec) -> Weights {
    let mut sum = Weights::default();
    let head = spec.head.as_ref().filter(|_| !spec.head_optional);
    let tables = [Some(&spec.embedding), spec.positions.as_ref(), spec.per_layer_inputs.as_ref().map(|i| &i.table)];
    let ngrams = spec.ngrams.iter().flat_map(|ngrams| &ngrams.tables).map(|ngram| &ngram.table);
    let tables: Vec<_> = tables.into_iter().flatten().chain(ngrams).collect();
    let expert_matrices = spec.layers.iter().filter_map(|layer| match &layer.ffn {
        Ffn::Moe(moe) => Some(moe),
        _ => None,
    });
    let mut routed: Vec<&Linear> = Vec::new();
    for moe in expert_matrices {
        for linear in moe.mlp.gate_up.iter().chain([&moe.mlp.down]) {
            sum.matrix(spec, linear, moe.experts as u64, moe.routing.top_k as u64);
            routed.push(linear);
        }
    }
    for linear in spec.linears() {
        if spec.head.as_ref().is_some_and(|head| std::ptr::eq(head, linear)) && head.is_none()
            || routed.iter().any(|expert| std::ptr::eq(*expert, linear))
        {
            continue;
        }
        let is_table = tables.iter().any(|table| std::ptr::eq(*table, linear));
        let is_head = head.is_none() && std::ptr::eq(&spec.embedding, linear);
        sum.matrix(spec, linear, 1, u64::from(!is_table || is_head));
    }
    for norm in spec.norms() {
        let numbers = (norm.size * norm.heads * norm.weights.len().min(1)) as u64;
        sum.parameters += numbers;
        sum.bytes += 2 * numbers;
        sum.read += 2 * numbers;
    }
    sum
}

pub(super) fn rows(linears: &[Linear]) -> u64 {
    linears.iter().map(|linear| linear.outputs as u64).sum()
}

fn mlp_width(mlp: &Mlp) -> u64 {
    rows(&mlp.gate_up) + mlp.down.inputs as u64
}

/// Numbers of a row that a feed-forward block holds at a time.
fn ffn_width(ffn: &Ffn) -> u64 {
    match ffn {
        Ffn::Dense(mlp) => mlp_width(mlp),
        Ffn::Linear(linear) => linear.outputs as u64,
        Ffn::ChannelMix(mix) => (mix.key.inputs + 2 * mix.key.outputs) as u64,
        Ffn::None => 0,
        Ffn::Moe(moe) => {
            // Rows are gathered, and what the experts give is kept until it is added up.
            let experts = (mlp_width(&moe.mlp) + 2 * moe.mlp.down.outputs as u64) * moe.routing.top_k as u64;
            experts + moe.shared.as_ref().map_or(0, |shared| mlp_width(&shared.mlp)) + moe.experts as u64
        }
    }
}

/// Bytes of what a layer's mixers and feed-forward blocks keep, as it is and as it was before the last step.
fn states(layer: &Layer) -> u64 {
    let mixers: usize = layer.mixers().map(mixer_state).sum();
    let ffns = layer.ffns().map(|ffn| match ffn {
        Ffn::ChannelMix(mix) => mix.key.inputs,
        Ffn::Dense(_) | Ffn::Moe(_) | Ffn::Linear(_) | Ffn::None => 0,
    });
    2 * ((mixers + ffns.sum::<usize>()) * size_of::<f32>()) as u64
}

/// Numbers of a recurrent state.
fn mixer_state(mixer: &Mixer) -> usize {
    match mixer {
        Mixer::Attention(attention) => {
            attention.conv.as_ref().map_or(0, |conv| (conv.width - 1) * 2 * attention.kv_heads * attention.head_dim)
        }
        Mixer::Latent(_) | Mixer::None => 0,
        Mixer::Compressed(compressed) => compressed.pooled().map_or(0, |ratio| (ratio - 1) * 2 * compressed.head_dim),
        Mixer::ShortConv(short) => (short.conv.width - 1) * short.conv.channels,
        Mixer::GatedDelta(delta) => {
            (delta.conv.width - 1) * delta.conv.channels + delta.value_heads * delta.value_dim * delta.key_dim
        }
        Mixer::Linear(linear) => linear.heads * linear.head_dim * linear.head_dim,
        Mixer::Recurrence(mixer) => mixer.conv.width * mixer.conv.channels,
        Mixer::GatedConv(mixer) => (mixer.conv.width - 1) * mixer.conv.channels,
        Mixer::StateSpace(space) => (space.conv.width - 1) * space.conv.channels + space.width() * space.state,
        Mixer::TimeMix(mix) => mix.receptance.inputs + mix.heads * mix.head_dim * mix.head_dim,
    }
}

/// What a cache keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Key and value heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether these are keys of an indexer, without values.
    pub index: bool,
    /// How many.
    pub positions: usize,
}

/// Numbers of a row that choosing positions takes: scores of a part of the rows, and what each row sees.
pub(super) fn index_width(indexer: &Indexer, context: usize) -> u64 {
    let scores = indexer.heads.saturating_mul(context).min(Indexer::MOST_SCORES / ROWS as usize);
    (2 * scores + context / 4) as u64
}

/// Which activations are in memory at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activations {
    /// Those of an operation, in f32.
    ByOperation,
    /// Those of whole layers.
    #[cfg_attr(not(feature = "mlx"), allow(dead_code, reason = "only MLX records"))]
    ByLayer(Recording),
}

/// What one sequence of `context` positions takes. `cache` gives the bytes of what is kept.
pub(crate) fn memory(spec: &Spec, context: usize, activations: Activations, cache: impl Fn(Kept) -> u64) -> Memory {
    let mut kv = 0u64;
    let mut widest = 0u64;
    for layer in &spec.layers {
        widest = widest.max(layer.ffns().map(ffn_width).max().unwrap_or(0));
        kv = kv.saturating_add(states(layer));
        for mixer in layer.mixers() {
            if let Some(indexer) = mixer.indexer() {
                let keys = Kept { heads: 1, head_dim: indexer.head_dim, index: true, positions: context };
                kv = kv.saturating_add(cache(keys));
                widest = widest.max(index_width(indexer, context));
            }
            let outputs = mixer.linears().iter().map(|linear| linear.outputs as u64).sum::<u64>();
            match mixer {
                Mixer::Attention(attention) => {
                    // A window's positions are dropped before a slice is appended, never while it is.
                    let within = |window: usize| context.min(window.saturating_add(ROWS as usize));
                    let positions = attention.window.map_or(context, within);
                    if attention.shares_kv_of.is_none() {
                        let (heads, head_dim) = (attention.kv_heads, attention.head_dim);
                        kv = kv.saturating_add(cache(Kept { heads, head_dim, index: false, positions }));
                    }
                    widest = widest.max(rows(&attention.qkv) + attention.output.inputs as u64);
                }
                Mixer::Latent(latent) => {
                    let (heads, width) = latent.kept();
                    kv = kv.saturating_add(cache(Kept { heads, head_dim: width, index: false, positions: context }));
                    widest = widest.max((4 * latent.heads.max(heads) * width) as u64).max(2 * outputs);
                }
                Mixer::Compressed(compressed) => {
                    let (width, window) = (compressed.head_dim, compressed.window.saturating_add(ROWS as usize));
                    let mut kept = |head_dim, index, positions| {
                        kv = kv.saturating_add(cache(Kept { heads: 1, head_dim, index, positions }));
                    };
                    kept(width, false, context.min(window));
                    if let Some(compressor) = &compressed.compressor {
                        kept(width, false, context / compressor.ratio.max(1));
                    }
                    if let Some(indexer) = compressed.keeps_keys() {
                        kept(indexer.head_dim, true, context / indexer.ratio.max(1));
                    }
                    let queries = 4 * compressed.heads * width;
                    let scores = compressed.indexer.as_ref().map_or(0, |indexer| {
                        let entries = context / indexer.ratio.max(1);
                        // Scores of a part of the rows, then what each row sees and leaves.
                        2 * indexer.heads.saturating_mul(entries).min(Indexer::MOST_SCORES / ROWS as usize)
                            + entries / 2
                    });
                    widest = widest.max(2 * outputs + (queries + scores) as u64);
                }
                _ => widest = widest.max(2 * outputs),
            }
        }
    }
    // The residual stream, its norm and the branch that is added to it live beside the widest operation.
    let hidden = spec.hidden as u64;
    // Streams that were put aside, and what a mixture of them takes.
    let begins = |layer: &&Layer| layer.residuals.as_ref().is_some_and(|residuals| residuals.begins);
    let aside = spec.layers.iter().filter(begins).count() as u64;
    let widest = widest.max(if aside > 0 { 2 * (aside + 1) * hidden } else { 0 });
    // Of several streams there are those before, those behind, and all side by side.
    let streams = spec.hyper_streams.map_or(0, |streams| 4 * streams as u64);
    let work = ((3 + aside + streams) * hidden + widest) * ROWS + spec.vocab as u64;
    let work = match activations {
        Activations::ByOperation => work * size_of::<f32>() as u64,
        Activations::ByLayer(recording) => layer_work::work(spec, context, recording),
    };
    Memory { kv, work }
}
