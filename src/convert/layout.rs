//! Where a checkpoint keeps the tensors that a spec asks for. Models as their makers publish them have other names,
//! experts apart, and convolutions in another order of dimensions than mlx-lm's classes, whose names the spec has.

use std::collections::BTreeSet;

use super::muse_spark;
use super::part::Part;
use super::published::{flat, other_names};
use crate::arch::Published;
use crate::arch::spec::{Linear, Mixer, Spec};
use crate::error::{Error, Result};
use crate::weights::{TensorView, Tensors, apart, linear};

/// A tensor of the spec as the checkpoint has it.
pub(super) struct Found {
    /// Consecutive rows.
    pub parts: Vec<Part>,
    /// Of the whole.
    pub shape: Vec<usize>,
    /// Added to each number.
    pub offset: f32,
    /// The width of heads whose rows are pairs to rotate, which MLX wants in the halves of the head.
    pub interleaved: Option<usize>,
}

impl Found {
    pub(super) fn new(parts: Vec<Part>, shape: Vec<usize>) -> Self {
        Self { parts, shape, offset: 0.0, interleaved: None }
    }
}

/// Finds tensors, and remembers which were asked for.
pub(super) struct Layout<'a> {
    spec: &'a Spec,
    tensors: &'a Tensors,
    /// Of a GGUF file.
    published: Option<&'a Published>,
    used: BTreeSet<String>,
    /// Whether norms are stored less one, which Qwen's makers do in some families.
    norms_less_one: bool,
    /// Whether this is Muse Spark as its makers publish it.
    muse_spark: bool,
}

impl<'a> Layout<'a> {
    pub fn new(spec: &'a Spec, tensors: &'a Tensors, published: Option<&'a Published>) -> Result<Self> {
        let transposed = |name: &str| name.contains("conv1d.weight") && tensors.get(name).is_some_and(is_transposed);
        let as_published = tensors.names().any(transposed);
        let family = spec.model_type.as_str();
        if as_published && family == "falcon_h1" {
            return Err(Error::unsupported(format!("{}: {family} as its makers publish it", tensors.label()))
                .with_hint("its multipliers are to be folded into the weights, which mlx-lm's convert does"));
        }
        if family == "baichuan_m1" {
            return Err(Error::unsupported(format!("{}: converting {family}", tensors.label()))
                .with_hint("the rows of its head are to be brought to unit length, which mlx-lm's convert does"));
        }
        let norms_less_one = match family {
            "qwen3_5" | "qwen3_5_moe" => as_published,
            "qwen3_next" => tensors.names().any(|name| name.ends_with(".mlp.experts.0.up_proj.weight")),
            _ => false,
        };
        if norms_less_one != as_published && family == "qwen3_next" {
            let message =
                format!("{}: {family} with some tensors as published and some as mlx-lm has them", tensors.label());
            return Err(Error::unsupported(message));
        }
        let muse_spark = muse_spark::is_as_published(spec, tensors);
        Ok(Self { spec, tensors, published, used: BTreeSet::new(), norms_less_one, muse_spark })
    }

