//! Layers that attend to residual streams.

use super::layer::{Layer, ResidualQuery};
use super::{Decoder, Sequence, ffn};
use crate::arch::spec;
use crate::backend::{Backend, Rows};
use crate::error::{Error, Result};

impl<B: Backend> Decoder<B> {
    /// Brings the stream `x` through a layer, which `begins` a block or not. `blocks` are what those before have ended
    /// with.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn run_attending(
        &self,
        layer: &Layer<B>,
        spec: &spec::Layer,
        begins: bool,
        x: B::Tensor,
        blocks: &mut Vec<B::Tensor>,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let residuals = layer.residuals.as_deref().ok_or_else(|| Error::internal("a layer without its queries"))?;
        let seen = self.norm(&self.mixture(blocks, &x, &residuals.mixer)?, layer.mixer_norm.as_ref())?;
        let (first, last) = layer.mixer.projections()?;
        let mixed = self.mix(&layer.mixer, &spec.mixer, &backend.linear(&seen, first)?, index, rows, sequences)?;
        let x = if begins {
            blocks.push(x);
            backend.linear(&mixed, last)?
        } else {
            backend.linear_add(&mixed, last, &x)?
        };
        let seen = self.norm(&self.mixture(blocks, &x, &residuals.ffn)?, layer.ffn_norm.as_ref())?;
        backend.add(&x, &ffn::ffn(backend, &layer.ffn, &spec.ffn, &seen)?)
    }

    /// What is read of all blocks and the stream of this one.
    pub(super) fn mixture(&self, blocks: &[B::Tensor], x: &B::Tensor, query: &ResidualQuery<B>) -> Result<B::Tensor> {
        if blocks.is_empty() {
            return Ok(x.clone());
        }
        let inputs: Vec<B::Tensor> = blocks.iter().chain([x]).cloned().collect();
        self.backend.mix_by_query(&inputs, &query.query, query.epsilon)
    }
}
