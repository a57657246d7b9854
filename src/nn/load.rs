//! Builds a decoder piece by piece, so that loading one model never holds up the streams of others for long.

use std::rc::Rc;
use std::sync::Arc;

use super::Decoder;
use super::decoder::Layer;
use crate::arch::spec::{self, Spec};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::weights::{self, Tensors};

/// A decoder under construction.
pub(crate) struct Builder<B: Backend> {
    backend: Rc<B>,
    spec: Arc<Spec>,
    tensors: Arc<Tensors>,
    embedding: Option<B::Linear>,
    layers: Vec<Layer<B>>,
    ropes: Vec<(spec::Rope, Rc<B::Rope>)>,
}

impl<B: Backend> Builder<B> {
    /// Starts with nothing loaded.
    pub fn new(backend: Rc<B>, spec: Arc<Spec>, tensors: Arc<Tensors>) -> Self {
        Self { backend, spec, tensors, embedding: None, layers: Vec::new(), ropes: Vec::new() }
    }

    /// Steps that [`step`](Self::step) takes in all, the last one included.
    pub fn steps(&self) -> usize {
        self.spec.layers.len() + 2
    }

    /// Loads the next piece; gives the decoder after the last one.
    pub fn step(&mut self) -> Result<Option<Decoder<B>>> {
        if self.embedding.is_none() {
            self.embedding = Some(self.linear(std::slice::from_ref(&self.spec.embedding))?);
            return Ok(None);
        }
        let spec = Arc::clone(&self.spec);
        if let Some(layer) = spec.layers.get(self.layers.len()) {
            let layer = self.layer(layer)?;
            self.layers.push(layer);
            return Ok(None);
        }
        let head = spec.head.as_ref().map(|head| self.linear(std::slice::from_ref(head))).transpose()?;
        let final_norm = self.norm(&spec.final_norm)?;
        let embedding = self.embedding.take().ok_or_else(|| Error::internal("a decoder was finished twice"))?;
        let layers = std::mem::take(&mut self.layers);
        Ok(Some(Decoder { backend: Rc::clone(&self.backend), spec, embedding, layers, final_norm, head }))
    }

    fn layer(&mut self, layer: &spec::Layer) -> Result<Layer<B>> {
        let attention = &layer.attention;
        Ok(Layer {
            attention_norm: self.norm(&layer.attention_norm)?,
            qkv: self.linear(&attention.qkv)?,
            query_norm: attention.query_norm.as_ref().map(|norm| self.norm(norm)).transpose()?,
            key_norm: attention.key_norm.as_ref().map(|norm| self.norm(norm)).transpose()?,
            rope: attention.rope.as_ref().map(|rope| self.rope(rope)).transpose()?,
            output: self.linear(std::slice::from_ref(&attention.output))?,
            mlp_norm: self.norm(&layer.mlp_norm)?,
            gate_up: self.linear(&layer.mlp.gate_up)?,
            down: self.linear(std::slice::from_ref(&layer.mlp.down))?,
        })
    }

    fn linear(&self, parts: &[spec::Linear]) -> Result<B::Linear> {
        let data: Vec<_> = parts
            .iter()
            .map(|part| weights::linear(&self.tensors, part, self.spec.quantization.as_ref()))
            .collect::<Result<_>>()?;
        self.backend.load_linear(&data)
    }

    fn norm(&self, norm: &spec::Norm) -> Result<B::Norm> {
        self.backend.load_norm(&weights::norm(&self.tensors, norm)?, norm.epsilon)
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
