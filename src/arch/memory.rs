//! What a model takes in memory beside its weights.

use serde::Serialize;

use super::spec::{Ffn, Linear, Mixer, Mlp, Spec};

/// Rows that one step computes at most: a full slice of a prompt.
const ROWS: u64 = 512;

/// Estimated bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Keys and values of one sequence that fills the context.
    pub kv: u64,
    /// Activations of one step, in f32: a full slice of a prompt, and the logits of one row.
    pub work: u64,
}

fn rows(linears: &[Linear]) -> u64 {
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
        Ffn::None => 0,
        Ffn::Moe(moe) => {
            // Rows are gathered, and what the experts give is kept until it is added up.
            let experts = (mlp_width(&moe.mlp) + 2 * moe.mlp.down.outputs as u64) * moe.routing.top_k as u64;
            experts + moe.shared.as_ref().map_or(0, |shared| mlp_width(&shared.mlp)) + moe.experts as u64
        }
    }
}

/// Bytes of a recurrent state, kept as it is and as it was before the last step.
fn state(mixer: &Mixer) -> u64 {
    let numbers = match mixer {
        Mixer::Attention(_) | Mixer::Latent(_) | Mixer::None => 0,
        Mixer::ShortConv(short) => (short.conv.width - 1) * short.conv.channels,
        Mixer::GatedDelta(delta) => {
            (delta.conv.width - 1) * delta.conv.channels + delta.value_heads * delta.value_dim * delta.key_dim
        }
        Mixer::StateSpace(space) => (space.conv.width - 1) * space.conv.channels + space.width() * space.state,
    };
    2 * (numbers * size_of::<f32>()) as u64
}

/// What one sequence of `context` positions takes. `cache` gives the bytes of so many heads, of so many dimensions, for
/// so many positions.
pub(crate) fn memory(spec: &Spec, context: usize, cache: impl Fn(usize, usize, usize) -> u64) -> Memory {
    let mut kv = 0u64;
    let mut widest = 0u64;
    for layer in &spec.layers {
        widest = widest.max(ffn_width(&layer.ffn));
        for mixer in layer.mixers() {
            kv = kv.saturating_add(state(mixer));
            let outputs = mixer.linears().iter().map(|linear| linear.outputs as u64).sum::<u64>();
            match mixer {
                Mixer::Attention(attention) => {
                    // A window's positions are dropped before a slice is appended, never while it is.
                    let within = |window: usize| context.min(window.saturating_add(ROWS as usize));
                    let positions = attention.window.map_or(context, within);
                    if attention.shares_kv_of.is_none() {
                        kv = kv.saturating_add(cache(attention.kv_heads, attention.head_dim, positions));
                    }
                    widest = widest.max(rows(&attention.qkv) + attention.output.inputs as u64);
                }
                Mixer::Latent(latent) => {
                    let (heads, width) = latent.kept();
                    kv = kv.saturating_add(cache(heads, width, context));
                    widest = widest.max((4 * latent.heads.max(heads) * width) as u64).max(2 * outputs);
                }
                _ => widest = widest.max(2 * outputs),
            }
        }
    }
    // The residual stream, its norm and the branch that is added to it live beside the widest operation.
    let work = (3 * spec.hidden as u64 + widest) * ROWS + spec.vocab as u64;
    Memory { kv, work: work * size_of::<f32>() as u64 }
}
