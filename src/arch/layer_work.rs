//! The intermediate results of a backend that records operations and computes them layer by layer: all that a layer's
//! operations make is in memory until the layer is computed.
//!
//! Counted per row, in numbers of the activations' format, as MLX makes them (an operation writes into its input where
//! nobody else needs that). Held against MLX's own count on an H200: 22,528 numbers a row of a layer of Qwen3-0.6B.

use super::memory::{ROWS, rows};
use super::spec::recorded::{PART_BYTES, delta_bytes, in_f32, scan_bytes, time_mix_bytes};
use super::spec::{Attention, Ffn, Layer, Linear, Mixer, Mlp, Spec};

/// Layers whose results are there at a time: one is recorded, one is computed, and the memory of one is being given back.
const LAYERS: u64 = 3;

/// The widest heads that attention has a kernel for, which keeps no scores.
const WIDEST_FUSED: usize = 128;

/// How a backend records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recording {
    /// Bytes of a number in activations.
    pub float_bytes: u64,
    /// Whether scores are always kept, as where caches are quantized.
    pub keeps_scores: bool,
}

/// Bytes of intermediate results while a full slice of a prompt that ends at `context` is computed, and of one row's
/// logits.
pub(super) fn work(spec: &Spec, context: usize, recording: Recording) -> u64 {
    let rows = ROWS.min(context as u64);
    let layer = |layer: &Layer| {
        let numbers = layer_numbers(spec, layer, context as u64, recording);
        let recurrences = layer.mixers().map(recurrent_bytes).fold(0, u64::saturating_add);
        let bytes = |row_bytes: u64| LAYERS.saturating_mul(rows).saturating_mul(row_bytes);
        // Of parts one is recorded while one is computed.
        bytes(numbers.saturating_mul(recording.float_bytes)).saturating_add(bytes(recurrences).min(2 * PART_BYTES))
    };
    let widest = spec.layers.iter().map(layer).max().unwrap_or(0);
    // Logits as the head gives them, and in f32.
    let logits = (3 * spec.vocab as u64).saturating_mul(recording.float_bytes);
    widest.saturating_add(logits)
}

/// Bytes of a row that a mixer's recurrence takes in f32.
fn recurrent_bytes(mixer: &Mixer) -> u64 {
    match mixer {
        Mixer::GatedDelta(delta) => delta_bytes(delta),
        Mixer::TimeMix(mix) => time_mix_bytes(mix),
        Mixer::StateSpace(space) => scan_bytes(&space.scan()),
        Mixer::Linear(linear) => scan_bytes(&linear.scan()),
        _ => 0,
    }
}

/// Numbers of a row that a layer's operations make.
fn layer_numbers(spec: &Spec, layer: &Layer, context: u64, recording: Recording) -> u64 {
    let hidden = spec.hidden as u64;
    let norms = [&layer.mixer_norm, &layer.mixer_post_norm, &layer.ffn_norm, &layer.ffn_post_norm];
    let norms = norms.into_iter().flatten().count() as u64 * hidden;
    let mixers = layer.mixers().map(|mixer| mixer_numbers(mixer, context, recording));
    let ffns = layer.ffns().map(|ffn| ffn_numbers(ffn, hidden, recording));
    let own = layer.per_layer_input.as_ref().map_or(0, |input| 2 * input.gate.outputs as u64 + 2 * hidden);
    // What a mixture of streams takes in f32, and the streams behind both blocks.
    let streams = match (spec.hyper_streams, &spec.streams) {
        (Some(count), _) => 2 * (3 * count as u64 + 1) * hidden,
        (None, Some(_)) => layer.altup.iter().flat_map(|altup| altup.linears()).map(outputs).sum::<u64>() * 2,
        (None, None) => 0,
    };
    let begun = spec.layers.iter().filter_map(|layer| layer.residuals.as_ref()).filter(|residuals| residuals.begins);
    let aside = if layer.residuals.is_some() { 2 * (begun.count() as u64 + 1) * hidden } else { 0 };
    let all = mixers.chain(ffns).chain([norms, own, streams, aside]);
    all.fold(0, u64::saturating_add)
}

fn outputs(linear: &Linear) -> u64 {
    linear.outputs as u64
}

