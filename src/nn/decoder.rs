//! The decoder: embedding, layers, final norm, head.

use std::rc::Rc;
use std::sync::Arc;

use super::Sequence;
use super::ffn;
use super::latent;
use super::layer::{Attention, Ffn, GatedDelta, Layer, Mixer, PerLayerInput, PerLayerInputs};
use crate::arch::spec::{self, Spec};
use crate::backend::{AttentionExtras, AttentionParams, Backend, DeltaParams, Ids, Rows};
use crate::error::{Error, Result};

/// A loaded decoder-only model.
pub(crate) struct Decoder<B: Backend> {
    pub(super) backend: Rc<B>,
    pub(super) spec: Arc<Spec>,
    pub(super) embedding: B::Linear,
    pub(super) positions: Option<B::Linear>,
    pub(super) per_layer_inputs: Option<PerLayerInputs<B>>,
    pub(super) layers: Vec<Layer<B>>,
    pub(super) final_norm: B::Norm,
    pub(super) head: Option<B::Linear>,
}

/// Tokens as the layers take them in.
pub(crate) struct Embedded<B: Backend> {
    x: B::Tensor,
    /// The parts of all layers side by side.
    per_layer: Option<B::Tensor>,
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
    pub fn embed(&self, ids: Ids<'_, B>) -> Result<Embedded<B>> {
        let (backend, spec) = (&*self.backend, &*self.spec);
        let scaled = |x: B::Tensor, factor: f32| if factor == 1.0 { Ok(x) } else { backend.scale(&x, factor) };
        let x = scaled(backend.embed(&self.embedding, ids)?, spec.embedding_scale)?;
        let (Some(inputs), Some(input)) = (&self.per_layer_inputs, &spec.per_layer_inputs) else {
            return Ok(Embedded { x, per_layer: None });
        };
        let looked_up = scaled(backend.embed(&inputs.table, ids)?, input.table_scale)?;
        let projected = scaled(backend.linear(&x, &inputs.projection)?, input.projection_scale)?;
        let sum = backend.add(&backend.norm(&projected, &inputs.norm)?, &looked_up)?;
        Ok(Embedded { x, per_layer: Some(scaled(sum, input.scale)?) })
    }

    /// Runs all layers over embedded rows and appends them to their sequences (one for each segment of `rows`, in
    /// order). Gives the hidden states before the final norm, one a row.
    ///
    /// `interrupted` is asked before each layer. On an interruption or error the sequences are as they were.
    ///
    /// # Errors
    /// `Cancelled` when interrupted; `ContextOverflow` past the last of learned positions; what the backend reports.
    pub fn forward(
        &self,
        embedded: Embedded<B>,
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
        embedded: Embedded<B>,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<B::Tensor> {
        let Embedded { mut x, per_layer } = embedded;
        if let Some(table) = &self.positions {
            x = self.backend.add(&x, &self.backend.embed(table, Ids::Host(&self.positions(rows)?))?)?;
        }
        for (index, (layer, spec)) in self.layers.iter().zip(&self.spec.layers).enumerate() {
            if interrupted() {
                return Err(Error::cancelled());
            }
            x = self.run_layer(layer, spec, &x, index, rows, sequences)?;
            if let (Some(input), Some(input_spec)) = (&layer.per_layer_input, &spec.per_layer_input) {
                let all = per_layer.as_ref().ok_or_else(|| Error::internal("a layer without its own input"))?;
                let width = input_spec.gate.outputs;
                let own = self.backend.columns(all, index * width..(index + 1) * width)?;
                x = self.take_in(&x, &own, input, input_spec)?;
            }
            if layer.output_scale != 1.0 {
                x = self.backend.scale(&x, layer.output_scale)?;
            }
        }
        Ok(x)
    }

    /// The position of each row.
    fn positions(&self, rows: &Rows) -> Result<Vec<u32>> {
        let positions = rows.segments().iter().flat_map(|s| s.position..s.position + s.len);
        let limit = self.spec.context_length;
        let position = |position: usize| match u32::try_from(position) {
            Ok(index) if position < limit => Ok(index),
            _ => Err(Error::new(
                crate::error::Code::ContextOverflow,
                format!("position {position} of a model that learned {limit}"),
            )
            .with_hint("shorten the prompt or the answer")),
        };
        positions.map(position).collect()
    }

    fn run_layer(
        &self,
        layer: &Layer<B>,
        spec: &spec::Layer,
        x: &B::Tensor,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let (input_matrix, output) = (layer.mixer.input(), layer.mixer.output());
        if spec.parallel {
            let normed = self.norm(x, layer.mixer_norm.as_ref())?;
            let input = backend.linear(&normed, input_matrix)?;
            let mixed = self.mix(&layer.mixer, spec, &input, index, rows, sequences)?;
            let input = match &layer.ffn_norm {
                Some(norm) => backend.norm(x, norm)?,
                None => normed,
            };
            let x = backend.linear_add(&mixed, output, x)?;
            return match &layer.ffn {
                Ffn::Dense(mlp) => backend.linear_add(&ffn::hidden(backend, mlp, &input)?, &mlp.down, &x),
                block => backend.add(&x, &ffn::ffn(backend, block, &spec.ffn, &input)?),
            };
        }
        let input = match &layer.mixer_norm {
            Some(norm) => backend.norm_linear(x, norm, input_matrix)?,
            None => backend.linear(x, input_matrix)?,
        };
        let mixed = self.mix(&layer.mixer, spec, &input, index, rows, sequences)?;
        let h = self.project_add(x, &mixed, output, layer.mixer_post_norm.as_ref(), spec)?;
        self.run_ffn(layer, spec, h)
    }

    fn run_ffn(&self, layer: &Layer<B>, spec: &spec::Layer, h: B::Tensor) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let (norm, post) = (layer.ffn_norm.as_ref(), layer.ffn_post_norm.as_ref());
        match (&layer.ffn, norm) {
            (Ffn::Dense(mlp), Some(norm)) if mlp.gated && post.is_none() && spec.residual_scale == 1.0 => {
                backend.gated_mlp(&h, norm, &mlp.gate_up, &mlp.down, mlp.activation)
            }
            (Ffn::Dense(mlp), norm) => {
                let first = match norm {
                    Some(norm) => backend.norm_linear(&h, norm, &mlp.gate_up)?,
                    None => backend.linear(&h, &mlp.gate_up)?,
                };
                let hidden = ffn::activated(backend, mlp, &first)?;
                self.project_add(&h, &hidden, &mlp.down, post, spec)
            }
            (block, norm) => {
                let y = ffn::ffn(backend, block, &spec.ffn, &self.norm(&h, norm)?)?;
                self.add_branch(&h, y, post, spec)
            }
        }
    }

