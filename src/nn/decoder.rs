//! The decoder: embedding, layers, final norm, head.

use std::rc::Rc;
use std::sync::Arc;

use super::compressed::Shared;
use super::hyper::HyperStreams;
use super::layer::{Ffn, Layer, Mixer, Ngram, PerLayerInput, PerLayerInputs, ResidualQuery};
use super::mixer::{advance, recurrent};
use super::{Sequence, ffn, time_mix};
use crate::arch::spec::{self, Spec};
use crate::backend::{Backend, Ids, Rows};
use crate::error::{Error, Result};

/// A loaded decoder-only model.
pub(crate) struct Decoder<B: Backend> {
    pub(super) backend: Rc<B>,
    pub(super) spec: Arc<Spec>,
    pub(super) embedding: B::Linear,
    pub(super) embedding_norm: Option<B::Norm>,
    pub(super) positions: Option<B::Linear>,
    pub(super) per_layer_inputs: Option<PerLayerInputs<B>>,
    pub(super) ngrams: Vec<Ngram<B>>,
    /// Makes the other streams of an embedding.
    pub(super) widen: Vec<B::Linear>,
    /// Makes what is averaged of the other streams.
    pub(super) narrow: Vec<B::Linear>,
    pub(super) layers: Vec<Rc<Layer<B>>>,
    /// Of what the head reads, where layers attend to residual streams.
    pub(super) residual_query: Option<ResidualQuery<B>>,
    pub(super) final_norm: B::Norm,
    pub(super) head: Option<B::Linear>,
    pub(super) logit_scale: f32,
    /// Minus infinity for ids that are never an answer, zero for others.
    pub(super) unused: Option<B::Vector>,
}

/// Tokens as the layers take them in.
pub(crate) struct Embedded<B: Backend> {
    x: B::Tensor,
    /// The parts of all layers side by side.
    per_layer: Option<B::Tensor>,
    /// The tokens, where they count again.
    ids: Vec<u32>,
}

/// What goes from layer to layer beside the residual stream.
struct Carried<B: Backend> {
    /// Of a second feed-forward block, added after the next layer.
    aside: Option<B::Tensor>,
    /// The values of the first layer's time mixing.
    values: Option<B::Tensor>,
}

impl<B: Backend> Default for Carried<B> {
    fn default() -> Self {
        Self { aside: None, values: None }
    }
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
    pub fn embed(&self, ids: Ids<'_, B::Operands>) -> Result<Embedded<B>> {
        let (backend, spec) = (&*self.backend, &*self.spec);
        let scaled = |x: B::Tensor, factor: f32| if factor == 1.0 { Ok(x) } else { backend.scale(&x, factor) };
        let x = scaled(backend.embed(&self.embedding, ids)?, spec.embedding_scale)?;
        let x = self.norm(&x, self.embedding_norm.as_ref())?;
        let x = if spec.wide_stream { backend.widen(&x)? } else { x };
        let (Some(inputs), Some(input)) = (&self.per_layer_inputs, &spec.per_layer_inputs) else {
            // A device that picked them has to tell.
            let ids = match (&spec.ngrams, ids) {
                (None, _) => Vec::new(),
                (Some(_), Ids::Host(ids)) => ids.to_vec(),
                (Some(_), Ids::Device(tokens)) => backend.read_tokens(tokens)?,
            };
            return Ok(Embedded { x, per_layer: None, ids });
        };
        let looked_up = scaled(self.embed_known(&inputs.table, ids, input.table.outputs)?, input.table_scale)?;
        let projected = scaled(backend.linear(&x, &inputs.projection)?, input.projection_scale)?;
        let sum = backend.add(&backend.norm(&projected, &inputs.norm)?, &looked_up)?;
        Ok(Embedded { x, per_layer: Some(scaled(sum, input.scale)?), ids: Vec::new() })
    }

