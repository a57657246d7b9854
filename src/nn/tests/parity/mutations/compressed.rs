//! Attention to a window and to entries.

use super::{Changes, drop_it};
use crate::arch::spec::{Activation, Candidates, CompressedAttention, EntryIndexer, Mixer, Spec};

pub(super) const CHANGES: Changes = &[
    ("scale of scores of entries", |spec| compressed(spec, |_| true).map(|mixer| mixer.scale *= 1.1)),
    ("rotary base of entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.far.is_some())?;
        mixer.rope.inverse_frequencies.iter_mut().skip(1).for_each(|frequency| *frequency *= 1.2);
        Some(())
    }),
    ("rotary pairs of entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.far.is_some())?;
        mixer.rope.traditional = !mixer.rope.traditional;
        Some(())
    }),
    ("window beside entries one more", |spec| compressed(spec, |_| true).map(|mixer| mixer.window += 1)),
    ("window beside entries one less", |spec| compressed(spec, |_| true).map(|mixer| mixer.window -= 1)),
    ("entries unseen", |spec| drop_it(&mut compressed(spec, |mixer| mixer.far.is_some())?.far)),
    ("rounding of the window's keys", |spec| drop_it(&mut compressed(spec, |_| true)?.key_rounding)),
    ("rounding of entries", |spec| {
        drop_it(&mut compressed(spec, |mixer| mixer.compressor.is_some())?.compressor.as_mut()?.rounding)
    }),
    ("scales of rounded entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.compressor.is_some())?;
        match mixer.compressor.as_mut()?.rounding.as_mut()? {
            Activation::Float4 { fine, .. } => {
                *fine = false;
                Some(())
            }
            _ => None,
        }
    }),
    ("rounding of entries' index keys", |spec| drop_it(&mut entry_indexer(spec)?.rounding)),
    ("one entry less chosen", |spec| entry_indexer(spec).map(|indexer| indexer.count -= 1)),
    ("all entries chosen", |spec| entry_indexer(spec).map(|indexer| indexer.count = 1 << 20)),
    ("all entries are candidates", |spec| {
        spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
            Mixer::Compressed(mixer) => {
                let candidates = &mut mixer.indexer.as_mut()?.candidates;
                matches!(candidates, Candidates::Of(_)).then(|| *candidates = Candidates::All)
            }
            _ => None,
        })
    }),
    ("one block of candidates less", |spec| match &mut entry_indexer(spec)?.candidates {
        Candidates::Leaves { count, .. } => {
            *count -= 1;
            Some(())
        }
        _ => None,
    }),
    ("larger blocks of candidates", |spec| match &mut entry_indexer(spec)?.candidates {
        Candidates::Leaves { size, .. } => {
            *size += 1;
            Some(())
        }
        _ => None,
    }),
    ("epsilon of the norm of short queries beside entries", |spec| {
        compressed(spec, |_| true).map(|mixer| mixer.query.norm.epsilon = 1.0)
    }),
    ("epsilon of the norm of the window's keys", |spec| {
        compressed(spec, |_| true).map(|mixer| mixer.key_norm.epsilon = 1.0)
    }),
    ("epsilon of the norm of entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.compressor.is_some())?;
        mixer.compressor.as_mut().map(|compressor| compressor.norm.epsilon = 1.0)
    }),
];

fn compressed(spec: &mut Spec, fits: impl Fn(&CompressedAttention) -> bool) -> Option<&mut CompressedAttention> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::Compressed(mixer) if fits(mixer) => Some(&mut **mixer),
        _ => None,
    })
}

fn entry_indexer(spec: &mut Spec) -> Option<&mut EntryIndexer> {
    compressed(spec, |mixer| mixer.indexer.is_some())?.indexer.as_mut()
}
