//! What mixes positions: every kind with the caches or states that it needs.

use super::attention_parts::first_run;
use super::layer::{Attention, Mixer};
use super::recurrent::Recurrent;
use super::{Decoder, Sequence, delta, indexer, latent, linear, recurrence, state_space};
use crate::arch::spec::{self, Activation, Gate};
use crate::backend::{AttentionExtras, AttentionParams, Backend, HeadPart, IndexInput, Rows};
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
                let attended = self.attend(attention, spec, input, index, rows, sequences)?;
                match spec.gate {
                    // Normed before the gate.
                    Some(_) => Ok(attended),
                    None => self.norm(&attended, attention.output_norm.as_ref()),
                }
            }
            (Mixer::Latent(latent), spec::Mixer::Latent(spec)) => {
                latent::latent(backend, latent, spec, input, index, rows, sequences)
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
            (Mixer::Linear(linear), spec::Mixer::Linear(spec)) => recurrent(index, rows, sequences, |states| {
                linear::linear_attention(backend, linear, spec, input, rows, states)
            }),
            (Mixer::GatedConv(mixer), spec::Mixer::GatedConv(spec)) => recurrent(index, rows, sequences, |states| {
                linear::gated_conv(backend, mixer, spec, input, rows, states)
            }),
            (Mixer::Recurrence(mixer), spec::Mixer::Recurrence(spec)) => recurrent(index, rows, sequences, |states| {
                recurrence::recurrence(backend, mixer, spec, input, rows, states)
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
        let (chosen, rest) = match (&attention.indexer, &spec.indexer) {
            (Some(weights), Some(indexer)) => {
                let first = spec.qkv_width();
                let key = first + indexer.query_width();
                let input = IndexInput {
                    queries: &backend.columns(qkv, first..key)?,
                    keys: &backend.columns(qkv, key..key + indexer.head_dim)?,
                    weights: None,
                };
                let chosen = indexer::choose(backend, weights, indexer, input, index, rows, sequences)?;
                (Some(chosen), Some(backend.columns(qkv, 0..first)?))
            }
            _ => (None, None),
        };
        let qkv = rest.as_ref().unwrap_or(qkv);
        let clipped = spec.clip.map(|limit| backend.activate(qkv, Activation::Clamp { limit })).transpose()?;
        let qkv = clipped.as_ref().unwrap_or(qkv);
        let convolved = match &attention.conv {
            Some(conv) => Some(self.convolved(qkv, conv, spec, index, rows, sequences)?),
            None => None,
        };
        let qkv = convolved.as_ref().unwrap_or(qkv);
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
                chunk: spec.chunk,
                chosen: chosen.as_ref(),
                blocks: spec.blocks,
                far: None,
                wide_scores: false,
            },
        };
        if let Some(source) = spec.shares_kv_of {
            let caches: Vec<_> = sequences.iter().map(|s| s.cache(source)).collect::<Result<_>>()?;
            return backend.attention_shared(qkv, &params, rows, &caches);
        }
        if let Some(first) = first_run(spec.second_look.as_deref()) {
            return self.look_twice(attention, spec, first, qkv, &params, index, rows, sequences);
        }
        let mut caches: Vec<_> = sequences.iter_mut().map(|s| s.cache_mut(index)).collect::<Result<_>>()?;
        if spec.rounding.is_some() {
            return self.attend_rounded(attention, spec, qkv, &params, rows, &mut caches);
        }
        if spec.value_dim.is_some() || spec.value_scale != 1.0 {
            return narrow_values(backend, qkv, spec, |qkv| backend.attention(qkv, &params, rows, &mut caches));
        }
        if spec.strided {
            let attended = backend.attention(qkv, &params, rows, &mut caches)?;
            return in_stored_order(backend, &attended, spec);
        }
        let Some(gate) = spec.gate else {
            return backend.attention(qkv, &params, rows, &mut caches);
        };
        let own = (spec.heads + 2 * spec.kv_heads) * spec.head_dim;
        let attended = backend.attention(&backend.columns(qkv, 0..own)?, &params, rows, &mut caches)?;
        let attended = self.norm(&attended, attention.output_norm.as_ref())?;
        let gates = |width: usize| backend.columns(qkv, own..own + width);
        match gate {
            Gate::Sigmoid => backend.sigmoid_gate(&attended, &gates(spec.heads * spec.head_dim)?),
            Gate::HeadSigmoid => backend.sigmoid_gate(&attended, &gates(spec.heads)?),
            Gate::HeadSoftplus => {
                backend.multiply(&attended, &backend.activate(&gates(spec.heads)?, Activation::Softplus)?)
            }
        }
    }
}

/// Attention with values that are narrower than heads, or scaled.
fn narrow_values<B: Backend>(
    backend: &B,
    qkv: &B::Tensor,
    spec: &spec::Attention,
    attend: impl FnOnce(&B::Tensor) -> Result<B::Tensor>,
) -> Result<B::Tensor> {
    let (kv_heads, head_dim) = (spec.kv_heads, spec.head_dim);
    let width = spec.value_dim.unwrap_or(head_dim);
    let keys_end = (spec.heads + kv_heads) * head_dim;
    let values = backend.columns(qkv, keys_end..keys_end + kv_heads * width)?;
    let values = backend.join_heads(&[HeadPart::Own(&values), HeadPart::Zeros(head_dim - width)], kv_heads)?;
    let others = backend.columns(qkv, 0..keys_end)?;
    let attended = attend(&backend.join_heads(&[HeadPart::Own(&others), HeadPart::Own(&values)], 1)?)?;
    let attended = backend.head_columns(&attended, spec.heads, 0..width)?;
    if spec.value_scale == 1.0 { Ok(attended) } else { backend.scale(&attended, spec.value_scale) }
}

/// What attention gives for query heads by key head, in the order that the output projection has them.
fn in_stored_order<B: Backend>(backend: &B, attended: &B::Tensor, spec: &spec::Attention) -> Result<B::Tensor> {
    let group = spec.heads / spec.kv_heads;
    let width = group * spec.head_dim;
    let of_key_head = |head: usize| backend.columns(attended, head * width..(head + 1) * width);
    let parts = (0..spec.kv_heads).map(of_key_head).collect::<Result<Vec<_>>>()?;
    backend.join_heads(&parts.iter().map(HeadPart::Own).collect::<Vec<_>>(), group)
}

/// Runs a recurrent layer over the states of all sequences, which go on to those after their rows.
pub(super) fn recurrent<B: Backend, T>(
    index: usize,
    rows: &Rows,
    sequences: &mut [&mut Sequence<B>],
    run: impl FnOnce(&mut [B::State]) -> Result<T>,
) -> Result<T> {
    advance(rows, sequences, |sequence| sequence.recurrent(index), run)
}

/// [`recurrent`] for the state that `of` finds.
pub(super) fn advance<B: Backend, T>(
    rows: &Rows,
    sequences: &mut [&mut Sequence<B>],
    of: impl Fn(&mut Sequence<B>) -> Result<&mut Recurrent<B::State>>,
    run: impl FnOnce(&mut [B::State]) -> Result<T>,
) -> Result<T> {
    let states = sequences.iter_mut().map(|sequence| Ok(of(sequence)?.state().clone()));
    let mut states = states.collect::<Result<Vec<_>>>()?;
    let result = run(&mut states)?;
    for ((sequence, state), segment) in sequences.iter_mut().zip(states).zip(rows.segments()) {
        of(sequence)?.advance(state, segment.len);
    }
    Ok(result)
}
