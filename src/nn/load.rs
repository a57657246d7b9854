//! Builds a decoder piece by piece, so that loading one model never holds up the streams of others for long.

mod ffn;
mod mixer;

use std::rc::Rc;
use std::slice::from_ref;
use std::sync::Arc;

use super::Decoder;
use super::layer::{
    AltUp, HyperConnection, Layer, Ngram, PerLayerInput, PerLayerInputs, ResidualAttention, ResidualQuery,
};
use crate::arch::spec::{self, Spec};
use crate::backend::{Backend, StackData};
use crate::error::{Error, Result};
use crate::weights::{self, LinearData, NormData, Tensors};

/// A decoder under construction.
pub(crate) struct Builder<B: Backend> {
    backend: Rc<B>,
    spec: Arc<Spec>,
    tensors: Arc<Tensors>,
    start: Option<Start<B>>,
    layers: Vec<Rc<Layer<B>>>,
    ropes: Vec<(spec::Rope, Rc<B::Rope>)>,
}

/// What stands before the layers.
struct Start<B: Backend> {
    embedding: B::Linear,
    embedding_norm: Option<B::Norm>,
    positions: Option<B::Linear>,
    per_layer_inputs: Option<PerLayerInputs<B>>,
    ngrams: Vec<Ngram<B>>,
    widen: Vec<B::Linear>,
    narrow: Vec<B::Linear>,
}

impl<B: Backend> Builder<B> {
    /// Starts with nothing loaded.
    pub fn new(backend: Rc<B>, spec: Arc<Spec>, tensors: Arc<Tensors>) -> Self {
        Self { backend, spec, tensors, start: None, layers: Vec::new(), ropes: Vec::new() }
    }

    /// Steps that [`step`](Self::step) takes in all, the last one included.
    pub fn steps(&self) -> usize {
        self.spec.layers.len() + 2
    }

    /// Loads the next piece; gives the decoder after the last one.
    pub fn step(&mut self) -> Result<Option<Decoder<B>>> {
        if self.start.is_none() {
            self.start = Some(self.load_start()?);
            return Ok(None);
        }
        let spec = Arc::clone(&self.spec);
        if let Some(layer) = spec.layers.get(self.layers.len()) {
            let own = spec.layers.len() / spec.loops.map_or(1, |loops| loops.times.max(1));
            let layer = match self.layers.len().checked_sub(own).and_then(|first| self.layers.get(first)) {
                Some(loaded) if spec.loops.is_some() => Rc::clone(loaded),
                _ => Rc::new(self.layer(layer)?),
            };
            self.layers.push(layer);
            return Ok(None);
        }
        let head = spec.head.as_ref().filter(|head| !weights::is_missing_head(&spec, head, &self.tensors));
        let load_head = |head: &spec::Linear| {
            let data = self.data_of(head)?;
            self.backend.load_linear(&[if spec.head_normed { data.with_unit_rows() } else { data }])
        };
        let head = head.map(load_head).transpose()?;
        let gain = spec.logit_gain.as_ref().map(|name| weights::vector(&self.tensors, name, 1)).transpose()?;
        let logit_scale = gain.into_iter().flatten().product::<f32>() * spec.logit_scale;
        let unused = (!spec.unused_ids.is_empty()).then(|| {
            let mut numbers = vec![0.0; spec.vocab];
            for id in &spec.unused_ids {
                if let Some(number) = numbers.get_mut(*id as usize) {
                    *number = f32::NEG_INFINITY;
                }
            }
            self.backend.load_vector(numbers)
        });
        let unused = unused.transpose()?;
        let final_norm = self.stream_norm(&spec.final_norm)?;
        let residual_query = spec.residual_query.as_ref().map(|query| self.residual_query(query)).transpose()?;
        let Start { embedding, embedding_norm, positions, per_layer_inputs, ngrams, widen, narrow } =
            self.start.take().ok_or_else(|| Error::internal("a decoder was finished twice"))?;
        let layers = std::mem::take(&mut self.layers);
        let backend = Rc::clone(&self.backend);
        Ok(Some(Decoder {
            backend,
            spec,
            embedding,
            embedding_norm,
            positions,
            per_layer_inputs,
            ngrams,
            widen,
            narrow,
            layers,
            residual_query,
            final_norm,
            head,
            logit_scale,
            unused,
        }))
    }