    /// Rows of a table that may be shorter than the vocabulary: tokens that it does not have count as the first.
    fn embed_known(&self, table: &B::Linear, ids: Ids<'_, B::Operands>, rows: usize) -> Result<B::Tensor> {
        if rows >= self.spec.vocab {
            return self.backend.embed(table, ids);
        }
        match ids {
            Ids::Host(ids) => {
                let known: Vec<u32> = ids.iter().map(|&id| if (id as usize) < rows { id } else { 0 }).collect();
                self.backend.embed(table, Ids::Host(&known))
            }
            Ids::Device(tokens) => self.backend.embed(table, Ids::Device(&self.backend.tokens_below(tokens, rows)?)),
        }
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
        let Embedded { mut x, per_layer, ids } = embedded;
        if let Some(ngrams) = &self.spec.ngrams {
            x = self.with_ngrams(x, &ids, ngrams, rows, sequences)?;
        }
        if let Some(table) = &self.positions {
            x = self.backend.add(&x, &self.backend.embed(table, Ids::Host(&self.positions(rows)?))?)?;
        }
        let mut streams = if self.spec.streams.is_some() { self.widen(&x)? } else { Vec::new() };
        let mut hyper = self.spec.hyper_streams.map(|count| (HyperStreams::new(&x, count), Shared::new()));
        let again = self.spec.loops.filter(|loops| loops.normed).map(|loops| self.layers.len() / loops.times.max(1));
        let embedded = self.layers.iter().any(|layer| layer.embedding_scale.is_some()).then(|| x.clone());
        let (mut carried, mut blocks, mut before) = (Carried::default(), Vec::new(), None);
        for (index, (layer, spec)) in self.layers.iter().zip(&self.spec.layers).enumerate() {
            if interrupted() {
                return Err(Error::cancelled());
            }
            if B::PIPELINED
                && let Some(done) = index.checked_sub(1)
            {
                let all = hyper.as_ref().map_or(&*streams, |(streams, _)| streams.all());
                let left = if all.is_empty() { vec![&x] } else { all.iter().collect() };
                let kept = sequences.iter().flat_map(|sequence| sequence.kept(done));
                self.backend.layer_done(&left, kept, before.as_ref())?;
                before = left.first().copied().cloned();
            }
            if let Some((streams, shared)) = &mut hyper {
                self.run_hyper(layer, spec, streams, shared, index, rows, sequences)?;
                continue;
            }
            if again.is_some_and(|own| index > 0 && index.is_multiple_of(own)) {
                x = self.backend.norm(&x, &self.final_norm)?;
            }
            let own = match (&spec.per_layer_input, &per_layer) {
                (Some(input), Some(all)) => {
                    let width = input.gate.outputs;
                    Some(self.backend.columns(all, index * width..(index + 1) * width)?)
                }
                _ => None,
            };
            if let Some(residuals) = &spec.residuals {
                x = self.run_attending(layer, spec, residuals.begins, x, &mut blocks, index, rows, sequences)?;
                continue;
            }
            if !streams.is_empty() {
                streams = self.run_streams(layer, spec, &streams, own.as_ref(), index, rows, sequences)?;
                continue;
            }
            let before = carried.aside.take();
            x = self.run_layer(layer, spec, (&x, &mut carried), index, rows, sequences)?;
            if let Some(before) = before {
                x = self.backend.add(&x, &before)?;
            }
            if let (Some(input), Some(input_spec)) = (&layer.per_layer_input, &spec.per_layer_input) {
                let own = own.ok_or_else(|| Error::internal("a layer without its own input"))?;
                x = self.backend.add(&x, &self.own_part(&x, &own, input, input_spec)?)?;
            }
            if let (Some(embedded), Some(scale)) = (&embedded, layer.embedding_scale) {
                x = self.backend.add(&x, &self.backend.scale(embedded, scale)?)?;
            }
            if layer.output_scale != 1.0 {
                x = self.backend.scale(&x, layer.output_scale)?;
            }
        }
        if !streams.is_empty() {
            x = self.narrow(&streams)?;
        }
        if let Some((streams, _)) = &hyper {
            x = streams.read(&self.backend)?;
        }
        match &self.residual_query {
            Some(query) => self.mixture(&blocks, &x, query),
            None => Ok(x),
        }
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

    /// A layer that also takes in and changes what goes from layer to layer beside the residual stream.
    fn run_layer(
        &self,
        layer: &Layer<B>,
        spec: &spec::Layer,
        (x, carried): (&B::Tensor, &mut Carried<B>),
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        if spec.parallel {
            let (first, last) = layer.mixer.projections()?;
            let normed = self.norm(x, layer.mixer_norm.as_ref())?;
            let input = backend.linear(&normed, first)?;
            let mixed = self.mix(&layer.mixer, &spec.mixer, &input, index, rows, sequences)?;
            let input = match &layer.ffn_norm {
                Some(norm) => backend.norm(x, norm)?,
                None => normed,
            };
            let x = backend.linear_add(&mixed, last, x)?;
            return match &layer.ffn {
                Ffn::Dense(mlp) => backend.linear_add(&ffn::hidden(backend, mlp, &input)?, &mlp.down, &x),
                block => backend.add(&x, &ffn::ffn(backend, block, &spec.ffn, &input)?),
            };
        }
        let h = match (&layer.beside, &spec.beside) {
            (Some(beside), Some(beside_spec)) => {
                let normed = self.norm(x, layer.mixer_norm.as_ref())?;
                let mut h = self.kept(layer, 0, x)?;
                for (mixer, mixer_spec) in [(beside, beside_spec), (&layer.mixer, &spec.mixer)] {
                    let (first, last) = mixer.projections()?;
                    let input = backend.linear(&normed, first)?;
                    let mixed = self.mix(mixer, mixer_spec, &input, index, rows, sequences)?;
                    h = self.project_add(&h, &mixed, last, layer.mixer_post_norm.as_ref(), layer.branch_scales[0])?;
                }
                h
            }
            _ if matches!(layer.mixer, Mixer::None) => x.clone(),
            _ if let (Mixer::TimeMix(mix), spec::Mixer::TimeMix(mix_spec)) = (&layer.mixer, &spec.mixer) => {
                let normed = self.norm(x, layer.mixer_norm.as_ref())?;
                let values = &mut carried.values;
                let mixed = recurrent(index, rows, sequences, |states| {
                    time_mix::time_mix(backend, mix, mix_spec, &normed, values, rows, states)
                })?;
                self.project_add(
                    &self.kept(layer, 0, x)?,
                    &mixed,
                    &mix.output,
                    layer.mixer_post_norm.as_ref(),
                    layer.branch_scales[0],
                )?
            }
            _ => {
                let (first, last) = layer.mixer.projections()?;
                let input = match &layer.mixer_norm {
                    Some(norm) => backend.norm_linear(x, norm, first)?,
                    None => backend.linear(x, first)?,
                };
                let mixed = self.mix(&layer.mixer, &spec.mixer, &input, index, rows, sequences)?;
                let post = layer.mixer_post_norm.as_ref();
                self.project_add(&self.kept(layer, 0, x)?, &mixed, last, post, layer.branch_scales[0])?
            }
        };
        carried.aside = match (&layer.shortcut, &spec.shortcut) {
            (Some(block), Some(spec)) => {
                Some(ffn::ffn(backend, block, spec, &self.norm(&h, layer.ffn_norm.as_ref())?)?)
            }
            _ => None,
        };
        match &layer.ffn {
            Ffn::ChannelMix(mix) => {
                let normed = self.norm(&h, layer.ffn_norm.as_ref())?;
                let hidden = advance(
                    rows,
                    sequences,
                    |sequence| sequence.recurrent_ffn(index),
                    |states| time_mix::channel_mix(backend, mix, &normed, rows, states),
                )?;
                let h = self.kept(layer, 1, &h)?;
                self.project_add(&h, &hidden, &mix.value, layer.ffn_post_norm.as_ref(), layer.branch_scales[1])
            }
            _ => self.run_ffn(layer, spec, h),
        }
    }

    pub(super) fn run_ffn(&self, layer: &Layer<B>, spec: &spec::Layer, h: B::Tensor) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let (norm, post) = (layer.ffn_norm.as_ref(), layer.ffn_post_norm.as_ref());
        let scale = layer.branch_scales[1];
        let plain = post.is_none() && scale == 1.0 && layer.stream_factors.is_none();
        match (&layer.ffn, norm) {
            (Ffn::None, _) => Ok(h),
            (Ffn::Dense(mlp), Some(norm)) if plain && mlp.gated && mlp.interleaved.is_none() && mlp.norm.is_none() => {
                backend.gated_mlp(&h, norm, &mlp.gate_up, &mlp.down, mlp.activation)
            }
            (Ffn::Dense(mlp), norm) => {
                let first = match norm {
                    Some(norm) => backend.norm_linear(&h, norm, &mlp.gate_up)?,
                    None => backend.linear(&h, &mlp.gate_up)?,
                };
                let hidden = ffn::activated(backend, mlp, &first)?;
                self.project_add(&self.kept(layer, 1, &h)?, &hidden, &mlp.down, post, scale)
            }
            (block, norm) => {
                let y = ffn::ffn(backend, block, &spec.ffn, &self.norm(&h, norm)?)?;
                self.add_branch(&self.kept(layer, 1, &h)?, y, post, scale)
            }
        }
    }

