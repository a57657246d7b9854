//! The pre-norm decoder: embedding, layers of attention and gated MLP, final norm, head.

use std::rc::Rc;
use std::sync::Arc;

use super::Sequence;
use crate::arch::spec::{self, Spec};
use crate::backend::{AttentionParams, Backend, Ids, Rows};
use crate::error::{Error, Result};

/// A loaded decoder-only model.
pub(crate) struct Decoder<B: Backend> {
    pub(super) backend: Rc<B>,
    pub(super) spec: Arc<Spec>,
    pub(super) embedding: B::Linear,
    pub(super) layers: Vec<Layer<B>>,
    pub(super) final_norm: B::Norm,
    pub(super) head: Option<B::Linear>,
}

/// The weights of a layer.
pub(super) struct Layer<B: Backend> {
    pub attention_norm: B::Norm,
    pub qkv: B::Linear,
    pub query_norm: Option<B::Norm>,
    pub key_norm: Option<B::Norm>,
    pub rope: Option<Rc<B::Rope>>,
    pub output: B::Linear,
    pub mlp_norm: B::Norm,
    pub gate_up: B::Linear,
    pub down: B::Linear,
}

impl<B: Backend> Decoder<B> {
    /// What the model is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// An empty sequence.
    pub fn new_sequence(&self) -> Sequence<B> {
        Sequence::new(&self.backend, &self.spec)
    }

    /// Embeddings of token ids, one row each.
    pub fn embed(&self, ids: Ids<'_, B>) -> Result<B::Tensor> {
        self.backend.embed(&self.embedding, ids)
    }

    /// Runs all layers over embedded rows and appends them to their sequences (one for each segment of `rows`, in
    /// order). Gives the hidden states before the final norm, one a row.
    ///
    /// `interrupted` is asked before each layer. On an interruption or error the sequences are as they were.
    ///
    /// # Errors
    /// `Cancelled` when interrupted; what the backend reports.
    pub fn forward(
        &self,
        embedded: B::Tensor,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<B::Tensor> {
        let result = self.run_layers(embedded, rows, sequences, interrupted);
        for (sequence, segment) in sequences.iter_mut().zip(rows.segments()) {
            match result {
                Ok(_) => sequence.commit(segment.len),
                Err(_) => sequence.roll_back(),
            }
        }
        result
    }

    fn run_layers(
        &self,
        mut x: B::Tensor,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<B::Tensor> {
        for (index, (layer, spec)) in self.layers.iter().zip(&self.spec.layers).enumerate() {
            if interrupted() {
                return Err(Error::cancelled());
            }
            let mut caches: Vec<_> = sequences.iter_mut().map(|s| &mut s.caches[index]).collect();
            x = self.run_layer(layer, spec, &x, rows, &mut caches)?;
        }
        Ok(x)
    }

    fn run_layer(
        &self,
        layer: &Layer<B>,
        spec: &spec::Layer,
        x: &B::Tensor,
        rows: &Rows,
        caches: &mut [&mut B::Cache],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let qkv = backend.norm_linear(x, &layer.attention_norm, &layer.qkv)?;
        let params = AttentionParams {
            heads: spec.attention.heads,
            kv_heads: spec.attention.kv_heads,
            head_dim: spec.attention.head_dim,
            scale: spec.attention.scale,
            query_norm: layer.query_norm.as_ref(),
            key_norm: layer.key_norm.as_ref(),
            rope: layer.rope.as_deref(),
            window: spec.attention.window,
        };
        let attended = backend.attention(&qkv, &params, rows, caches)?;
        let x = backend.linear_add(&attended, &layer.output, x)?;
        backend.gated_mlp(&x, &layer.mlp_norm, &layer.gate_up, &layer.down, spec.mlp.activation)
    }

    /// Logits of the given rows of hidden states.
    pub fn logits(&self, hidden: &B::Tensor, rows: &[usize]) -> Result<B::Tensor> {
        let chosen = self.backend.select_rows(hidden, rows)?;
        let normed = self.backend.norm(&chosen, &self.final_norm)?;
        self.backend.logits(&normed, self.head.as_ref().unwrap_or(&self.embedding))
    }
}
