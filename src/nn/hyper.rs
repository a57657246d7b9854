//! Layers whose blocks read mixtures of several residual streams.

use super::compressed::Shared;
use super::layer::{HyperConnection, Layer, Mixer};
use super::{Decoder, Sequence, compressed, ffn};
use crate::arch::spec::{self, HyperMixing};
use crate::backend::{Backend, Rows};
use crate::error::{Error, Result};

/// The residual streams between two layers, and what the next block reads of them.
pub(super) struct HyperStreams<B: Backend> {
    streams: Vec<B::Tensor>,
    /// A number for each stream; before the first block the streams are all alike, and one is read.
    pre: Option<B::Tensor>,
}

impl<B: Backend> HyperStreams<B> {
    /// Streams that begin as an embedding.
    pub fn new(x: &B::Tensor, count: usize) -> Self {
        Self { streams: vec![x.clone(); count], pre: None }
    }

    /// All of them.
    pub fn all(&self) -> &[B::Tensor] {
        &self.streams
    }

    /// What a block reads.
    pub fn read(&self, backend: &B) -> Result<B::Tensor> {
        let read = match &self.pre {
            Some(pre) => backend.mix_streams(&self.streams, pre, 1)?.into_iter().next(),
            None => self.streams.first().cloned(),
        };
        read.ok_or_else(|| Error::internal("a layer without streams"))
    }

    /// What a connection makes of the streams: what the block after its own reads, and the factors of all.
    fn connect(&self, backend: &B, weights: &HyperConnection<B>, mixing: HyperMixing) -> Result<[B::Tensor; 2]> {
        let mixtures = backend.hyper_mixtures(&self.streams, &weights.norm, &weights.mixture, mixing)?;
        let (streams, all) = (mixing.streams, mixing.outputs());
        Ok([backend.columns(&mixtures, 0..streams)?, backend.columns(&mixtures, streams..all)?])
    }

    /// The streams behind a block that gave `y`.
    fn behind(&mut self, backend: &B, y: B::Tensor, [pre, factors]: [B::Tensor; 2]) -> Result<()> {
        let count = self.streams.len();
        self.streams.push(y);
        self.streams = backend.mix_streams(&self.streams, &factors, count)?;
        self.pre = Some(pre);
        Ok(())
    }
}

impl<B: Backend> Decoder<B> {
    /// Brings all streams through a layer.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn run_hyper(
        &self,
        layer: &Layer<B>,
        spec: &spec::Layer,
        streams: &mut HyperStreams<B>,
        shared: &mut Shared<B>,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<()> {
        let backend = &*self.backend;
        let missing = || Error::internal("a layer without its hyper-connections");
        let [of_mixer, of_ffn] = layer.hyper.as_deref().ok_or_else(missing)?;
        let [mixer_spec, ffn_spec] = spec.hyper.as_deref().ok_or_else(missing)?;

        let factors = streams.connect(backend, of_mixer, mixer_spec.mixing)?;
        let (first, last) = layer.mixer.projections()?;
        let normed = self.norm(&streams.read(backend)?, layer.mixer_norm.as_ref())?;
        let input = backend.linear(&normed, first)?;
        let mixed = match (&layer.mixer, &spec.mixer) {
            (Mixer::Compressed(weights), spec::Mixer::Compressed(spec)) => {
                compressed::compressed(backend, weights, spec, &input, shared, index, rows, sequences)?
            }
            (mixer, spec) => self.mix(mixer, spec, &input, index, rows, sequences)?,
        };
        streams.behind(backend, backend.linear(&mixed, last)?, factors)?;

        let factors = streams.connect(backend, of_ffn, ffn_spec.mixing)?;
        let normed = self.norm(&streams.read(backend)?, layer.ffn_norm.as_ref())?;
        let y = ffn::ffn(backend, &layer.ffn, &spec.ffn, &normed)?;
        streams.behind(backend, y, factors)
    }
}
