//! What few models do with queries, keys and values around attention.

use super::Decoder;
use super::Sequence;
use super::layer::Attention;
use super::mixer::recurrent;
use crate::arch::spec::{self, Activation, SecondLook};
use crate::backend::{AttentionExtras, AttentionParams, Backend, HeadPart, Rows};
use crate::error::{Error, Result};

/// Queries, keys and values of a row.
struct Parts<B: Backend> {
    queries: B::Tensor,
    keys: B::Tensor,
    values: B::Tensor,
}

impl<B: Backend> Parts<B> {
    fn of(backend: &B, qkv: &B::Tensor, spec: &spec::Attention) -> Result<Self> {
        let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        Ok(Self {
            queries: backend.columns(qkv, 0..queries)?,
            keys: backend.columns(qkv, queries..queries + keys)?,
            values: backend.columns(qkv, queries + keys..queries + 2 * keys)?,
        })
    }

    fn joined(&self, backend: &B) -> Result<B::Tensor> {
        let Self { queries, keys, values } = self;
        backend.join_heads(&[HeadPart::Own(queries), HeadPart::Own(keys), HeadPart::Own(values)], 1)
    }
}

/// The same attention of queries and keys that are normed and rotated already.
fn prepared<'a, B: Backend>(params: &AttentionParams<'a, B>) -> AttentionParams<'a, B> {
    let extras = AttentionExtras { value_norm: None, norm_after_rope: false, ..params.extras };
    AttentionParams { query_norm: None, key_norm: None, rope: None, extras, ..*params }
}

/// Norms and rotates heads in the order that the model has.
fn turned<B: Backend>(
    backend: &B,
    x: &B::Tensor,
    heads: usize,
    norm: Option<&B::Norm>,
    params: &AttentionParams<'_, B::Operands>,
    rows: &Rows,
) -> Result<B::Tensor> {
    let normed = |x: &B::Tensor| norm.map_or_else(|| Ok(x.clone()), |norm| backend.norm(x, norm));
    let rotated = |x: &B::Tensor| match params.rope {
        Some(rope) => backend.rotate(x, heads, rope, rows),
        None => Ok(x.clone()),
    };
    if params.extras.norm_after_rope { normed(&rotated(x)?) } else { rotated(&normed(x)?) }
}

impl<B: Backend> Decoder<B> {
    /// Queries, keys and values with the last two sent through their convolution.
    pub(super) fn convolved(
        &self,
        qkv: &B::Tensor,
        conv: &B::Conv,
        spec: &spec::Attention,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let queries = spec.heads * spec.head_dim;
        let both = backend.columns(qkv, queries..queries + 2 * spec.kv_heads * spec.head_dim)?;
        let both = recurrent(index, rows, sequences, |states| backend.convolve(&both, conv, rows, states))?;
        let queries = backend.columns(qkv, 0..queries)?;
        backend.join_heads(&[HeadPart::Own(&queries), HeadPart::Own(&both)], 1)
    }

    /// Attention whose keys and values are rounded before they are kept.
    pub(super) fn attend_rounded(
        &self,
        attention: &Attention<B>,
        spec: &spec::Attention,
        qkv: &B::Tensor,
        params: &AttentionParams<'_, B::Operands>,
        rows: &Rows,
        caches: &mut [&mut B::Cache],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let [key, value] = attention.rounding.ok_or_else(|| Error::internal("attention without its rounding"))?;
        let parts = Parts::of(backend, qkv, spec)?;
        let rounded = |x: &B::Tensor, step: f32| backend.activate(x, Activation::Rounded { step });
        let keys = turned(backend, &parts.keys, spec.kv_heads, params.key_norm, params, rows)?;
        let parts = Parts {
            queries: turned(backend, &parts.queries, spec.heads, params.query_norm, params, rows)?,
            keys: rounded(&keys, key)?,
            values: rounded(&parts.values, value)?,
        };
        backend.attention(&parts.joined(backend)?, &prepared(params), rows, caches)
    }

    /// Attention of a layer that runs the second time.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn look_twice(
        &self,
        attention: &Attention<B>,
        spec: &spec::Attention,
        first: usize,
        qkv: &B::Tensor,
        params: &AttentionParams<'_, B::Operands>,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let gate = attention.gate.as_ref().ok_or_else(|| Error::internal("a second look without its gate"))?;
        let parts = Parts::of(backend, qkv, spec)?;
        let parts = Parts {
            queries: turned(backend, &parts.queries, spec.heads, params.query_norm, params, rows)?,
            keys: turned(backend, &parts.keys, spec.kv_heads, params.key_norm, params, rows)?,
            values: parts.values,
        };
        let gate = backend.heads_linear(&parts.queries, gate)?;
        let local = prepared(params);
        let global = AttentionParams { window: None, ..prepared(params) };
        let earlier: Vec<_> = sequences.iter().map(|s| s.cache(first)).collect::<Result<_>>()?;
        let before = backend.attention_shared(&parts.queries, &global, rows, &earlier)?;
        let mut caches: Vec<_> = sequences.iter_mut().map(|s| s.cache_mut(index)).collect::<Result<_>>()?;
        let now = backend.attention(&parts.joined(backend)?, &local, rows, &mut caches)?;
        let before = backend.sigmoid_gate(&before, &gate)?;
        backend.add(&before, &backend.sigmoid_gate(&now, &backend.scale(&gate, -1.0)?)?)
    }
}

/// The layer whose first run a second look goes back to.
pub(super) fn first_run(look: Option<&SecondLook>) -> Option<usize> {
    look.and_then(|look| look.first)
}
