//! Norms of layers.

use super::{Changes, drop_it, epsilon, first};

pub(super) const CHANGES: Changes = &[
    ("epsilon of layers", |spec| epsilon(first(spec)?.mixer_norm.as_mut()?)),
    ("epsilon of feed-forward norms", |spec| epsilon(first(spec)?.ffn_norm.as_mut()?)),
    ("offset of norms", |spec| first(spec)?.mixer_norm.as_mut().map(|norm| norm.offset = 1.0 - norm.offset)),
    ("mixer norm skipped", |spec| {
        // Not behind a norm of embeddings that does the same.
        let normed = spec.embedding_norm.is_some();
        let norm = &mut first(spec)?.mixer_norm;
        if normed && norm.as_ref()?.weights.is_empty() { None } else { drop_it(norm) }
    }),
    ("mixer post norm skipped", |spec| drop_it(&mut first(spec)?.mixer_post_norm)),
    ("feed-forward norm skipped", |spec| drop_it(&mut first(spec)?.ffn_norm)),
    ("feed-forward post norm skipped", |spec| drop_it(&mut first(spec)?.ffn_post_norm)),
    ("factors before a post norm dropped", |spec| drop_it(&mut first(spec)?.ffn_post_norm.as_mut()?.input)),
    ("epsilon of a post norm behind factors", |spec| {
        let norm = first(spec)?.ffn_post_norm.as_mut()?;
        norm.input.as_ref()?;
        epsilon(norm)
    }),
    ("epsilon of the mixer's post norm", |spec| {
        let layer = first(spec)?;
        layer.stream_factors.as_ref()?;
        epsilon(layer.mixer_post_norm.as_mut()?)
    }),
    ("bias of a norm dropped", |spec| drop_it(&mut first(spec)?.mixer_norm.as_mut()?.bias)),
];