    fn load_start(&self) -> Result<Start<B>> {
        let spec = &self.spec;
        let inputs = |inputs: &spec::PerLayerInputs| {
            let projection = self.linear(from_ref(&inputs.projection))?;
            let (table, norm) = (self.linear(from_ref(&inputs.table))?, self.norm(&inputs.norm)?);
            Ok(PerLayerInputs { table, projection, norm })
        };
        let each = |linears: &[spec::Linear]| {
            linears.iter().map(|linear| self.linear(from_ref(linear))).collect::<Result<_>>()
        };
        let (widen, narrow) = match &spec.streams {
            Some(streams) => (each(&streams.widen)?, each(&streams.narrow)?),
            None => (Vec::new(), Vec::new()),
        };
        let ngram = |ngram: &spec::NgramTable| {
            let (table, projection) = (self.linear(from_ref(&ngram.table))?, self.linear(from_ref(&ngram.projection))?);
            Ok(Ngram { table, projection })
        };
        let ngrams = spec.ngrams.iter().flat_map(|ngrams| &ngrams.tables).map(ngram).collect::<Result<_>>()?;
        Ok(Start {
            ngrams,
            widen,
            narrow,
            embedding: self.linear(from_ref(&spec.embedding))?,
            embedding_norm: self.optional_norm(&spec.embedding_norm)?,
            positions: spec.positions.as_ref().map(|table| self.linear(from_ref(table))).transpose()?,
            per_layer_inputs: spec.per_layer_inputs.as_ref().map(inputs).transpose()?,
        })
    }

    fn layer(&mut self, layer: &spec::Layer) -> Result<Layer<B>> {
        let input = |input: &spec::PerLayerInput| {
            let (gate, projection) = (self.linear(from_ref(&input.gate))?, self.linear(from_ref(&input.projection))?);
            Ok(PerLayerInput { gate, projection, norm: self.norm(&input.norm)? })
        };
        let per_layer_input = layer.per_layer_input.as_ref().map(input).transpose()?;
        let output_scale = match &layer.output_scale {
            Some(name) => weights::vector(&self.tensors, name, 1)?.iter().product(),
            None => 1.0,
        };
        let gain = |name: &String| Ok(weights::vector(&self.tensors, name, 1)?.iter().product::<f32>());
        let (mut branch_scales, mut embedding_scale) = ([layer.residual_scale; 2], None);
        if let Some(gains) = &layer.gains {
            branch_scales[0] *= gain(&gains.mixer)?;
            branch_scales[1] *= gain(&gains.ffn)?;
            embedding_scale = Some(gain(&gains.embedding)?);
        }
        let stream_factors = layer.stream_factors.as_ref().map(|names| {
            let vector = |name: &String| self.vector(name, self.spec.hidden);
            Ok::<_, Error>(Box::new([vector(&names[0])?, vector(&names[1])?]))
        });
        Ok(Layer {
            mixer: self.mixer(&layer.mixer)?,
            beside: layer.beside.as_ref().map(|mixer| self.mixer(mixer)).transpose()?,
            mixer_norm: layer.mixer_norm.as_ref().map(|norm| self.stream_norm(norm)).transpose()?,
            mixer_post_norm: self.optional_norm(&layer.mixer_post_norm)?,
            ffn: self.ffn(&layer.ffn)?,
            shortcut: layer.shortcut.as_ref().map(|ffn| self.ffn(ffn)).transpose()?,
            ffn_norm: layer.ffn_norm.as_ref().map(|norm| self.stream_norm(norm)).transpose()?,
            ffn_post_norm: self.optional_norm(&layer.ffn_post_norm)?,
            per_layer_input,
            stream_factors: stream_factors.transpose()?,
            output_scale,
            branch_scales,
            embedding_scale,
            altup: layer.altup.as_ref().map(|altup| Ok(Box::new(self.altup(altup)?))).transpose()?,
            residuals: layer.residuals.as_ref().map(|residuals| self.residuals(residuals)).transpose()?,
            hyper: match layer.hyper.as_deref() {
                Some([mixer, ffn]) => Some(Box::new([self.hyper(mixer)?, self.hyper(ffn)?])),
                None => None,
            },
        })
    }

    fn altup(&self, altup: &spec::AltUp) -> Result<AltUp<B>> {
        let clipped = |linear: &spec::Linear| {
            let data = self.data_of(linear)?;
            self.backend.load_linear(&[match altup.clip {
                Some(limit) => data.clipped(limit)?,
                None => data,
            }])
        };
        Ok(AltUp {
            norm: self.norm(&altup.norm)?,
            router: self.linear(from_ref(&altup.router))?,
            prediction: clipped(&altup.prediction)?,
            correction: clipped(&altup.correction)?,
            output_scale: self.optional_vector(&altup.output_scale, altup.router.inputs)?,
            left: self.linear(from_ref(&altup.laurel.left))?,
            right: self.linear(from_ref(&altup.laurel.right))?,
            laurel_norm: self.norm(&altup.laurel.norm)?,
        })
    }

