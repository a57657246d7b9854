//! Experts in tensors of their own, as makers publish them and as GGUF's first files have them: found by name, and stacked
//! when they are loaded.

use std::ops::Range;
use std::sync::Arc;

use super::linear::floats;
use super::{LinearData, Matrix, TensorView, Tensors, linear};
use crate::arch::spec::{Linear, Quantization, QuantizationMode, Spec};
use crate::error::Result;

/// mlx-lm's names of an expert's matrices, and those of makers.
const PARTS: &[(&str, &[&str])] = &[
    ("gate_proj", &["gate_proj", "w1"]),
    ("down_proj", &["down_proj", "w2"]),
    ("up_proj", &["up_proj", "w3"]),
    ("fc1", &["up_proj"]),
    ("fc2", &["down_proj"]),
];
/// The families whose checkpoints differ in nothing else from those of mlx-lm.
const ALIKE: &[&str] = &[
    "afmoe",
    "dots1",
    "ernie4_5_moe",
    "exaone_moe",
    "glm4_moe",
    "minimax",
    "mixtral",
    "olmoe",
    "phimoe",
    "qwen2_moe",
    "qwen3_moe",
];

/// What the names of an expert's matrix may be for the one that is stacked at `path`: what comes before its number and
/// behind it.
pub(crate) fn apart(path: &str) -> Vec<(String, String)> {
    if let Some(of_gguf) = path.strip_suffix("_exps") {
        return vec![(format!("{of_gguf}."), String::new())];
    }
    let Some((block, part)) = path.split_once(".switch_mlp.").or_else(|| path.split_once(".experts.")) else {
        return Vec::new();
    };
    let stored = PARTS.iter().filter(|(own, _)| *own == part).flat_map(|(_, stored)| *stored);
    stored.map(|stored| (format!("{block}.experts."), format!(".{stored}"))).collect()
}

/// The matrices of a stack that the checkpoint has one by one, if it does.
fn of_stack(tensors: &Tensors, stack: &Linear) -> Option<Vec<String>> {
    let experts =
        stack.experts.filter(|_| stack.part.is_none() && !tensors.contains(&format!("{}.weight", stack.name)))?;
    let name = |(before, behind): &(String, String), expert: usize| format!("{before}{expert}{behind}");
    let found =
        apart(&stack.name).into_iter().find(|around| tensors.contains(&format!("{}.weight", name(around, 0))))?;
    Some((0..experts).map(|expert| name(&found, expert)).collect())
}

/// [`of_stack`], for a family whose checkpoints can be loaded so.
pub(super) fn needed_apart(spec: &Spec, tensors: &Tensors, stack: &Linear) -> Option<Vec<String>> {
    ALIKE.contains(&spec.model_type.as_str()).then(|| of_stack(tensors, stack))?
}

/// One expert's matrix in a tensor that has those of all experts, one below the other (DBRX as published).
pub(crate) struct Fused {
    /// Of the tensor.
    pub name: String,
    /// Its rows.
    pub rows: Range<usize>,
    /// Whether they are the matrix's columns.
    pub turned: bool,
}

impl Fused {
    /// Where the checkpoint has the matrix `path` of an expert, if it is a part of such a tensor and `[outputs, inputs]`.
    pub fn find(tensors: &Tensors, path: &str, [outputs, inputs]: [usize; 2]) -> Result<Option<Self>> {
        let Some(fused) = fused_name(tensors, path) else { return Ok(None) };
        let (name, expert, turned) = fused;
        let (own, columns) = if turned { (inputs, outputs) } else { (outputs, inputs) };
        let shape = &tensors.need(&name)?.shape;
        let rows = expert.saturating_mul(own)..expert.saturating_add(1).saturating_mul(own);
        match **shape {
            [all, width] if width == columns && all.is_multiple_of(own.max(1)) && rows.end <= all => {
                Ok(Some(Self { name, rows, turned }))
            }
            _ => {
                let message =
                    format!("has the shape {shape:?}, which has no {own} rows of {columns} for expert {expert}");
                Err(tensors.corrupt(&name, message))
            }
        }
    }
}

/// The name of a tensor of all experts that the checkpoint has in place of `path`, the expert's number, and whether the
/// matrix is turned there.
fn fused_name(tensors: &Tensors, path: &str) -> Option<(String, usize, bool)> {
    let (block, own) = path.split_once(".ffn.experts.")?;
    let (expert, part) = own.split_once('.')?;
    let name = format!("{block}.ffn.experts.mlp.{part}");
    if tensors.contains(&format!("{path}.weight")) || !tensors.contains(&name) {
        return None;
    }
    Some((name, expert.parse().ok()?, part == "w2"))
}

/// The tensor of all experts that the checkpoint has in place of one expert's matrix, if it does.
pub(super) fn needed_fused(tensors: &Tensors, path: &str) -> Option<String> {
    fused_name(tensors, path).map(|(name, ..)| name)
}

