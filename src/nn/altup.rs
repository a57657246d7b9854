//! Layers with several residual streams.

use super::layer::{AltUp, Layer};
use super::{Decoder, Sequence};
use crate::arch::spec;
use crate::backend::{Backend, Rows};
use crate::error::{Error, Result};

/// Over the root of 2.
const HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

impl<B: Backend> Decoder<B> {
    /// The streams that begin with an embedding.
    pub(super) fn widen(&self, x: &B::Tensor) -> Result<Vec<B::Tensor>> {
        let mut streams = vec![x.clone()];
        for linear in &self.widen {
            streams.push(self.backend.match_magnitude(&self.backend.linear(x, linear)?, x)?);
        }
        Ok(streams)
    }

    /// The hidden states that streams amount to.
    pub(super) fn narrow(&self, streams: &[B::Tensor]) -> Result<B::Tensor> {
        let (backend, first) = (&*self.backend, one(streams, 0)?);
        let mut sum = first.clone();
        for (stream, linear) in streams.iter().skip(1).zip(&self.narrow) {
            sum = backend.add(&sum, &backend.match_magnitude(&backend.linear(stream, linear)?, first)?)?;
        }
        backend.scale(&sum, 1.0 / streams.len().max(1) as f32)
    }

    /// Brings all streams through a layer. `own` is the layer's part of the second embedding.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn run_streams(
        &self,
        layer: &Layer<B>,
        spec: &spec::Layer,
        streams: &[B::Tensor],
        own: Option<&B::Tensor>,
        index: usize,
        rows: &Rows,
        sequences: &mut [&mut Sequence<B>],
    ) -> Result<Vec<B::Tensor>> {
        let backend = &*self.backend;
        let missing = || Error::internal("a layer without what several streams need");
        let altup = layer.altup.as_deref().ok_or_else(missing)?;
        let active = self.spec.streams.as_ref().ok_or_else(missing)?.active;

        let coefficients = backend.linear(&self.modalities(altup, one(streams, active)?)?, &altup.prediction)?;
        let changes = backend.mix_streams(streams, &coefficients, streams.len())?;
        let predicted = streams.iter().zip(&changes).map(|(x, change)| backend.add(x, change));
        let mut predicted = predicted.collect::<Result<Vec<_>>>()?;

        let x = one(&predicted, active)?;
        let normed = self.norm(x, layer.mixer_norm.as_ref())?;
        let (first, last) = layer.mixer.projections()?;
        let mixed = self.mix(&layer.mixer, &spec.mixer, &backend.linear(&normed, first)?, index, rows, sequences)?;
        let h = self.project_add(x, &mixed, last, layer.mixer_post_norm.as_ref(), layer.branch_scales[0])?;
        let low = backend.linear(&backend.linear(&normed, &altup.left)?, &altup.right)?;
        let laurel = backend.add(&normed, &backend.norm(&low, &altup.laurel_norm)?)?;
        let y = self.run_ffn(layer, spec, backend.scale(&backend.add(&h, &laurel)?, HALF)?)?;

        let coefficients = backend.linear(&self.modalities(altup, &y)?, &altup.correction)?;
        let innovation = backend.add(&y, &backend.scale(x, -1.0)?)?;
        let changes = backend.mix_streams(std::slice::from_ref(&innovation), &coefficients, streams.len())?;
        for (stream, change) in predicted.iter_mut().zip(&changes) {
            *stream = backend.add(stream, &backend.add(&innovation, change)?)?;
        }

        if let (Some(own), Some(input), Some(input_spec)) = (own, &layer.per_layer_input, &spec.per_layer_input) {
            let mut x = one(&predicted, active)?.clone();
            if let Some(scale) = &altup.output_scale {
                x = backend.scale_columns(&x, scale)?;
            }
            let added = self.own_part(&x, own, input, input_spec)?;
            for stream in predicted.iter_mut().skip(1) {
                *stream = backend.add(stream, &added)?;
            }
        }
        Ok(predicted)
    }

    /// A number for each stream.
    fn modalities(&self, altup: &AltUp<B>, x: &B::Tensor) -> Result<B::Tensor> {
        let backend = &*self.backend;
        backend.softcap(&backend.norm_linear(x, &altup.norm, &altup.router)?, 1.0)
    }
}

fn one<T>(streams: &[T], index: usize) -> Result<&T> {
    streams.get(index).ok_or_else(|| Error::internal(format!("stream {index} of {}", streams.len())))
}
