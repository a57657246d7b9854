//! What a model takes in memory beside its weights.

use serde::Serialize;

use super::spec::Spec;

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

/// What one sequence of `context` positions takes. `cache` gives the bytes of so many heads, of so many dimensions, for
/// so many positions.
pub(crate) fn memory(spec: &Spec, context: usize, cache: impl Fn(usize, usize, usize) -> u64) -> Memory {
    let mut kv = 0u64;
    let mut widest = 0u64;
    for layer in &spec.layers {
        let attention = &layer.attention;
        // A window's positions are dropped before a slice is appended, never while it is.
        let positions = attention.window.map_or(context, |window| context.min(window.saturating_add(ROWS as usize)));
        kv = kv.saturating_add(cache(attention.kv_heads, attention.head_dim, positions));

        let rows = |linears: &[super::spec::Linear]| linears.iter().map(|linear| linear.outputs as u64).sum::<u64>();
        let attention = rows(&attention.qkv) + attention.output.inputs as u64;
        let mlp = rows(&layer.mlp.gate_up) + layer.mlp.down.inputs as u64;
        widest = widest.max(attention.max(mlp));
    }
    // The residual stream, its norm and the branch that is added to it live beside the widest operation.
    let work = (3 * spec.hidden as u64 + widest) * ROWS + spec.vocab as u64;
    Memory { kv, work: work * size_of::<f32>() as u64 }
}
