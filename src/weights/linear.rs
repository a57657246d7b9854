//! Tensors for the slots of a [`Spec`](crate::arch::spec::Spec), their shapes and number formats checked.

use super::experts;
use super::ternary::ternary;
use super::{Dtype, LinearData, Matrix, NormData, Rotation, TensorView, Tensors};
use crate::arch::spec::{Linear, Norm, Quantization, QuantizationFormat, QuantizationMode};
use crate::error::{Error, Result};

/// Takes a matrix out of the checkpoint.
///
/// It is quantized if there are `scales` beside it, as mlx-lm decides. A format that config.json names for this very
/// matrix must fit; the format that holds for all others is only a default, and the shapes say what it really is
/// (`bits = words * 32 / inputs`, `group_size = inputs / scales`), again as mlx-lm does it: mixed checkpoints exist
/// whose config.json names one format. Where a format is given but no scales exist, the matrix is dense.
pub(crate) fn linear(tensors: &Tensors, spec: &Linear, quantization: Option<&Quantization>) -> Result<LinearData> {
    if let Some(stacked) = experts::stacked(tensors, spec, quantization)? {
        return Ok(stacked);
    }
    if let Some(part) = experts::of_fused(tensors, spec)? {
        return Ok(part);
    }
    let shape = Shape::of(spec);
    let rows = spec.part.map_or(0..shape.rows, |(first, _)| first..first + spec.outputs);
    let bias = bias(tensors, spec, &shape)?;
    if spec.ternary {
        return ternary(tensors, spec, bias);
    }
    let weight = spec.weight();
    if let Some(blocks) = tensors.blocks(&weight) {
        check_shape(tensors, &weight, &blocks.shape, &shape.with(spec.inputs))?;
        let bias = bias.map(|bias| TensorView { shape: vec![rows.len()], ..bias.rows(rows.clone(), shape.rows) });
        let matrix = blocks.matrix(rows.clone()).map_err(|error| error.context(tensors.label()))?;
        return Ok(LinearData { outputs: rows.len(), inputs: spec.inputs, matrix, bias, rotation: None });
    }
    let matrix = if tensors.contains(&format!("{}.scales", spec.name)) {
        quantized(tensors, spec, &shape, quantization)?
    } else {
        // GGUF leaves the first dimension of a single row away.
        let single = shape.rows == 1 && tensors.get(&weight).is_some_and(|view| view.shape == [spec.inputs]);
        let stored = if single { vec![spec.inputs] } else { shape.with(spec.inputs) };
        let dense = floats(tensors, &weight, &stored)?.clone();
        Matrix::Dense(TensorView { shape: shape.with(spec.inputs), ..dense })
    };
    let block = quantization.and_then(|quantization| quantization.rotations.get(&spec.name));
    let rotation = block.map(|block| Rotation::read(tensors, &spec.name, spec.inputs, *block)).transpose()?;
    let whole = LinearData { outputs: shape.rows, inputs: spec.inputs, matrix, bias, rotation };
    Ok(if spec.part.is_some() { whole.rows(rows) } else { whole })
}

fn bias(tensors: &Tensors, spec: &Linear, shape: &Shape) -> Result<Option<TensorView>> {
    if !spec.bias {
        return Ok(None);
    }
    let bias = floats(tensors, &format!("{}.bias", spec.name), &shape.leading)?.clone();
    Ok(Some(TensorView { shape: vec![shape.rows], ..bias }))
}

/// The dimensions of a tensor before its last one.
struct Shape {
    leading: Vec<usize>,
    /// Their product.
    rows: usize,
}

impl Shape {
    fn of(spec: &Linear) -> Self {
        let rows = spec.part.map_or(spec.outputs, |(_, all)| all);
        match spec.experts {
            Some(experts) => Self { leading: vec![experts, rows], rows: experts * rows },
            None => Self { leading: vec![rows], rows },
        }
    }

    fn with(&self, last: usize) -> Vec<usize> {
        self.leading.iter().copied().chain([last]).collect()
    }
}

/// Takes a norm's weight and bias out of the checkpoint.
pub(crate) fn norm(tensors: &Tensors, spec: &Norm) -> Result<NormData> {
    let together = spec.weights.len() == 1;
    let numbers = |name: &String| {
        // Those of all heads may stand in one row.
        let (apart, all) = ([spec.heads, spec.size], [spec.heads * spec.size]);
        let in_a_row = tensors.get(name).is_some_and(|view| view.shape == all);
        let one_apart = spec.heads == 1 && tensors.get(name).is_some_and(|view| view.shape == apart);
        let shape: &[usize] = match spec.heads {
            1 if !one_apart => &all,
            _ if !together => &[spec.size],
            _ if in_a_row => &all,
            _ => &apart,
        };
        let view = floats(tensors, name, shape)?.clone();
        Ok::<_, Error>(if one_apart { TensorView { shape: all.into(), ..view } } else { view })
    };
    let weights = match spec.by_head {
        true => spec.weights.iter().map(|name| weight_by_head(tensors, name, spec)).collect::<Result<_>>()?,
        false => spec.weights.iter().map(numbers).collect::<Result<_>>()?,
    };
    let vector = |name: &String| floats(tensors, name, &[spec.size]).cloned();
    let (times, input) = (spec.times.as_ref().map(vector).transpose()?, spec.input.as_ref().map(vector).transpose()?);
    let bias = spec.bias.as_ref().map(numbers).transpose()?;
    let Norm { kind, size, heads, epsilon, offset, factor, .. } = *spec;
    Ok(NormData { kind, weights, times, bias, input, size, heads, epsilon, offset, factor, narrow: false })
}

