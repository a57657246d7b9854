//! Muse Spark as its makers publish it: queries, keys, values and gates apart, with the halves of each head to rotate where
//! mlx-lm has pairs; gates of the residual stream in place of the factors that they fix; weights of norms less one; experts
//! perhaps in nvfp4, gate and up in one tensor, with a scale of each expert beside those of groups.

use std::sync::Arc;

use super::layout::{Found, Layout};
use super::options::ConvertOptions;
use super::part::Part;
use crate::arch::spec::{Mixer, QuantizationFormat, QuantizationMode, Spec};
use crate::error::{Error, Result};
use crate::weights::{Dtype, LinearData, Matrix, NVFP4_MAX, TensorView, Tensors};

/// What the gates are divided by, and the least of what is kept, squared.
const TEMPERATURE: f32 = 0.3;
const LEAST: f32 = 1e-3;
/// Norms whose weights are stored less one.
const NORMS: [&str; 5] = [
    ".input_layernorm.weight",
    ".pre_feedforward_layernorm.weight",
    ".post_feedforward_layernorm.weight",
    ".mlp.pre_expert_norm.weight",
    ".mlp.experts.post_expert_norm.weight",
];
/// mlx-lm's names of the factors and those of the gates, for what is kept and for what is added.
const GATES: [(&str, &str, bool); 4] = [
    (".add_attn_alpha", ".post_attention_residual_gate.gate", true),
    (".add_attn_beta", ".post_attention_residual_gate.gate", false),
    (".add_ffn_alpha", ".post_feedforward_residual_gate.gate", true),
    (".add_ffn_beta", ".post_feedforward_residual_gate.gate", false),
];

/// Whether a checkpoint is laid out as above.
pub(super) fn is_as_published(spec: &Spec, tensors: &Tensors) -> bool {
    spec.model_type == "muse_spark" && !tensors.names().any(|name| name.ends_with("_alpha"))
}

/// Fails where codes are to become floats.
pub(super) fn check_options(options: &ConvertOptions, tensors: &Tensors) -> Result<()> {
    if !options.dequantize {
        return Ok(());
    }
    let message = format!("{}: floats of experts with a scale of each (gate_up_proj_weight_scale_2)", tensors.label());
    Err(Error::unsupported(message).with_hint("leave out dequantize, which keeps the codes"))
}

