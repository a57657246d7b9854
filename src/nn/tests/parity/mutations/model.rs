//! What stands before and behind the layers, and what holds for all of them.

use super::{Changes, drop_it};

pub(super) const CHANGES: Changes = &[
    // Made so large that a residual stream that has grown shows it.
    ("epsilon of the final norm", |spec| {
        spec.final_norm.epsilon = 100.0;
        Some(())
    }),
    ("rotations of matrices skipped", |spec| {
        spec.quantization.as_mut()?.rotations.clear();
        Some(())
    }),
    ("rotations of matrices in halves", |spec| {
        spec.quantization.as_mut()?.rotations.values_mut().for_each(|block| *block /= 2);
        Some(())
    }),
    ("gain of logits dropped", |spec| drop_it(&mut spec.logit_gain)),
    ("unused ids", |spec| spec.unused_ids.pop().map(|_| ())),
    ("length of the head's rows", |spec| spec.head_normed.then(|| spec.head_normed = false)),
    ("norm between loops", |spec| {
        let loops = spec.loops.as_mut()?;
        loops.normed = !loops.normed;
        Some(())
    }),
    ("embedding scale", |spec| {
        // A norm stands between unless something else reads the residual stream.
        (spec.embedding_scale != 1.0).then(|| spec.embedding_scale *= 1.2)
    }),
    ("logit scale", |spec| {
        spec.logit_scale *= 1.1;
        Some(())
    }),
    ("cap of logits", |spec| drop_it(&mut spec.logit_softcap)),
    ("norm of embeddings skipped", |spec| drop_it(&mut spec.embedding_norm)),
    ("positions dropped", |spec| drop_it(&mut spec.positions)),
    ("longer n-grams", |spec| {
        let last = spec.ngrams.as_mut()?.tables.last_mut()?;
        last.tokens += 1;
        Some(())
    }),
    ("tables of n-grams exchanged", |spec| {
        let tables = &mut spec.ngrams.as_mut()?.tables;
        let tokens: Vec<_> = tables.iter().map(|table| table.tokens).rev().collect();
        tables.iter_mut().zip(tokens).for_each(|(table, tokens)| table.tokens = tokens);
        Some(())
    }),
    ("per-layer inputs' scale", |spec| {
        spec.per_layer_inputs.as_mut()?.table_scale *= 1.2;
        Some(())
    }),
];