/// The weight of a norm of each head that is one number for each.
fn weight_by_head(tensors: &Tensors, name: &str, spec: &Norm) -> Result<TensorView> {
    let view = floats(tensors, name, &[spec.heads])?;
    let bytes: Vec<u8> = view.bytes().chunks(view.dtype.width()).flat_map(|number| number.repeat(spec.size)).collect();
    let shape = if spec.heads > 1 { vec![spec.heads, spec.size] } else { vec![spec.size] };
    let range = 0..bytes.len();
    Ok(TensorView::from_storage(name.to_owned(), view.dtype, shape, std::sync::Arc::new(bytes), range))
}

/// The numbers of a vector of the checkpoint. It may have more dimensions of size 1, and a single number none.
pub(crate) fn vector(tensors: &Tensors, name: &str, len: usize) -> Result<Vec<f32>> {
    let long = |shape: &[usize]| shape.iter().copied().filter(|&size| size != 1).eq((len != 1).then_some(len));
    match tensors.get(name) {
        Some(view) if long(&view.shape) => Ok(floats(tensors, name, &view.shape.clone())?.to_f32()),
        _ => Ok(floats(tensors, name, std::slice::from_ref(&len))?.to_f32()),
    }
}

/// The numbers of a tensor that is neither a matrix nor a norm.
pub(crate) fn numbers(tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    Ok(floats(tensors, name, shape)?.to_f32())
}

fn quantized(tensors: &Tensors, spec: &Linear, shape: &Shape, quantization: Option<&Quantization>) -> Result<Matrix> {
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
        None => stored_format(tensors, spec, &codes, &scales, quantization.default)?,
    };
    let QuantizationFormat { bits, group_size, mode } = format;
    if !spec.inputs.is_multiple_of(group_size) {
        let message = format!("has {} columns, which groups of {group_size} don't divide", spec.inputs);
        return Err(tensors.corrupt(&codes, message));
    }
    if !(spec.inputs * bits).is_multiple_of(32) {
        let message = format!("has {} columns, which don't fill whole words", spec.inputs);
        return Err(tensors.corrupt(&codes, message));
    }

    let codes = tensors.need(&codes)?;
    if codes.dtype != Dtype::U32 {
        return Err(tensors.corrupt(&codes.name, format_args!("is {}, but codes must be U32", codes.dtype)));
    }
    check_shape(tensors, &codes.name, &codes.shape, &shape.with(spec.inputs * bits / 32))?;
    let groups = shape.with(spec.inputs / group_size);
    if mode != QuantizationMode::Affine {
        let scales = tensors.need(&scales)?;
        if scales.dtype != Dtype::U8 {
            let message = format!("is {}, but scales of {} must be U8", scales.dtype, mode.name());
            return Err(tensors.corrupt(&scales.name, message));
        }
        check_shape(tensors, &scales.name, &scales.shape, &groups)?;
        return Ok(Matrix::Float { codes: codes.clone(), scales: scales.clone(), format });
    }
    let scales = floats(tensors, &scales, &groups)?;
    let biases = floats(tensors, &biases, &groups)?;
    if biases.dtype != scales.dtype {
        let message = format!("is {}, but its scales are {}", biases.dtype, scales.dtype);
        return Err(tensors.corrupt(&biases.name, message));
    }
    Ok(Matrix::Affine { codes: codes.clone(), scales: scales.clone(), biases: biases.clone(), format })
}

/// The format that the shapes of codes and scales amount to.
fn stored_format(
    tensors: &Tensors,
    spec: &Linear,
    codes: &str,
    scales: &str,
    default: Option<QuantizationFormat>,
) -> Result<QuantizationFormat> {
    let columns = |name: &str| Ok(tensors.need(name)?.shape.last().copied().unwrap_or(0));
    let (words, groups) = (columns(codes)?, columns(scales)?);
    // Formats of floats have scales of bytes and no biases; which one it is only config.json says.
    let mode = default.map_or(QuantizationMode::Affine, |format| format.mode);
    let mode = if tensors.need(scales)?.dtype == Dtype::U8 { mode } else { QuantizationMode::Affine };
    let format = exact(words.saturating_mul(32), spec.inputs)
        .zip(exact(spec.inputs, groups))
        .map(|(bits, group_size)| QuantizationFormat { bits, group_size, mode })
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
pub(super) fn floats<'a>(tensors: &'a Tensors, name: &str, shape: &[usize]) -> Result<&'a TensorView> {
    let view = tensors.need(name)?;
    if !view.dtype.is_float() {
        let lone = if view.dtype == Dtype::U32 && name.ends_with(".weight") { " without `scales`" } else { "" };
        let message = format!("is {}{lone}, but must be F32, F16 or BF16", view.dtype);
        return Err(tensors.corrupt(name, message));
    }
    check_shape(tensors, name, &view.shape, shape)?;
    Ok(view)
}

fn check_shape(tensors: &Tensors, name: &str, stored: &[usize], shape: &[usize]) -> Result<()> {
    if stored != shape {
        let message = format!("has the shape {stored:?}, but config.json asks for {shape:?}");
        return Err(tensors.corrupt(name, message));
    }
    Ok(())
}
