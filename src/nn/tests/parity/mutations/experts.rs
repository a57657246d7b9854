//! Experts and their router.

use super::{Changes, drop_it, epsilon, first};
use crate::arch::spec::{Activation, Ffn, Moe, Spec};

pub(super) const CHANGES: Changes = &[
    ("temperature of the router", |spec| {
        let routing = &mut moe(spec)?.routing;
        (routing.temperature != 1.0).then(|| routing.temperature = 1.0)
    }),
    ("limit of the experts' activation", |spec| match &mut moe(spec)?.mlp.activation {
        Activation::ClampedSwiglu { limit } => {
            *limit *= 0.5;
            Some(())
        }
        _ => None,
    }),
    ("shortcut dropped", |spec| drop_it(&mut first(spec)?.shortcut)),
    ("cap of the router", |spec| drop_it(&mut moe(spec)?.routing.softcap)),
    ("balance of experts dropped", |spec| drop_it(&mut moe(spec)?.balance)),
    ("norm of narrow experts", |spec| epsilon(moe(spec)?.narrowing.as_mut()?.norm.as_mut()?)),
    ("epsilon of the norm of narrow input", |spec| {
        let moe = moe(spec)?;
        moe.narrowing.as_ref()?;
        epsilon(moe.norm.as_mut()?)
    }),
    ("norm of each expert skipped", |spec| drop_it(&mut moe(spec)?.expert_norm)),
    ("epsilon of the norm of each expert", |spec| epsilon(moe(spec)?.expert_norm.as_mut()?)),
    ("factors before the norm of each expert dropped", |spec| drop_it(&mut moe(spec)?.expert_norm.as_mut()?.input)),
    ("one expert less", |spec| {
        let routing = &mut moe(spec)?.routing;
        (routing.top_k > 1).then(|| routing.top_k -= 1)
    }),
    ("weights of experts normalised or not", |spec| {
        let routing = &mut moe(spec)?.routing;
        routing.normalize = if routing.normalize.is_some() { None } else { Some(0.0) };
        Some(())
    }),
    ("scale of experts", |spec| {
        let moe = moe(spec)?;
        // A norm behind the experts takes it back.
        moe.post_norm.is_none().then(|| moe.routing.scale *= 1.2)
    }),
    ("correction of experts dropped", |spec| drop_it(&mut moe(spec)?.routing.correction)),
    ("groups of experts dropped", |spec| {
        moe(spec)?.routing.groups?;
        spec.layers.iter_mut().for_each(|layer| {
            if let Ffn::Moe(moe) = &mut layer.ffn {
                moe.routing.groups = None;
            }
        });
        Some(())
    }),
    ("shared expert dropped", |spec| drop_it(&mut moe(spec)?.shared)),
    ("gate of the shared expert dropped", |spec| drop_it(&mut moe(spec)?.shared.as_mut()?.gate)),
];

fn moe(spec: &mut Spec) -> Option<&mut Moe> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.ffn {
        Ffn::Moe(moe) => Some(&mut **moe),
        _ => None,
    })
}