/// One expert's matrix of a tensor that has those of all, if the checkpoint has such a one.
pub(super) fn of_fused(tensors: &Tensors, spec: &Linear) -> Result<Option<LinearData>> {
    let Linear { outputs, inputs, .. } = *spec;
    let Some(Fused { name, rows, turned }) = Fused::find(tensors, &spec.name, [outputs, inputs])? else {
        return Ok(None);
    };
    let all = floats(tensors, &name, &tensors.need(&name)?.shape)?;
    let part = all.rows(rows, all.shape[0]);
    let view = if turned {
        let view = part.turned();
        part.release();
        view
    } else {
        part
    };
    Ok(Some(LinearData { outputs, inputs, matrix: Matrix::Dense(view), bias: None, rotation: None }))
}

/// The largest number that codes of E2M1 and scales of E4M3 have together.
pub(crate) const NVFP4_MAX: f32 = 6.0 * 448.0;

/// Name of the tensor of the experts' factors.
pub(super) fn global_scale(path: &str) -> String {
    format!("{path}.global_scale")
}

/// What the products with a stack of experts are multiplied by, expert by expert, where its numbers have a scale beside
/// those of their groups. `data` is the stack as it is stored.
pub(crate) fn factors(tensors: &Tensors, stack: &Linear, data: &[LinearData]) -> Result<Option<Vec<f32>>> {
    let name = global_scale(&stack.name);
    let Some(experts) = stack.experts.filter(|_| tensors.contains(&name)) else { return Ok(None) };
    let is_nvfp4 = |data: &LinearData| matches!(&data.matrix, Matrix::Float { format, .. } if format.mode == QuantizationMode::Nvfp4);
    if !data.iter().all(is_nvfp4) {
        return Err(tensors.corrupt(&name, "is there, but its matrix is not one of nvfp4"));
    }
    if stack.bias {
        return Err(tensors.corrupt(&name, "is there, which is not supported beside a bias"));
    }
    Ok(Some(floats(tensors, &name, &[experts])?.to_f32().into_iter().map(|scale| scale / NVFP4_MAX).collect()))
}

/// A stack that the checkpoint has in parts, if it does.
pub(super) fn stacked(
    tensors: &Tensors,
    stack: &Linear,
    quantization: Option<&Quantization>,
) -> Result<Option<LinearData>> {
    let Some(names) = of_stack(tensors, stack) else { return Ok(None) };
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        let one = Linear { name, experts: None, ..stack.clone() };
        let part = linear(tensors, &one, quantization)?;
        if parts.first().is_some_and(|first| !is_alike(first, &part)) {
            let name = format!("{}.weight", one.name);
            return Err(tensors.corrupt(&name, "has another number format than the expert before"));
        }
        parts.push(part);
    }
    Ok(joined(&parts))
}

fn is_alike(a: &LinearData, b: &LinearData) -> bool {
    let bias = |data: &LinearData| data.bias.as_ref().map(|bias| bias.dtype);
    let same = match (&a.matrix, &b.matrix) {
        (Matrix::Dense(a), Matrix::Dense(b)) => a.dtype == b.dtype,
        (Matrix::Affine { scales, format, .. }, Matrix::Affine { scales: other, format: of_other, .. }) => {
            (scales.dtype, format) == (other.dtype, of_other)
        }
        (Matrix::Float { format, .. }, Matrix::Float { format: other, .. }) => format == other,
        _ => false,
    };
    same && bias(a) == bias(b)
}

fn joined(parts: &[LinearData]) -> Option<LinearData> {
    let first = parts.first()?;
    let views = |of: fn(&Matrix) -> Option<&TensorView>| join(parts.iter().map(move |part| of(&part.matrix)));
    let matrix = match &first.matrix {
        Matrix::Dense(_) => {
            Matrix::Dense(views(|matrix| if let Matrix::Dense(view) = matrix { Some(view) } else { None })?)
        }
        Matrix::Affine { format, .. } => Matrix::Affine {
            codes: views(|matrix| if let Matrix::Affine { codes, .. } = matrix { Some(codes) } else { None })?,
            scales: views(|matrix| if let Matrix::Affine { scales, .. } = matrix { Some(scales) } else { None })?,
            biases: views(|matrix| if let Matrix::Affine { biases, .. } = matrix { Some(biases) } else { None })?,
            format: *format,
        },
        Matrix::Float { format, .. } => Matrix::Float {
            codes: views(|matrix| if let Matrix::Float { codes, .. } = matrix { Some(codes) } else { None })?,
            scales: views(|matrix| if let Matrix::Float { scales, .. } = matrix { Some(scales) } else { None })?,
            format: *format,
        },
    };
    let outputs = first.outputs * parts.len();
    let bias =
        join(parts.iter().map(|part| part.bias.as_ref())).map(|bias| TensorView { shape: vec![outputs], ..bias });
    Some(LinearData { outputs, inputs: first.inputs, matrix, bias, rotation: None })
}

/// One tensor of several of the same shape.
fn join<'a>(views: impl Iterator<Item = Option<&'a TensorView>>) -> Option<TensorView> {
    let views: Vec<&TensorView> = views.collect::<Option<_>>()?;
    let first = views.first()?;
    let mut bytes = Vec::with_capacity(first.bytes().len() * views.len());
    for view in &views {
        bytes.extend_from_slice(view.bytes());
        view.release();
    }
    let shape = [views.len()].into_iter().chain(first.shape.iter().copied()).collect();
    let range = 0..bytes.len();
    Some(TensorView::from_storage(first.name.clone(), first.dtype, shape, Arc::new(bytes), range))
}
