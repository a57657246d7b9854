//! Matrices of the checkpoint, kept as views of the stored bytes.

use super::kernels::{Float, Format, Stored, Widen, block};
use super::memory::{Charge, PROCESS};
use super::simd::{LANES, Level};
use super::transcode::transcode;
use crate::arch::spec::QuantizationFormat;
use crate::error::{Error, Result};
use crate::weights::{LinearData, Matrix, Rotation, TensorView};

/// One matrix or several with the same inputs, whose outputs are concatenated.
pub(crate) struct Linear {
    pub(super) parts: Vec<Part>,
    pub(super) inputs: usize,
    /// Of all parts.
    pub(super) outputs: usize,
    _charge: Charge,
}

/// One stored matrix.
pub(super) struct Part {
    /// Its first output among all.
    pub start: usize,
    pub outputs: usize,
    inputs: usize,
    format: Format,
    matrix: Matrix,
    /// Small, and so kept as f32.
    pub bias: Option<Vec<f32>>,
    pub rotation: Option<Rotation>,
}

impl Linear {
    /// Takes over views; their sizes are checked once more, since the kernels rely on them.
    pub(super) fn load(level: Level, parts: &[LinearData]) -> Result<Self> {
        let inputs = parts.first().map_or(0, |part| part.inputs);
        let mut loaded = Vec::with_capacity(parts.len());
        let (mut outputs, mut bytes) = (0usize, 0);
        for part in parts {
            let part = &transcode(part)?;
            if part.inputs != inputs || inputs == 0 {
                return Err(Error::internal(format!("matrices of {inputs} and {} inputs side by side", part.inputs)));
            }
            let mut part = Part::load(level, part, outputs)?;
            if let Some(before) = loaded.last().filter(|before: &&Part| before.rotation == part.rotation) {
                // Which makes it quick to see that they are the same.
                part.rotation = before.rotation.clone();
            }
            outputs += part.outputs;
            bytes += part.bytes();
            loaded.push(part);
        }
        if outputs == 0 {
            return Err(Error::internal("a matrix without outputs"));
        }
        Ok(Self { parts: loaded, inputs, outputs, _charge: PROCESS.charge(bytes) })
    }

    /// The stored row of one output, and the rotation that it is to be taken back from.
    pub(super) fn row(&self, output: usize) -> Result<(Stored<'_>, Option<&Rotation>)> {
        let part = self.parts.iter().rev().find(|part| part.start <= output && output < part.start + part.outputs);
        let part = part.ok_or_else(|| {
            Error::invalid(format!("token id {output} is outside of the vocabulary of {}", self.outputs))
        })?;
        let row = part.stored().slice(output - part.start..output - part.start + 1);
        Ok((row, part.rotation.as_ref()))
    }
}

impl Part {
    fn load(level: Level, data: &LinearData, start: usize) -> Result<Self> {
        let (outputs, inputs) = (data.outputs, data.inputs);
        let format = match &data.matrix {
            Matrix::Dense(weight) => Format::Dense(float(weight)?),
            Matrix::Affine { codes, scales, biases, format } => {
                let QuantizationFormat { bits, group_size, .. } = *format;
                if !matches!(bits, 2 | 3 | 4 | 5 | 6 | 8)
                    || group_size == 0
                    || !group_size.is_multiple_of(32)
                    || !inputs.is_multiple_of(group_size)
                {
                    return Err(Error::unsupported(format!(
                        "{}: {bits} bits in groups of {group_size} for {inputs} inputs",
                        codes.name
                    ))
                    .with_hint("use 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128"));
                }
                if scales.dtype != biases.dtype {
                    return Err(Error::internal(format!("{} and {} differ in dtype", scales.name, biases.name)));
                }
                Format::Affine { bits, group: group_size, scales: float(scales)? }
            }
            Matrix::Float { codes, .. } => {
                return Err(Error::internal(format!("{} was not transcoded", codes.name)));
            }
        };
        let mut part = Self {
            start,
            outputs,
            inputs,
            format,
            matrix: data.matrix.clone(),
            bias: None,
            rotation: data.rotation.clone(),
        };
        part.check()?;
        if let Some(bias) = &data.bias {
            part.bias = Some(widen(level, bias, outputs)?);
        }
        Ok(part)
    }

    /// Fails unless the views have the bytes that [`Stored`] promises.
    fn check(&self) -> Result<()> {
        let stored = self.stored();
        let views: &[(&TensorView, usize)] = match &self.matrix {
            Matrix::Dense(weight) => &[(weight, stored.row_bytes())],
            Matrix::Affine { codes, scales, biases, .. } => {
                let scale_bytes = stored.scale_bytes();
                &[(codes, stored.row_bytes()), (scales, scale_bytes), (biases, scale_bytes)]
            }
            // Not made by `load`.
            Matrix::Float { .. } => &[],
        };
        for (view, row_bytes) in views {
            if Some(view.bytes().len()) != self.outputs.checked_mul(*row_bytes) {
                return Err(Error::internal(format!(
                    "{} has {} bytes, but {} rows of {row_bytes} bytes are needed",
                    view.name,
                    view.bytes().len(),
                    self.outputs
                )));
            }
        }
        Ok(())
    }

    /// The stored rows.
    pub fn stored(&self) -> Stored<'_> {
        let (codes, scales, biases): (_, &[u8], &[u8]) = match &self.matrix {
            Matrix::Dense(weight) => (weight.bytes(), &[], &[]),
            Matrix::Affine { codes, scales, biases, .. } => (codes.bytes(), scales.bytes(), biases.bytes()),
            Matrix::Float { codes, scales, .. } => (codes.bytes(), scales.bytes(), &[]),
        };
        Stored { format: self.format, inputs: self.inputs, rows: self.outputs, codes, scales, biases }
    }

    /// Whether single rows of activations can be multiplied without padding.
    pub fn is_whole(&self) -> bool {
        self.inputs.is_multiple_of(LANES)
    }

    /// Numbers of a row that share a scale in integer products, when there are codes for them.
    pub fn block(&self) -> Option<usize> {
        block(self.format)
    }

    fn bytes(&self) -> usize {
        let stored = self.stored();
        stored.codes.len() + stored.scales.len() + stored.biases.len()
    }
}

fn float(view: &TensorView) -> Result<Float> {
    Float::of(view.dtype).ok_or_else(|| Error::internal(format!("{} holds integers, not numbers", view.name)))
}

/// A vector of the checkpoint as f32.
pub(super) fn widen(level: Level, view: &TensorView, len: usize) -> Result<Vec<f32>> {
    let (float, bytes) = (float(view)?, view.bytes());
    if Some(bytes.len()) != len.checked_mul(float.bytes()) {
        return Err(Error::internal(format!("{} has {} bytes instead of {len} numbers", view.name, bytes.len())));
    }
    let mut out = vec![0.0; len];
    level.run(Widen { float, bytes, out: &mut out });
    Ok(out)
}