impl Layout<'_> {
    /// The tensor `name` of the spec, if it is laid out otherwise.
    pub(super) fn of_muse_spark(&mut self, name: &str) -> Result<Option<Found>> {
        if let Some(path) = name.strip_suffix(".global_scale") {
            return self.global_scale(path);
        }
        if let Some(path) = name.strip_suffix(".weight").filter(|path| self.has_global_scale(path)) {
            return self.packed(path);
        }
        if let Some(block) = name.strip_suffix("qkvg_proj.weight") {
            return self.projections(block).map(Some);
        }
        if let Some((own, gate, kept)) = GATES.iter().find(|(own, ..)| name.ends_with(own)) {
            let gate = format!("{}{gate}", name.strip_suffix(own).unwrap_or_default());
            let factor = if *kept { kept_factor } else { added_factor };
            return self.computed(&gate, Dtype::F32, factor).map(Some);
        }
        if NORMS.iter().any(|norm| name.ends_with(norm)) {
            return self.computed(name, Dtype::Bf16, |weight| weight + 1.0).map(Some);
        }
        Ok(None)
    }

    /// Whether the experts' matrix `path` has a scale of each expert.
    pub(super) fn has_global_scale(&self, path: &str) -> bool {
        self.is_muse_spark() && codes_of(path).is_some_and(|(codes, _)| self.is_packed(&codes))
    }

    /// Whether a tensor holds codes of nvfp4.
    fn is_packed(&self, name: &str) -> bool {
        self.tensors().get(name).is_some_and(|view| view.dtype == Dtype::U8)
    }

    /// The experts' matrix `path` as codes of nvfp4, if that is how it is stored.
    fn packed(&mut self, path: &str) -> Result<Option<Found>> {
        let Some((name, half)) = codes_of(path).filter(|(name, _)| self.is_packed(name)) else { return Ok(None) };
        let scales = self.bytes(&format!("{name}_weight_scale"))?;
        let all = self.bytes(&name)?;
        let Some(codes) = all.words() else {
            return Err(self.tensors().corrupt(&name, "has rows that are no whole words"));
        };
        let (&[experts, stored, words], halves) = (codes.shape.as_slice(), if half.is_some() { 2 } else { 1 }) else {
            return Err(self.tensors().corrupt(&name, format_args!("has the shape {:?}", all.shape)));
        };
        let format = QuantizationFormat::usual(QuantizationMode::Nvfp4);
        let inputs = words * 32 / format.bits;
        if scales.shape != [experts, stored, inputs / format.group_size] || !stored.is_multiple_of(halves) {
            let message = format!("has scales of the shape {:?}, which don't fit its {:?}", scales.shape, all.shape);
            return Err(self.tensors().corrupt(&name, message));
        }
        let rows = stored / halves;
        let part = |expert: usize| {
            let first = expert * stored + half.unwrap_or(0) * rows;
            let cut = |view: &TensorView| view.rows(first..first + rows, experts * stored);
            let matrix = Matrix::Float { codes: cut(&codes), scales: cut(&scales), format };
            Part::Codes(Box::new(LinearData { outputs: rows, inputs, matrix, bias: None, rotation: None }))
        };
        Ok(Some(Found::new((0..experts).map(part).collect(), vec![experts, rows, inputs])))
    }

    /// A tensor of bytes.
    fn bytes(&mut self, name: &str) -> Result<TensorView> {
        let view = self.tensors().need(name)?.clone();
        if view.dtype != Dtype::U8 {
            return Err(self.tensors().corrupt(name, format_args!("is {}, but must be bytes", view.dtype)));
        }
        self.mark(name);
        Ok(view)
    }

    /// MLX's scale of each expert, which is that of the makers times the largest number of codes and scales.
    fn global_scale(&mut self, path: &str) -> Result<Option<Found>> {
        let Some((name, half)) = codes_of(path).filter(|(name, _)| self.is_packed(name)) else { return Ok(None) };
        let name = format!("{name}_weight_scale_2");
        let found = self.computed(&name, Dtype::F32, |scale| scale * NVFP4_MAX)?;
        let Some(column) = half else { return Ok(Some(found)) };
        match (found.parts.as_slice(), found.shape.as_slice()) {
            ([Part::View(view)], &[experts, 2]) => {
                let chosen: Vec<u8> =
                    view.bytes().chunks(8).flat_map(|both| &both[column * 4..][..4]).copied().collect();
                let range = 0..chosen.len();
                let view = TensorView::from_storage(name, Dtype::F32, vec![experts], Arc::new(chosen), range);
                Ok(Some(Found::new(vec![Part::View(view)], vec![experts])))
            }
            (_, shape) => Err(self.tensors().corrupt(&name, format_args!("has the shape {shape:?}"))),
        }
    }

    fn projections(&mut self, block: &str) -> Result<Found> {
        let attention = self.spec().layers.iter().flat_map(|layer| layer.mixers()).find_map(|mixer| match mixer {
            Mixer::Attention(attention) => Some(attention),
            _ => None,
        });
        let head = attention.map(|attention| attention.head_dim);
        let head = head.ok_or_else(|| Error::internal("projections of a model without attention"))?;
        let mut all: Option<Found> = None;
        for (part, rotated) in [("q", true), ("k", true), ("v", false), ("gate", false)] {
            let name = format!("{block}{part}_proj.weight");
            let one = self.whole(&name)?;
            let [Part::View(view)] = one.parts.as_slice() else {
                return Err(self.tensors().corrupt(&name, "is not a matrix of floats"));
            };
            let &[rows, columns] = view.shape.as_slice() else {
                return Err(self.tensors().corrupt(&name, format_args!("has the shape {:?}", view.shape)));
            };
            if !rows.is_multiple_of(head) || all.as_ref().is_some_and(|all| all.shape.last() != Some(&columns)) {
                let message = format!("has the shape {:?}, which is not that of heads of {head}", view.shape);
                return Err(self.tensors().corrupt(&name, message));
            }
            let part = if rotated { Part::Pairs(view.clone(), head) } else { Part::View(view.clone()) };
            let all = all.get_or_insert_with(|| Found::new(Vec::new(), vec![0, columns]));
            all.parts.push(part);
            all.shape[0] += rows;
        }
        all.ok_or_else(|| Error::internal("projections of no parts"))
    }

    /// What `of` makes of each number of a vector.
    fn computed(&mut self, name: &str, dtype: Dtype, of: impl Fn(f32) -> f32) -> Result<Found> {
        let Found { parts, shape, .. } = self.whole(name)?;
        let [Part::View(view)] = parts.as_slice() else {
            return Err(self.tensors().corrupt(name, "is not a vector of floats"));
        };
        let mut bytes = Vec::new();
        view.to_f32().into_iter().for_each(|number| dtype.push(of(number), &mut bytes));
        let range = 0..bytes.len();
        let view = TensorView::from_storage(name.to_owned(), dtype, shape.clone(), Arc::new(bytes), range);
        Ok(Found::new(vec![Part::View(view)], shape))
    }
}

/// The tensor of the codes of an experts' matrix, and which half of its rows these are.
fn codes_of(path: &str) -> Option<(String, Option<usize>)> {
    let (block, part) = path.split_once(".mlp.experts.")?;
    let half = match part {
        "gate_proj" => Some(0),
        "up_proj" => Some(1),
        "down_proj" => None,
        _ => return None,
    };
    let name = if half.is_some() { "gate_up_proj" } else { "down_proj" };
    Some((format!("{block}.mlp.experts.{name}"), half))
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Of what a block gives.
fn added_factor(gate: f32) -> f32 {
    sigmoid(gate / TEMPERATURE)
}

/// Of the residual stream: what leaves its spread as it is beside the other.
fn kept_factor(gate: f32) -> f32 {
    let gate = gate / TEMPERATURE;
    (sigmoid(-gate) * (1.0 + sigmoid(gate))).max(LEAST).sqrt()
}
