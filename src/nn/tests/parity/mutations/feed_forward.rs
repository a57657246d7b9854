//! Dense feed-forward blocks, and channel mixing.

use super::recurrent::time_mix;
use super::{Changes, drop_it, first};
use crate::arch::spec::{Activation, Ffn, Mlp};

pub(super) const CHANGES: Changes = &[
    ("norm before the last matrix skipped", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) => drop_it(&mut mlp.norm),
        _ => None,
    }),
    ("gate and up apart", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) if mlp.interleaved => {
            mlp.interleaved = false;
            Some(())
        }
        _ => None,
    }),
    ("bias of the MLP dropped", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) => {
            mlp.down.bias = false;
            mlp.gate_up.iter_mut().for_each(|part| part.bias = false);
            Some(())
        }
        _ => None,
    }),
    ("activation", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) => {
            mlp.activation_name = None;
            mlp.activation = match mlp.activation {
                Activation::Silu => Activation::GeluTanh,
                Activation::ClippedSwiglu { .. } => return None,
                _ => Activation::Silu,
            };
            Some(())
        }
        _ => None,
    }),
    ("shift of channel mixing", |spec| {
        let shift = time_mix(spec, 0)?.shifts.key.clone();
        match &mut first(spec)?.ffn {
            Ffn::ChannelMix(mix) => mix.shift = shift,
            _ => return None,
        }
        Some(())
    }),
    ("sparsity", |spec| {
        spec.layers.iter_mut().find_map(|layer| match &mut layer.ffn {
            Ffn::Dense(mlp) => match &mut mlp.activation {
                Activation::SparseGeluTanh { deviations } => {
                    *deviations += 0.2;
                    Some(())
                }
                _ => None,
            },
            _ => None,
        })
    }),
    ("bounds of SiTU", |spec| {
        let bound = |mlp: &mut Mlp| match &mut mlp.activation {
            Activation::Situ { beta, .. } => {
                *beta *= 1.2;
                Some(())
            }
            _ => None,
        };
        spec.layers.iter_mut().find_map(|layer| match &mut layer.ffn {
            Ffn::Dense(mlp) => bound(mlp),
            Ffn::Moe(moe) => bound(&mut moe.mlp),
            _ => None,
        })
    }),
    ("cap of SiTU dropped", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(Mlp { activation: Activation::Situ { cap, .. }, .. }) => drop_it(cap),
        _ => None,
    }),
];
