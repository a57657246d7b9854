//! How layers stand in the residual stream, or in several.

use super::{Changes, drop_it, epsilon, first};
use crate::arch::spec::Mixer;

pub(super) const CHANGES: Changes = &[
    ("gains dropped", |spec| drop_it(&mut first(spec)?.gains)),
    ("factors of the residual stream dropped", |spec| drop_it(&mut first(spec)?.stream_factors)),
    ("factors of the residual stream exchanged", |spec| {
        first(spec)?.stream_factors.as_mut()?.reverse();
        Some(())
    }),
    ("iterations of hyper-connections", |spec| {
        let [mixer, _] = first(spec)?.hyper.as_deref_mut()?;
        mixer.mixing.iterations = if mixer.mixing.iterations == 1 { 2 } else { 1 };
        Some(())
    }),
    ("epsilon of hyper-connections", |spec| {
        let [mixer, _] = first(spec)?.hyper.as_deref_mut()?;
        mixer.mixing.epsilon += 0.02;
        Some(())
    }),
    ("norm of hyper-connections", |spec| {
        let [mixer, _] = first(spec)?.hyper.as_deref_mut()?;
        epsilon(&mut mixer.norm)
    }),
    ("hyper-connections exchanged", |spec| {
        let both = first(spec)?.hyper.as_deref_mut()?;
        both.reverse();
        Some(())
    }),
    ("active stream", |spec| {
        let streams = spec.streams.as_mut()?;
        streams.active = (streams.active + 1) % streams.count();
        Some(())
    }),
    ("limit of the streams' coefficients", |spec| first(spec)?.altup.as_mut()?.clip.as_mut().map(|clip| *clip *= 0.5)),
    ("scale of the active stream", |spec| drop_it(&mut first(spec)?.altup.as_mut()?.output_scale)),
    ("side branch's norm", |spec| epsilon(&mut first(spec)?.altup.as_mut()?.laurel.norm)),
    ("norm of the streams' router", |spec| epsilon(&mut first(spec)?.altup.as_mut()?.norm)),
    ("another block of layers", |spec| {
        let residuals = spec.layers.get_mut(1)?.residuals.as_mut()?;
        residuals.begins = !residuals.begins;
        Some(())
    }),
    ("norm of the mixer's residual query", |spec| {
        // The first layer has nothing to mix.
        epsilon(&mut spec.layers.get_mut(1)?.residuals.as_mut()?.mixer.norm)
    }),
    ("norm of the feed-forward block's residual query", |spec| epsilon(&mut first(spec)?.residuals.as_mut()?.ffn.norm)),
    ("residual queries exchanged", |spec| {
        let residuals = spec.layers.get_mut(1)?.residuals.as_mut()?;
        std::mem::swap(&mut residuals.mixer, &mut residuals.ffn);
        Some(())
    }),
    ("residual query of the head dropped", |spec| drop_it(&mut spec.residual_query)),
    ("mixer beside dropped", |spec| drop_it(&mut first(spec)?.beside)),
    ("residual scale", |spec| {
        let layer = first(spec)?;
        (!layer.parallel && layer.residuals.is_none() && layer.hyper.is_none()).then(|| layer.residual_scale *= 1.1)
    }),
    ("parallel or not", |spec| {
        let layer = first(spec)?;
        layer.ffn_norm.as_ref()?;
        layer.mixer_norm.as_ref()?;
        // With several streams nothing is parallel, nor where a mixer takes in more than its first projection.
        if layer.altup.is_some()
            || layer.hyper.is_some()
            || layer.residuals.is_some()
            || matches!(layer.mixer, Mixer::TimeMix(_))
        {
            return None;
        }
        layer.parallel = !layer.parallel;
        Some(())
    }),
    ("output scale dropped", |spec| drop_it(&mut first(spec)?.output_scale)),
];