fn mixer_numbers(mixer: &Mixer, context: u64, recording: Recording) -> u64 {
    let projections = mixer.linears().into_iter().map(outputs).fold(0, u64::saturating_add);
    let wide = |numbers: u64| wide(numbers, recording);
    let scores = |heads: usize, positions: u64, masked: bool| {
        // Weights beside scores where both are not written in place, and the mask.
        let heads = if masked { 2 * heads as u64 } else { heads as u64 };
        (heads + 1).saturating_mul(positions)
    };
    let indexed = mixer
        .indexer()
        .map_or(0, |indexer| wide(super::memory::index_width(indexer, usize::try_from(context).unwrap_or(usize::MAX))));
    let own = match mixer {
        Mixer::Attention(attention) => attention_numbers(attention, context, recording),
        Mixer::Latent(latent) => {
            let (heads, width) = latent.kept();
            let queries = 3 * (latent.heads.max(heads) * width) as u64;
            queries + scores(latent.heads, context, recording.keeps_scores || latent.indexer.is_some())
        }
        Mixer::Compressed(compressed) => {
            let entries =
                compressed.compressor.as_ref().map_or(0, |compressor| context / compressor.ratio.max(1) as u64);
            let positions = context.min(compressed.window as u64 + ROWS).saturating_add(entries);
            4 * (compressed.heads * compressed.head_dim) as u64 + scores(compressed.heads, positions, true)
        }
        Mixer::GatedDelta(delta) => 2 * delta.conv.channels as u64,
        Mixer::TimeMix(mix) => 6 * (mix.heads * mix.head_dim) as u64,
        Mixer::StateSpace(space) => 2 * space.conv.channels as u64,
        Mixer::GatedConv(mixer) => 4 * mixer.conv.channels as u64,
        // Stretches are joined as often as a slice can be halved.
        Mixer::Recurrence(mixer) => wide(5 * u64::from(ROWS.ilog2()) * mixer.conv.channels as u64),
        Mixer::ShortConv(short) => 3 * short.conv.channels as u64,
        Mixer::Linear(_) | Mixer::None => 0,
    };
    own.saturating_add(projections).saturating_add(indexed)
}

fn attention_numbers(attention: &Attention, context: u64, recording: Recording) -> u64 {
    let Attention { heads, kv_heads, head_dim, .. } = *attention;
    let (all, queries) = (((heads + 2 * kv_heads) * head_dim) as u64, (heads * head_dim) as u64);
    let rotated = ((heads + kv_heads) * head_dim) as u64;
    let gated = if attention.gate.is_some() { all + queries } else { 0 };
    let looks = if attention.second_look.is_some() { 2 } else { 1 };
    let seen = attention.window.map_or(context, |window| context.min(window as u64 + ROWS));
    let masked = recording.keeps_scores
        || attention.window.is_some_and(|window| context > window as u64)
        || attention.chunk.is_some()
        || attention.blocks.is_some()
        || attention.softcap.is_some()
        || attention.indexer.is_some();
    let scores = match (masked, head_dim > WIDEST_FUSED) {
        (true, _) => (2 * heads as u64 + 1).saturating_mul(seen),
        (false, true) => (heads as u64 + 1).saturating_mul(seen),
        (false, false) => 0,
    };
    (rotated + queries + gated).saturating_add(scores).saturating_mul(looks)
}

/// Numbers in f32, counted in numbers of the activations' format.
fn wide(numbers: u64, recording: Recording) -> u64 {
    in_f32(numbers) / recording.float_bytes.max(1)
}

fn mlp_numbers(mlp: &Mlp) -> u64 {
    rows(&mlp.gate_up) + mlp.down.inputs as u64 + mlp.down.outputs as u64
}

fn ffn_numbers(ffn: &Ffn, hidden: u64, recording: Recording) -> u64 {
    match ffn {
        Ffn::Dense(mlp) => mlp_numbers(mlp),
        Ffn::Linear(linear) => linear.outputs as u64,
        Ffn::ChannelMix(mix) => 3 * hidden + 2 * mix.key.outputs as u64 + mix.value.outputs as u64,
        Ffn::None => 0,
        Ffn::Moe(moe) => {
            // Rows are gathered; what experts give is put back in order and weighed in f32.
            let weighed = moe.mlp.down.outputs as u64 + wide(moe.mlp.down.outputs as u64, recording);
            let chosen = mlp_numbers(&moe.mlp) + moe.mlp.gate_up.first().map_or(0, |gate| gate.inputs as u64) + weighed;
            let shared = moe.shared.as_ref().map_or(0, |shared| mlp_numbers(&shared.mlp) + hidden);
            let narrowing = moe.narrowing.as_ref().map_or(0, |narrowing| 2 * outputs(&narrowing.down) + hidden);
            let router = wide(3 * moe.experts as u64, recording);
            chosen.saturating_mul(moe.routing.top_k as u64) + shared + narrowing + router
        }
    }
}
