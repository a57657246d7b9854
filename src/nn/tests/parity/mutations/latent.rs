//! Latent attention.

use super::{Changes, drop_it};
use crate::arch::spec::{LatentAttention, Mixer, Spec};

pub(super) const CHANGES: Changes = &[
    ("scale of latent scores", |spec| {
        latent(spec)?.scale *= 1.1;
        Some(())
    }),
    ("rotary base of latent attention", |spec| {
        let frequencies = latent(spec)?.rope.as_mut()?.inverse_frequencies.iter_mut().skip(1);
        frequencies.for_each(|frequency| *frequency *= 1.2);
        Some(())
    }),
    // Made so large that norms of what is far from zero show it.
    ("epsilon of the latent norm", |spec| {
        latent(spec)?.latent_norm.epsilon = 1.0;
        Some(())
    }),
    ("epsilon of the latent query's norm", |spec| {
        let norm = &mut latent(spec)?.query.as_mut()?.norm;
        norm.epsilon = 1.0;
        Some(())
    }),
    ("growth of latent queries dropped", |spec| drop_it(&mut latent(spec)?.query_growth)),
    ("gate of latent attention dropped", |spec| {
        let latent = latent(spec)?;
        (latent.gates > 0).then(|| latent.gates = 0)
    }),
];

fn latent(spec: &mut Spec) -> Option<&mut LatentAttention> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::Latent(latent) => Some(&mut **latent),
        _ => None,
    })
}
