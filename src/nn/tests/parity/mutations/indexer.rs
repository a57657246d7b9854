//! Choices of positions, or of blocks of them.

use super::{Changes, drop_it};
use crate::arch::spec::{Choice, Indexer, Mixer, Spec};

pub(super) const CHANGES: Changes = &[
    ("everything chosen", |spec| {
        let (Choice::Positions { count } | Choice::Blocks { count, .. }) = &mut indexer(spec)?.choice;
        *count = 1 << 20;
        Some(())
    }),
    ("one less chosen", |spec| {
        let (Choice::Positions { count } | Choice::Blocks { count, .. }) = &mut indexer(spec)?.choice;
        *count -= 1;
        Some(())
    }),
    ("larger blocks", |spec| match &mut indexer(spec)?.choice {
        Choice::Blocks { size, .. } => {
            *size += 1;
            Some(())
        }
        Choice::Positions { .. } => None,
    }),
    ("near blocks", |spec| match &mut indexer(spec)?.choice {
        Choice::Blocks { local, .. } => {
            *local = if *local == 0 { 1 } else { 0 };
            Some(())
        }
        Choice::Positions { .. } => None,
    }),
    // A head's scores may all grow: only its weights change the choice, so that one layer can go unseen.
    ("norms of index queries skipped", |spec| indexers(spec).filter_map(|i| drop_it(&mut i.query_norm)).last()),
    ("norm of index keys skipped", |spec| drop_it(&mut indexer(spec)?.key_norm)),
    ("bias of the index keys' norm dropped", |spec| drop_it(&mut indexer(spec)?.key_norm.as_mut()?.bias)),
    ("rotation of index queries and keys dropped", |spec| drop_it(&mut indexer(spec)?.rope)),
    ("rotary pairs of the indexer", |spec| {
        let rope = indexer(spec)?.rope.as_mut()?;
        rope.traditional = !rope.traditional;
        Some(())
    }),
];

fn indexer(spec: &mut Spec) -> Option<&mut Indexer> {
    indexers(spec).next()
}

/// Those that have something to choose from.
fn indexers(spec: &mut Spec) -> impl Iterator<Item = &mut Indexer> {
    let mixers = spec.layers.iter_mut().map(|layer| &mut layer.mixer);
    let indexers = mixers.filter_map(|mixer| match mixer {
        Mixer::Attention(attention) => attention.indexer.as_deref_mut(),
        Mixer::Latent(latent) => latent.indexer.as_mut(),
        _ => None,
    });
    indexers.filter(|indexer| indexer.choice.limit() < 40)
}
