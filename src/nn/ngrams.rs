//! Embeddings of the last few tokens together.

use super::layer::Ngram;
use super::{Decoder, Sequence};
use crate::arch::spec;
use crate::backend::{Backend, Ids, Rows};
use crate::error::{Error, Result};

impl<B: Backend> Decoder<B> {
    /// The average of the tokens' embeddings and those of the n-grams that they end. Sequences remember the tokens.
    pub(super) fn with_ngrams(
        &self,
        x: B::Tensor,
        ids: &[u32],
        ngrams: &spec::Ngrams,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let mut sum = x;
        for (Ngram { table, projection }, spec) in self.ngrams.iter().zip(&ngrams.tables) {
            let mut found = Vec::with_capacity(ids.len());
            for (segment, sequence) in rows.segments().iter().zip(sequences.iter()) {
                let own = ids
                    .get(segment.start..segment.start + segment.len)
                    .ok_or_else(|| Error::internal(format!("{} tokens for {} rows", ids.len(), rows.len())))?;
                found.extend(spec.rows(sequence.last_tokens(ngrams.before()), own, self.spec.vocab));
            }
            sum = backend.linear_add(&backend.embed(table, Ids::Host(&found))?, projection, &sum)?;
        }
        for (segment, sequence) in rows.segments().iter().zip(sequences) {
            sequence.remember(&ids[segment.start..segment.start + segment.len]);
        }
        backend.scale(&sum, 1.0 / (1 + ngrams.tables.len()) as f32)
    }
}