    /// What the mixer makes of its first projection, for its last one.
    fn mix(
        &self,
        mixer: &Mixer<B>,
        layer: &spec::Layer,
        input: &B::Tensor,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        if let (Mixer::Latent(latent), spec::Mixer::Latent(spec)) = (mixer, &layer.mixer) {
            let mut caches: Vec<_> = sequences.iter_mut().map(|s| s.cache_mut(index)).collect::<Result<_>>()?;
            return latent::latent(backend, latent, spec, input, rows, &mut caches);
        }
        let mut states = Vec::new();
        if !matches!(mixer, Mixer::Attention(_)) {
            for sequence in sequences.iter_mut() {
                states.push(sequence.recurrent(index)?.state().clone());
            }
        }
        let mixed = match (mixer, &layer.mixer) {
            (Mixer::Attention(attention), spec::Mixer::Attention(spec)) => {
                return self.attend(attention, spec, input, index, rows, sequences);
            }
            (Mixer::ShortConv(short), _) => backend.short_conv(input, &short.conv, rows, &mut states)?,
            (Mixer::GatedDelta(delta), spec::Mixer::GatedDelta(spec)) => {
                let GatedDelta { conv, decay, step, norm, .. } = &**delta;
                backend.gated_delta(input, &DeltaParams { spec, conv, decay, step, norm }, rows, &mut states)?
            }
            _ => return Err(Error::internal("a mixer that its layer does not have")),
        };
        for ((sequence, state), segment) in sequences.iter_mut().zip(states).zip(rows.segments()) {
            sequence.recurrent(index)?.advance(state, segment.len);
        }
        Ok(mixed)
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

    /// Adds a layer's own part of the second embedding.
    fn take_in(
        &self,
        x: &B::Tensor,
        own: &B::Tensor,
        input: &PerLayerInput<B>,
        spec: &spec::PerLayerInput,
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let gate = backend.activate(&backend.linear(x, &input.gate)?, spec.activation)?;
        let projected = backend.linear(&backend.multiply(&gate, own)?, &input.projection)?;
        backend.add(x, &backend.norm(&projected, &input.norm)?)
    }

    fn norm(&self, x: &B::Tensor, norm: Option<&B::Norm>) -> Result<B::Tensor> {
        norm.map_or_else(|| Ok(x.clone()), |norm| self.backend.norm(x, norm))
    }

    /// `residual + scale * post(linear(x))`.
    fn project_add(
        &self,
        residual: &B::Tensor,
        x: &B::Tensor,
        linear: &B::Linear,
        post: Option<&B::Norm>,
        spec: &spec::Layer,
    ) -> Result<B::Tensor> {
        if post.is_none() && spec.residual_scale == 1.0 {
            return self.backend.linear_add(x, linear, residual);
        }
        let y = self.backend.linear(x, linear)?;
        self.add_branch(residual, y, post, spec)
    }

    /// `residual + scale * post(y)`.
    fn add_branch(
        &self,
        residual: &B::Tensor,
        y: B::Tensor,
        post: Option<&B::Norm>,
        spec: &spec::Layer,
    ) -> Result<B::Tensor> {
        let mut y = self.norm(&y, post)?;
        if spec.residual_scale != 1.0 {
            y = self.backend.scale(&y, spec.residual_scale)?;
        }
        self.backend.add(residual, &y)
    }

    /// Logits of the given rows of hidden states.
    pub fn logits(&self, hidden: &B::Tensor, rows: &[usize]) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let chosen = backend.select_rows(hidden, rows)?;
        let normed = backend.norm(&chosen, &self.final_norm)?;
        let mut logits = backend.logits(&normed, self.head.as_ref().unwrap_or(&self.embedding))?;
        if self.spec.logit_scale != 1.0 {
            logits = backend.scale(&logits, self.spec.logit_scale)?;
        }
        match self.spec.logit_softcap {
            Some(cap) => backend.softcap(&logits, cap),
            None => Ok(logits),
        }
    }
}