    fn residuals(&self, residuals: &spec::ResidualAttention) -> Result<Box<ResidualAttention<B>>> {
        let (mixer, ffn) = (self.residual_query(&residuals.mixer)?, self.residual_query(&residuals.ffn)?);
        Ok(Box::new(ResidualAttention { mixer, ffn }))
    }

    fn residual_query(&self, query: &spec::ResidualQuery) -> Result<ResidualQuery<B>> {
        let mut numbers = weights::numbers(&self.tensors, &query.query, &[1, query.norm.size])?;
        for name in &query.norm.weights {
            let weight = weights::vector(&self.tensors, name, query.norm.size)?;
            numbers.iter_mut().zip(weight).for_each(|(number, weight)| *number *= weight);
        }
        Ok(ResidualQuery { query: self.backend.load_vector(numbers)?, epsilon: query.norm.epsilon })
    }

    fn hyper(&self, hyper: &spec::HyperConnection) -> Result<HyperConnection<B>> {
        let spec::Linear { outputs, inputs, name, .. } = &hyper.mixture;
        let numbers = weights::numbers(&self.tensors, name, &[*outputs, *inputs])?;
        let base = weights::vector(&self.tensors, &hyper.base, *outputs)?;
        let scales = weights::vector(&self.tensors, &hyper.scale, 3)?;
        let streams = hyper.mixing.streams;
        let scale = |row: usize| scales.get((row / streams.max(1)).min(2)).copied().unwrap_or(1.0);
        let rows = numbers.chunks(*inputs).enumerate();
        let scaled = rows.flat_map(|(row, numbers)| numbers.iter().map(move |number| (row, *number)));
        let scaled = scaled.map(|(row, number)| scale(row) * number);
        let data = LinearData::of_numbers(name, *outputs, *inputs, scaled, Some(base));
        Ok(HyperConnection { norm: self.norm(&hyper.norm)?, mixture: self.backend.load_linear(&[data])? })
    }

    fn data_of(&self, linear: &spec::Linear) -> Result<LinearData> {
        weights::linear(&self.tensors, linear, self.spec.quantization.as_ref())
    }

    fn data(&self, parts: &[spec::Linear]) -> Result<Vec<LinearData>> {
        parts.iter().map(|part| self.data_of(part)).collect()
    }

    fn stack(&self, linear: &spec::Linear) -> Result<StackData> {
        let parts = self.data(&linear.stored())?;
        let factors = weights::factors(&self.tensors, linear, &parts)?;
        Ok(StackData { parts, factors })
    }

    fn linear(&self, parts: &[spec::Linear]) -> Result<B::Linear> {
        self.backend.load_linear(&self.data(parts)?)
    }

    fn norm(&self, norm: &spec::Norm) -> Result<B::Norm> {
        self.backend.load_norm(&weights::norm(&self.tensors, norm)?)
    }

    /// A norm of the residual stream.
    fn stream_norm(&self, norm: &spec::Norm) -> Result<B::Norm> {
        let data = weights::norm(&self.tensors, norm)?;
        self.backend.load_norm(&NormData { narrow: self.spec.wide_stream, ..data })
    }

    fn optional_norm(&self, norm: &Option<spec::Norm>) -> Result<Option<B::Norm>> {
        norm.as_ref().map(|norm| self.norm(norm)).transpose()
    }

    fn vector(&self, name: &str, len: usize) -> Result<B::Vector> {
        self.backend.load_vector(weights::vector(&self.tensors, name, len)?)
    }

    fn optional_vector(&self, name: &Option<String>, len: usize) -> Result<Option<B::Vector>> {
        name.as_ref().map(|name| self.vector(name, len)).transpose()
    }

    /// Most models have one rope for all layers; it is prepared once.
    fn rope(&mut self, rope: &spec::Rope) -> Result<Rc<B::Rope>> {
        if let Some((_, loaded)) = self.ropes.iter().find(|(known, _)| known == rope) {
            return Ok(Rc::clone(loaded));
        }
        let loaded = Rc::new(self.backend.load_rope(rope)?);
        self.ropes.push((rope.clone(), Rc::clone(&loaded)));
        Ok(loaded)
    }
}
