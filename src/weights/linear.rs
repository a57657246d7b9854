//! Tensors for the slots of a [`Spec`](crate::arch::spec::Spec), their shapes and number formats checked.

use super::{Dtype, LinearData, Matrix, TensorView, Tensors};
use crate::arch::spec::{Linear, Norm, Quantization, QuantizationFormat};
use crate::error::Result;

/// Takes a matrix out of the checkpoint.
///
/// It is quantized if there are `scales` beside it, as mlx-lm decides. A format that config.json names for this very
/// matrix must fit; the format that holds for all others is only a default, and the shapes say what it really is
/// (`bits = words * 32 / inputs`, `group_size = inputs / scales`), again as mlx-lm does it: mixed checkpoints exist
/// whose config.json names one format. Where a format is given but no scales exist, the matrix is dense.
pub(crate) fn linear(tensors: &Tensors, spec: &Linear, quantization: Option<&Quantization>) -> Result<LinearData> {
    let matrix = if tensors.contains(&format!("{}.scales", spec.name)) {
        affine(tensors, spec, quantization)?
    } else {
        let weight = floats(tensors, &format!("{}.weight", spec.name), &[spec.outputs, spec.inputs])?;
        Matrix::Dense(weight.clone())
    };
    let bias = match spec.bias {
        true => Some(floats(tensors, &format!("{}.bias", spec.name), &[spec.outputs])?.clone()),
        false => None,
    };
    Ok(LinearData { outputs: spec.outputs, inputs: spec.inputs, matrix, bias })
}

/// Takes a norm's weight out of the checkpoint.
pub(crate) fn norm(tensors: &Tensors, spec: &Norm) -> Result<TensorView> {
    floats(tensors, &format!("{}.weight", spec.name), &[spec.size]).cloned()
}

fn affine(tensors: &Tensors, spec: &Linear, quantization: Option<&Quantization>) -> Result<Matrix> {
    let (codes, scales, biases) =
        (format!("{}.weight", spec.name), format!("{}.scales", spec.name), format!("{}.biases", spec.name));
    let Some(quantization) = quantization else {
        return Err(tensors
            .corrupt(&scales, "is there, but config.json has no `quantization`")
            .with_hint("the config.json is of another model, or was edited"));
    };
    let format = match quantization.overrides.get(&spec.name) {
        Some(Some(format)) => *format,
        Some(None) => return Err(tensors.corrupt(&scales, "is there, but config.json says that it is not quantized")),
        None => stored_format(tensors, spec, &codes, &scales)?,
    };
    let QuantizationFormat { bits, group_size } = format;
    if !spec.inputs.is_multiple_of(group_size) {
        let message = format!("has {} columns, which groups of {group_size} don't divide", spec.inputs);
        return Err(tensors.corrupt(&codes, message));
    }

    let codes = tensors.need(&codes)?;
    if codes.dtype != Dtype::U32 {
        return Err(tensors.corrupt(&codes.name, format_args!("is {}, but codes must be U32", codes.dtype)));
    }
    // Groups are whole multiples of 32 codes, so a row always ends at a whole word.
    check_shape(tensors, codes, &[spec.outputs, spec.inputs / 32 * bits])?;
    let groups = [spec.outputs, spec.inputs / group_size];
    let scales = floats(tensors, &scales, &groups)?;
    let biases = floats(tensors, &biases, &groups)?;
    if biases.dtype != scales.dtype {
        let message = format!("is {}, but its scales are {}", biases.dtype, scales.dtype);
        return Err(tensors.corrupt(&biases.name, message));
    }
    Ok(Matrix::Affine { codes: codes.clone(), scales: scales.clone(), biases: biases.clone(), format })
}

/// The format that the shapes of codes and scales amount to.
fn stored_format(tensors: &Tensors, spec: &Linear, codes: &str, scales: &str) -> Result<QuantizationFormat> {
    let columns = |name: &str| Ok(tensors.need(name)?.shape.last().copied().unwrap_or(0));
    let (words, groups) = (columns(codes)?, columns(scales)?);
    let format = exact(words.saturating_mul(32), spec.inputs)
        .zip(exact(spec.inputs, groups))
        .map(|(bits, group_size)| QuantizationFormat { bits, group_size })
        .filter(QuantizationFormat::is_known);
    format.ok_or_else(|| {
        let inputs = spec.inputs;
        let message = format!("has {words} words and {groups} scales a row, which fits no format for {inputs} columns");
        tensors.corrupt(codes, message).with_hint(format!("known are {}", QuantizationFormat::KNOWN))
    })
}

fn exact(dividend: usize, divisor: usize) -> Option<usize> {
    (divisor > 0 && dividend.is_multiple_of(divisor)).then(|| dividend / divisor)
}

/// A needed tensor of a float format.
fn floats<'a>(tensors: &'a Tensors, name: &str, shape: &[usize]) -> Result<&'a TensorView> {
    let view = tensors.need(name)?;
    if !view.dtype.is_float() {
        let message = format!("is {} without `scales`, but must be F32, F16 or BF16", view.dtype);
        return Err(tensors.corrupt(name, message));
    }
    check_shape(tensors, view, shape)?;
    Ok(view)
}

fn check_shape(tensors: &Tensors, view: &TensorView, shape: &[usize]) -> Result<()> {
    if view.shape != shape {
        let message = format!("has the shape {:?}, but config.json asks for {shape:?}", view.shape);
        return Err(tensors.corrupt(&view.name, message));
    }
    Ok(())
}
