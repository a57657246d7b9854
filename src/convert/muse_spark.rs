//! Muse Spark as its makers publish it: queries, keys, values and gates apart, with the halves of each head to rotate where
//! mlx-lm has pairs; gates of the residual stream in place of the factors that they fix; weights of norms less one.

use std::sync::Arc;

use super::layout::{Found, Layout};
use super::part::Part;
use crate::arch::spec::{Mixer, Spec};
use crate::error::{Error, Result};
use crate::weights::{Dtype, TensorView, Tensors};

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

impl Layout<'_> {
    /// The tensor `name` of the spec, if it is laid out otherwise.
    pub(super) fn of_muse_spark(&mut self, name: &str) -> Result<Option<Found>> {
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
