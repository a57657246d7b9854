//! Which positions attention sees, where an indexer chooses them.

use super::Sequence;
use super::layer::Indexer;
use crate::arch::spec;
use crate::backend::{Backend, IndexInput, Rows};
use crate::error::Result;

/// Norms and rotates queries and keys as the mixer's projections gave them, and chooses.
pub(super) fn choose<B: Backend>(
    backend: &B,
    weights: &Indexer<B>,
    spec: &spec::Indexer,
    input: IndexInput<'_, B::Operands>,
    index: usize,
    rows: &Rows,
    sequences: &mut [&mut Sequence<B>],
) -> Result<B::Choice> {
    let prepared = |x: &B::Tensor, norm: Option<&B::Norm>, heads: usize| {
        let normed = norm.map_or_else(|| Ok(x.clone()), |norm| backend.norm(x, norm))?;
        match &weights.rope {
            Some(rope) => backend.rotate(&normed, heads, rope, rows),
            None => Ok(normed),
        }
    };
    let queries = prepared(input.queries, weights.query_norm.as_ref(), spec.heads)?;
    let keys = prepared(input.keys, weights.key_norm.as_ref(), 1)?;
    let mut caches: Vec<_> = sequences.iter_mut().map(|s| s.index_mut(index)).collect::<Result<_>>()?;
    backend.choose(IndexInput { queries: &queries, keys: &keys, ..input }, spec, rows, &mut caches)
}