    pub(super) fn spec(&self) -> &'a Spec {
        self.spec
    }

    pub(super) fn tensors(&self) -> &'a Tensors {
        self.tensors
    }

    pub(super) fn is_muse_spark(&self) -> bool {
        self.muse_spark
    }

    /// Says that a tensor has been asked for.
    pub(super) fn mark(&mut self, name: &str) {
        self.used.insert(name.to_owned());
    }

    /// Whether the checkpoint has the tensor `name` of the spec under its usual name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains(&self.stored_name(name))
    }

    fn stored_name(&self, name: &str) -> String {
        self.published.map_or_else(|| name.to_owned(), |published| published.stored_name(name))
    }

    /// The tensor `name` of the spec. Experts are stacked when `shape` has three dimensions.
    pub fn find(&mut self, name: &str, shape: Option<&[usize]>) -> Result<Found> {
        for candidate in self.candidates(name) {
            let own = if self.muse_spark { self.of_muse_spark(&candidate)? } else { None };
            let found = match self.tensors.contains(&candidate) {
                _ if own.is_some() => own,
                true => Some(self.whole(&candidate)?),
                false => match self.stacked(&candidate, shape)? {
                    None => self.divided(&candidate, shape)?,
                    found => found,
                },
            };
            let Some(found) = found else { continue };
            let mut found = flat(self.spec, name, found);
            if let Some(published) = self.published {
                found.offset = published.offset(name);
                found.interleaved = published.interleaved(name);
                // The first dimension of a single row is left away.
                if shape.is_some_and(|shape| shape.first() == Some(&1) && found.shape == shape[1..]) {
                    found.shape.insert(0, 1);
                }
            }
            if let Some(shape) = shape.filter(|shape| found.shape != *shape) {
                let message = format!("{name}: has the shape {:?}, but config.json asks for {shape:?}", found.shape);
                return Err(Error::corrupt(self.tensors.label(), message));
            }
            if self.norms_less_one && is_norm(&candidate) && found.shape.len() == 1 {
                found.offset = 1.0;
            }
            return Ok(found);
        }
        Err(Error::corrupt(self.tensors.label(), format_args!("there is no tensor {name:?}"))
            .with_hint("the weights are incomplete, or laid out as only their makers' own programs read them"))
    }

    /// Fails when tensors are left over that mean something.
    pub fn finish(self) -> Result<()> {
        let ignored = |name: &str| {
            self.spec.ignored.iter().any(|part| name.contains(part.as_str()))
                || self.published.is_some() && Published::ignores(name)
        };
        let rest: Vec<_> =
            self.tensors.names().filter(|name| !self.used.contains(*name) && !ignored(name)).take(6).collect();
        if rest.is_empty() {
            return Ok(());
        }
        let list = rest.iter().take(5).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let more = if rest.len() > 5 { ", …" } else { "" };
        let message = format!("tensors that are not part of a {} model: {list}{more}", self.spec.model_type);
        Err(Error::corrupt(self.tensors.label(), message).with_hint("the weights are not those of this config.json"))
    }

    /// The names that a tensor may have: the spec's own, and those of text parts of larger models.
    fn candidates(&self, name: &str) -> Vec<String> {
        let mut names = vec![self.stored_name(name)];
        if let Some(rest) = name.strip_prefix("language_model.model.") {
            names.extend([format!("model.language_model.{rest}"), format!("model.{rest}")]);
        } else if let Some(rest) = name.strip_prefix("language_model.") {
            names.push(rest.to_owned());
        }
        // mlx-lm gives this family a head of its own in any case.
        if self.spec.model_type == "minicpm" && name == "lm_head.weight" {
            names.push("model.embed_tokens.weight".into());
        }
        let others: Vec<_> = names.iter().flat_map(|name| other_names(&self.spec.model_type, name)).collect();
        names.extend(others);
        names
    }

    pub(super) fn whole(&mut self, name: &str) -> Result<Found> {
        self.used.insert(name.to_owned());
        if let Some(blocks) = self.tensors.blocks(name) {
            return Ok(Found::new(vec![Part::Blocks(blocks.clone())], blocks.shape.clone()));
        }
        if let Some(path) = name.strip_suffix(".weight").filter(|path| self.tensors.contains(&format!("{path}.scales")))
        {
            return self.codes(path);
        }
        let view = self.tensors.need(name)?;
        if !view.dtype.is_float() {
            return Err(self.tensors.corrupt(name, format_args!("is {}, but must be F32, F16 or BF16", view.dtype)));
        }
        let mut shape = view.shape.clone();
        if let Some(by_head) = self.by_head(name, &shape) {
            shape = by_head;
        }
        if name.ends_with(".weight") && name.contains("conv") && is_transposed(view) {
            // One of the two is 1, so that the numbers are in the same order.
            shape.swap(1, 2);
        }
        Ok(Found::new(vec![Part::View(view.clone())], shape))
    }

    /// The shape of numbers of heads that stand in one row as RWKV's makers publish them.
    fn by_head(&self, name: &str, shape: &[usize]) -> Option<Vec<usize>> {
        let Mixer::TimeMix(mix) = &self.spec.layers.first()?.mixer else { return None };
        let in_rows = ["k_k", "k_a", "g_norm"].iter().any(|part| name.contains(part));
        (in_rows && *shape == [mix.heads * mix.head_dim]).then(|| vec![mix.heads, mix.head_dim])
    }

    /// A matrix of MLX's codes.
    fn codes(&mut self, path: &str) -> Result<Found> {
        let global = format!("{path}.global_scale");
        if self.tensors.contains(&global) {
            let message = format!("{}: {global:?}, a scale beside those of groups", self.tensors.label());
            return Err(Error::unsupported(message).with_hint("use the model that it was made of"));
        }
        let beside = ["scales", "biases"].map(|part| format!("{path}.{part}"));
        let scales = self.tensors.need(&beside[0])?;
        let mut shape = scales.shape.clone();
        let quantization = self.spec.quantization.as_ref();
        let known = self.spec.linears().find(|linear| linear.name == path).map(|linear| linear.inputs);
        let inputs = known.or_else(|| {
            let groups = *shape.last()?;
            groups.checked_mul(quantization?.format(path)?.group_size)
        });
        let (Some(inputs), Some(last)) = (inputs, shape.last_mut()) else {
            return Err(self.tensors.corrupt(&beside[0], "is there, but config.json names no format"));
        };
        *last = inputs;
        let (experts, outputs) = match *shape {
            [outputs, _] => (None, outputs),
            [experts, outputs, _] => (Some(experts), outputs),
            _ => return Err(self.tensors.corrupt(&beside[0], format_args!("has the shape {:?}", scales.shape))),
        };
        let matrix = Linear {
            name: path.to_owned(),
            outputs,
            inputs,
            bias: false,
            part: None,
            experts,
            bare: false,
            ternary: false,
        };
        let data = linear(self.tensors, &matrix, quantization)?;
        self.used.extend(beside);
        Ok(Found::new(vec![Part::Codes(Box::new(data))], shape))
    }

    /// A tensor of all experts, from one of each or from one with gate and up together.
    fn stacked(&mut self, name: &str, shape: Option<&[usize]>) -> Result<Option<Found>> {
        let Some(&experts) = shape.and_then(<[usize]>::first) else { return Ok(None) };
        let Some((path, leaf)) = name.rsplit_once('.') else { return Ok(None) };
        for (before, behind) in apart(path) {
            let of = |expert: usize| format!("{before}{expert}{behind}.{leaf}");
            if self.tensors.contains(&of(0)) {
                return self.one_each(experts, of).map(Some);
            }
        }
        let Some((block, part)) = path.split_once(".switch_mlp.").or_else(|| path.split_once(".experts.")) else {
            return Ok(None);
        };
        self.fused(block, part, leaf, shape.unwrap_or_default())
    }

    fn one_each(&mut self, experts: usize, name_of: impl Fn(usize) -> String) -> Result<Found> {
        let mut parts: Vec<Part> = Vec::with_capacity(experts);
        let mut first = None;
        for name in (0..experts).map(name_of) {
            let Found { parts: part, shape, .. } = self.whole(&name)?;
            let own = (part.iter().map(Part::format).collect::<String>(), shape);
            parts.extend(part);
            let expected = first.get_or_insert_with(|| own.clone());
            if own != *expected {
                let message = format!("is {:?} of {}, unlike the expert before", own.1, own.0);
                return Err(self.tensors.corrupt(&name, message));
            }
        }
        let of_one = first.map_or_else(Vec::new, |(_, shape)| shape);
        Ok(Found::new(parts, [experts].into_iter().chain(of_one).collect()))
    }

    /// Experts whose gate and up are the halves of one tensor.
    fn fused(&mut self, block: &str, part: &str, leaf: &str, shape: &[usize]) -> Result<Option<Found>> {
        let (pair, down) = match (self.spec.model_type.as_str(), leaf) {
            ("qwen3_5_moe" | "muse_spark", "weight") => ("experts.gate_up_proj", "experts.down_proj"),
            ("granitemoe" | "granitemoehybrid", "weight") => ("input_linear.weight", "output_linear.weight"),
            _ => return Ok(None),
        };
        let name = format!("{block}.{}", if part == "down_proj" { down } else { pair });
        if !self.tensors.contains(&name) {
            return Ok(None);
        }
        let mut found = self.whole(&name)?;
        let (&[experts, rows, columns], [Part::View(whole)]) = (shape, found.parts.as_slice()) else { return Ok(None) };
        if part != "down_proj" {
            if whole.shape != [experts, 2 * rows, columns] {
                let message = format!("has the shape {:?}, not {:?}", whole.shape, [experts, 2 * rows, columns]);
                return Err(self.tensors.corrupt(&name, message));
            }
            let first = if part == "up_proj" { rows } else { 0 };
            let half = |expert: usize| {
                let start = expert * 2 * rows + first;
                Part::View(whole.rows(start..start + rows, experts * 2 * rows))
            };
            found.parts = (0..experts).map(half).collect();
            found.shape = shape.to_vec();
        }
        Ok(Some(found))
    }
}

/// A convolution whose kernel is the last dimension.
fn is_transposed(view: &TensorView) -> bool {
    matches!(*view.shape, [_, 1, width] if width != 1)
}

fn is_norm(name: &str) -> bool {
    const NORMS: [&str; 5] = [
        ".input_layernorm.weight",
        ".post_attention_layernorm.weight",
        "model.norm.weight",
        ".q_norm.weight",
        ".k_norm.weight",
    ];
    NORMS.iter().any(|end| name.ends_with(end)) || name.ends_with("language_model.norm.weight")
}
