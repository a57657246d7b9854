//! What mixes positions: every kind with the caches or states that it needs.

use super::layer::{Attention, Mixer};
use super::{Decoder, Sequence, delta, latent, state_space};
use crate::arch::spec;
use crate::backend::{AttentionExtras, AttentionParams, Backend, Rows};
use crate::error::{Error, Result};

impl<B: Backend> Decoder<B> {
    /// What the mixer makes of its first projection, for its last one.
    pub(super) fn mix(
        &self,
        mixer: &Mixer<B>,
        spec: &spec::Mixer,
        input: &B::Tensor,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        match (mixer, spec) {
            (Mixer::Attention(attention), spec::Mixer::Attention(spec)) => {
                self.attend(attention, spec, input, index, rows, sequences)
            }
            (Mixer::Latent(latent), spec::Mixer::Latent(spec)) => {
                let mut caches: Vec<_> = sequences.iter_mut().map(|s| s.cache_mut(index)).collect::<Result<_>>()?;
                latent::latent(backend, latent, spec, input, rows, &mut caches)
            }
            (Mixer::ShortConv(short), _) => {
                recurrent(index, rows, sequences, |states| backend.short_conv(input, &short.conv, rows, states))
            }
            (Mixer::GatedDelta(delta), spec::Mixer::GatedDelta(spec)) => recurrent(index, rows, sequences, |states| {
                delta::gated_delta(backend, delta, spec, input, rows, states)
            }),
            (Mixer::StateSpace(space), spec::Mixer::StateSpace(spec)) => recurrent(index, rows, sequences, |states| {
                state_space::state_space(backend, space, spec, input, rows, states)
            }),
            _ => Err(Error::internal("a mixer that its layer does not have")),
        }
    }

    /// Attention, gated if the layer has a gate.
    fn attend(
        &self,
        attention: &Attention<B>,
        spec: &spec::Attention,
        qkv: &B::Tensor,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let params = AttentionParams {
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            scale: spec.scale,
            query_norm: attention.query_norm.as_ref(),
            key_norm: attention.key_norm.as_ref(),
            rope: attention.rope.as_deref(),
            window: spec.window,
            extras: AttentionExtras {
                value_norm: attention.value_norm.as_ref(),
                norm_after_rope: spec.norm_after_rope,
                sinks: attention.sinks.as_ref(),
                softcap: spec.softcap,
                query_growth: spec.query_growth,
            },
        };
        if let Some(source) = spec.shares_kv_of {
            let caches: Vec<_> = sequences.iter().map(|s| s.cache(source)).collect::<Result<_>>()?;
            return backend.attention_shared(qkv, &params, rows, &caches);
        }
        let mut caches: Vec<_> = sequences.iter_mut().map(|s| s.cache_mut(index)).collect::<Result<_>>()?;
        if !spec.gated {
            return backend.attention(qkv, &params, rows, &mut caches);
        }
        let (width, own) = (spec.heads * spec.head_dim, (spec.heads + 2 * spec.kv_heads) * spec.head_dim);
        let attended = backend.attention(&backend.columns(qkv, 0..own)?, &params, rows, &mut caches)?;
        backend.sigmoid_gate(&attended, &backend.columns(qkv, own..own + width)?)
    }
}

/// Runs a recurrent layer over the states of all sequences, which go on to those after their rows.
fn recurrent<B: Backend>(
    index: usize,
    rows: &Rows,
    sequences: &mut [&mut Sequence<B>],
    run: impl FnOnce(&mut [B::State]) -> Result<B::Tensor>,
) -> Result<B::Tensor> {
    let states = sequences.iter_mut().map(|sequence| Ok(sequence.recurrent(index)?.state().clone()));
    let mut states = states.collect::<Result<Vec<_>>>()?;
    let mixed = run(&mut states)?;
    for ((sequence, state), segment) in sequences.iter_mut().zip(states).zip(rows.segments()) {
        sequence.recurrent(index)?.advance(state, segment.len);
    }
    Ok(mixed)
}