    /// What a layer adds for its own part of the second embedding.
    pub(super) fn own_part(
        &self,
        x: &B::Tensor,
        own: &B::Tensor,
        input: &PerLayerInput<B>,
        spec: &spec::PerLayerInput,
    ) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let gate = backend.activate(&backend.linear(x, &input.gate)?, spec.activation)?;
        let projected = backend.linear(&backend.multiply(&gate, own)?, &input.projection)?;
        backend.norm(&projected, &input.norm)
    }

    pub(super) fn norm(&self, x: &B::Tensor, norm: Option<&B::Norm>) -> Result<B::Tensor> {
        norm.map_or_else(|| Ok(x.clone()), |norm| self.backend.norm(x, norm))
    }

    /// What is kept of the residual stream where a block's output is added: that of the mixer (0), or of the feed-forward
    /// block (1).
    fn kept(&self, layer: &Layer<B>, block: usize, x: &B::Tensor) -> Result<B::Tensor> {
        match layer.stream_factors.as_deref().and_then(|factors| factors.get(block)) {
            Some(factors) => self.backend.scale_columns(x, factors),
            None => Ok(x.clone()),
        }
    }

    /// `residual + scale * post(linear(x))`.
    pub(super) fn project_add(
        &self,
        residual: &B::Tensor,
        x: &B::Tensor,
        linear: &B::Linear,
        post: Option<&B::Norm>,
        scale: f32,
    ) -> Result<B::Tensor> {
        if post.is_none() && scale == 1.0 {
            return self.backend.linear_add(x, linear, residual);
        }
        let y = self.backend.linear(x, linear)?;
        self.add_branch(residual, y, post, scale)
    }

    /// `residual + scale * post(y)`.
    fn add_branch(&self, residual: &B::Tensor, y: B::Tensor, post: Option<&B::Norm>, scale: f32) -> Result<B::Tensor> {
        let mut y = self.norm(&y, post)?;
        if scale != 1.0 {
            y = self.backend.scale(&y, scale)?;
        }
        self.backend.add(residual, &y)
    }

    /// Logits of the given rows of hidden states.
    pub fn logits(&self, hidden: &B::Tensor, rows: &[usize]) -> Result<B::Tensor> {
        let backend = &*self.backend;
        let chosen = backend.select_rows(hidden, rows)?;
        let normed = backend.norm(&chosen, &self.final_norm)?;
        let mut logits = backend.logits(&normed, self.head.as_ref().unwrap_or(&self.embedding))?;
        if self.logit_scale != 1.0 {
            logits = backend.scale(&logits, self.logit_scale)?;
        }
        if let Some(unused) = &self.unused {
            logits = backend.add_columns(&logits, unused)?;
        }
        match self.spec.logit_softcap {
            Some(cap) => backend.softcap(&logits, cap),
            None => Ok(logits),
        }
    }
}
