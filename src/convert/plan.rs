//! What a conversion writes: every tensor of the model, its source and its format, spread over files.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::layout::{Found, Layout};
use super::muse_spark;
use super::options::{ConvertOptions, Rule, Stored};
use super::part::Part;
use crate::arch::Published;
use crate::arch::spec::{Linear, QuantizationFormat, QuantizationMode, Spec};
use crate::error::{Error, Result};
use crate::weights::gguf::Conversion;
use crate::weights::{Dtype, Matrix, Tensors};

/// All that will be written.
pub(super) struct Plan {
    /// The files, in order.
    pub shards: Vec<Shard>,
    /// `quantization` of config.json.
    pub quantization: Option<Value>,
    /// Numbers that the model is made of.
    pub parameters: u64,
    /// What becomes of the blocks of a GGUF file, where they are kept as nearly as possible.
    pub conversions: Vec<Conversion>,
}

/// A file of tensors.
pub(super) struct Shard {
    pub file: String,
    pub outputs: Vec<Output>,
}

/// A tensor, or a quantized matrix, which is several.
pub(super) struct Output {
    /// Of the tensor, or of the codes.
    pub name: String,
    /// Where the numbers come from, as consecutive rows.
    pub parts: Vec<Part>,
    /// Of the numbers.
    pub shape: Vec<usize>,
    /// Added to each number.
    pub offset: f32,
    /// The width of heads whose rows are pairs to rotate, and are to be put into the halves of the head.
    pub interleaved: Option<usize>,
    /// The format of floats.
    pub dtype: Dtype,
    /// What the numbers become, unless they stay floats.
    pub format: Option<QuantizationFormat>,
    /// Whether that is what the blocks of a GGUF file become anyway.
    pub keeps_blocks: bool,
}

/// A tensor as a file holds it.
pub(super) struct Entry {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

impl Entry {
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.width() as u64
    }
}

impl Output {
    /// Numbers in a row; one dimension is one row.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The name of a matrix.
    fn path(&self) -> &str {
        self.name.strip_suffix(".weight").unwrap_or(&self.name)
    }

    /// Bytes of the source.
    pub fn source_bytes(&self) -> u64 {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// The tensors of it: itself, or codes, scales and, where there are any, biases.
    pub fn entries(&self) -> Vec<Entry> {
        let Some(QuantizationFormat { bits, group_size, mode }) = self.format else {
            return vec![Entry { name: self.name.clone(), dtype: self.dtype, shape: self.shape.clone() }];
        };
        let entry = |leaf: &str, dtype: Dtype, columns: usize| {
            let mut shape = self.shape.clone();
            if let Some(last) = shape.last_mut() {
                *last = columns;
            }
            Entry { name: format!("{}.{leaf}", self.path()), dtype, shape }
        };
        let (codes, groups) = (self.columns() * bits / 32, self.columns() / group_size);
        let mut entries = vec![entry("weight", Dtype::U32, codes)];
        if mode == QuantizationMode::Affine {
            entries.extend([entry("scales", self.dtype, groups), entry("biases", self.dtype, groups)]);
        } else {
            entries.push(entry("scales", Dtype::U8, groups));
        }
        entries
    }

    pub fn bytes(&self) -> u64 {
        self.entries().iter().map(Entry::bytes).sum()
    }
}

impl Plan {
    pub fn new(
        spec: &Spec,
        tensors: &Tensors,
        published: Option<&Published>,
        config: &Value,
        options: &ConvertOptions,
        shard_bytes: u64,
    ) -> Result<Self> {
        let format = options.format()?;
        if format.is_none() && muse_spark::is_as_published(spec, tensors) && spec.quantization.is_some() {
            muse_spark::check_options(options, tensors)?;
        } else if !options.dequantize {
            check_source(spec, tensors)?;
        }
        if spec.quantization.as_ref().is_some_and(|quantization| !quantization.rotations.is_empty()) {
            let message = format!("{}: rotations are folded into the matrices, which stay packed", tensors.label());
            return Err(Error::unsupported(message).with_hint("use the model that it was made of"));
        }
        let rule = format.map(|format| Rule::new(spec, format, options.recipe)).transpose()?;
        let dtype = options.dtype.or_else(|| declared(config));
        let mut builder = Builder {
            spec,
            layout: Layout::new(spec, tensors, published)?,
            dtype,
            asked: options.dtype,
            keeps_blocks: format.is_none() && !options.dequantize,
            rule,
            outputs: BTreeMap::new(),
            own: Map::new(),
        };
        builder.collect(tensors)?;
        let Builder { layout, outputs, mut own, .. } = builder;
        layout.finish()?;
        let kept = most_common(outputs.values());
        if let Some(format) = kept {
            let others = outputs.values().filter(|output| output.keeps_blocks && output.format != Some(format));
            let described = |output: &Output| Some((output.path().to_owned(), described(output.format?).into()));
            own.extend(others.filter_map(described));
        }
        let quantization = format.or(kept).map(|format| {
            let mut all = described(format);
            // mlx-lm names four bits beside a recipe, whose matrices all have entries of their own.
            if options.recipe.is_some() {
                all.insert("bits".into(), 4.into());
            }
            all.extend(own);
            Value::Object(all)
        });
        let blocks = outputs.values().filter(|output| output.keeps_blocks).flat_map(|output| &output.parts);
        let blocks = blocks.filter_map(|part| if let Part::Blocks(blocks) = part { Some(blocks) } else { None });
        let conversions = Conversion::of(blocks, dtype.unwrap_or(Dtype::F16));
        let conversions = conversions.map_err(|error| error.context(tensors.label()))?;
        let parameters = outputs.values().map(|output| output.shape.iter().product::<usize>() as u64).sum();
        Ok(Self { shards: shards(outputs.into_values(), shard_bytes), quantization, parameters, conversions })
    }

    pub fn bytes(&self) -> u64 {
        self.outputs().map(Output::bytes).sum()
    }

    pub fn source_bytes(&self) -> u64 {
        self.outputs().map(Output::source_bytes).sum()
    }

    fn outputs(&self) -> impl Iterator<Item = &Output> {
        self.shards.iter().flat_map(|shard| &shard.outputs)
    }

    /// The content of `model.safetensors.index.json`.
    pub fn index(&self) -> Value {
        let files = self.shards.iter().flat_map(|shard| {
            let entries = shard.outputs.iter().flat_map(Output::entries);
            entries.map(|entry| (entry.name, Value::from(shard.file.as_str())))
        });
        let metadata = json!({ "total_size": self.bytes(), "total_parameters": self.parameters });
        json!({ "metadata": metadata, "weight_map": files.collect::<Map<_, _>>() })
    }
}

struct Builder<'a> {
    spec: &'a Spec,
    layout: Layout<'a>,
    dtype: Option<Dtype>,
    /// What the caller named.
    asked: Option<Dtype>,
    /// Whether blocks of a GGUF file stay as near as can be to what they are.
    keeps_blocks: bool,
    rule: Option<Rule<'a>>,
    outputs: BTreeMap<String, Output>,
    /// Formats of matrices that differ from the rest.
    own: Map<String, Value>,
}

impl Builder<'_> {
    fn collect(&mut self, tensors: &Tensors) -> Result<()> {
        let spec = self.spec;
        for linear in spec.linears() {
            let optional = spec.head_optional && spec.head.as_ref() == Some(linear) && spec.model_type != "minicpm";
            for linear in linear.stored() {
                let weight = linear.weight();
                if self.outputs.contains_key(&weight) || (optional && !self.layout.has(&weight)) {
                    continue;
                }
                let found = self.layout.find(&weight, Some(&shape(&linear)))?;
                match linear.bare {
                    true => self.add(weight, found, None, false),
                    false => self.matrix(&linear.name, weight, found)?,
                }
                if self.layout.has_global_scale(&linear.name) {
                    self.plain(&format!("{}.global_scale", linear.name))?;
                }
                if linear.bias {
                    self.plain(&format!("{}.bias", linear.name))?;
                }
            }
        }
        let norms = spec.norms().flat_map(|norm| norm.weights.iter().chain(&norm.bias).chain(&norm.input).cloned());
        for name in norms.chain(spec.vectors()).collect::<Vec<_>>() {
            self.plain(&name)?;
        }
        // What mlx-lm's class has and never uses; it does not load without.
        let is_scale = |name: &str| {
            let path = name.strip_suffix(".scales").or_else(|| name.strip_suffix(".biases"));
            path.is_some_and(|path| tensors.contains(&format!("{path}.weight")))
        };
        for name in tensors.names().filter(|name| is_kept(&spec.model_type, name) && !is_scale(name)) {
            let shape = &tensors.need(name)?.shape;
            match name.strip_suffix(".weight").filter(|_| shape.len() > 1) {
                Some(path) if !self.outputs.contains_key(name) => {
                    let found = self.layout.find(name, None)?;
                    self.matrix(path, name.to_owned(), found)?;
                }
                _ => self.plain(name)?,
            }
        }
        Ok(())
    }

    fn matrix(&mut self, path: &str, name: String, found: Found) -> Result<()> {
        if self.keeps_blocks
            && let Some(Part::Blocks(blocks)) = found.parts.first()
        {
            let format = blocks.target().map(|target| target.format);
            self.add(name, found, format, true);
            return Ok(());
        }
        if let Some(Part::Codes(data)) = found.parts.first().filter(|_| self.keeps_blocks) {
            let format = if let Matrix::Float { format, .. } = data.matrix { Some(format) } else { None };
            self.add(name, found, format, true);
            return Ok(());
        }
        let columns = found.shape.last().copied().unwrap_or(1);
        let stored = self.rule.as_ref().map(|rule| rule.stored(path, columns)).transpose()?.unwrap_or(Stored::Dense);
        let format = match stored {
            Stored::Dense => None,
            Stored::Usual(format) => Some(format),
            Stored::Own(format) => {
                self.own.insert(path.to_owned(), Value::Object(described(format)));
                Some(format)
            }
        };
        self.add(name, found, format, false);
        Ok(())
    }

    fn plain(&mut self, name: &str) -> Result<()> {
        if !self.outputs.contains_key(name) {
            let found = self.layout.find(name, None)?;
            self.add(name.to_owned(), found, None, false);
        }
        Ok(())
    }

    fn add(&mut self, name: String, found: Found, format: Option<QuantizationFormat>, keeps_blocks: bool) {
        let Found { parts, shape, offset, interleaved } = found;
        let own = parts.first().map_or(Dtype::F32, Part::dtype);
        let wanted = if parts.first().is_some_and(Part::is_small_float) { self.asked } else { self.dtype };
        let dtype = wanted.filter(|_| !keeps_dtype(&self.spec.model_type, &name)).unwrap_or(own);
        let output = Output { name, parts, shape, offset, interleaved, dtype, format, keeps_blocks };
        self.outputs.insert(output.name.clone(), output);
    }
}

/// The format that most numbers of a GGUF file have, among matrices of blocks that are kept.
fn most_common<'a>(outputs: impl Iterator<Item = &'a Output>) -> Option<QuantizationFormat> {
    let mut counts: Vec<(QuantizationFormat, usize)> = Vec::new();
    for output in outputs.filter(|output| output.keeps_blocks) {
        let Some(format) = output.format else { continue };
        let numbers = output.shape.iter().product::<usize>();
        match counts.iter_mut().find(|(other, _)| *other == format) {
            Some((_, count)) => *count += numbers,
            None => counts.push((format, numbers)),
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(format, _)| format)
}

/// The format of the floats of a GGUF file's model: that of its scales, else that of its matrices. Gemma's hidden
/// numbers need the range of bf16.
pub(super) fn usual_dtype(published: &Published, tensors: &Tensors) -> Dtype {
    let matrices = || tensors.names().filter_map(|name| tensors.get(name)).filter(|view| view.shape.len() > 1);
    let has_blocks = tensors.names().any(|name| tensors.blocks(name).is_some());
    let stored = matrices().max_by_key(|view| view.bytes().len()).map_or(Dtype::F32, |view| view.dtype);
    match if has_blocks { Dtype::F16 } else { stored } {
        Dtype::F16 if published.is_gemma() => Dtype::Bf16,
        dtype => dtype,
    }
}

/// Refuses what is quantized already.
fn check_source(spec: &Spec, tensors: &Tensors) -> Result<()> {
    let ternary = spec.linears().any(|linear| linear.ternary);
    if spec.quantization.is_none() && !ternary && !tensors.names().any(|name| name.ends_with(".scales")) {
        return Ok(());
    }
    let message = format!("{}: the model is quantized already", tensors.label());
    Err(Error::unsupported(message)
        .with_hint("each quantization adds its own errors; convert the model that it was made of, in bf16 or f16"))
}

/// The dimensions of a matrix as it is stored.
fn shape(linear: &Linear) -> Vec<usize> {
    let rows = linear.part.map_or(linear.outputs, |(_, all)| all);
    linear.experts.into_iter().chain([rows, linear.inputs]).collect()
}

/// The number format that a configuration asks for, where mlx-lm looks for it.
fn declared(config: &Value) -> Option<Dtype> {
    let name =
        config.get("torch_dtype").filter(|name| !name.is_null()).or_else(|| config.get("text_config")?.get("dtype"));
    match name?.as_str()? {
        "float32" => Some(Dtype::F32),
        "float16" => Some(Dtype::F16),
        "bfloat16" => Some(Dtype::Bf16),
        _ => None,
    }
}

/// Tensors whose precision matters, which mlx-lm keeps as they are.
fn keeps_dtype(family: &str, name: &str) -> bool {
    let decays = ["kimi_k3", "kimi_linear", "nemotron_h", "qwen3_5", "qwen3_5_moe"];
    let wide = ["attn_hc.", "ffn_hc.", "sinks", "compressor."];
    let of_router = ["e_score_correction_bias", "expert_bias", "router_bias"];
    of_router.iter().any(|part| name.contains(part)) && !matches!(family, "bailing_moe_v3" | "dots1" | "muse_spark")
        || name.ends_with("A_log") && decays.contains(&family)
        || name.ends_with("dt_bias") && matches!(family, "kimi_k3" | "kimi_linear")
        || family == "muse_spark" && (name.ends_with("_alpha") || name.ends_with("_beta"))
        || family.starts_with("deepseek_v41") && wide.iter().any(|part| name.contains(part))
}

/// Tensors that are not needed here but by mlx-lm's class.
fn is_kept(family: &str, name: &str) -> bool {
    match family {
        "gemma3n" => {
            let unused = ["self_attn.k_proj.", "self_attn.v_proj.", "self_attn.k_norm.", "altup.correct_output_scale"];
            name.contains("language_model.") && unused.iter().any(|part| name.contains(part))
        }
        _ => false,
    }
}

fn described(format: QuantizationFormat) -> Map<String, Value> {
    let QuantizationFormat { bits, group_size, mode } = format;
    let entries = [("group_size", json!(group_size)), ("bits", json!(bits)), ("mode", json!(mode.name()))];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Spreads tensors over files, each with the name that mlx-lm gives it.
fn shards(outputs: impl Iterator<Item = Output>, most_bytes: u64) -> Vec<Shard> {
    let mut files: Vec<Vec<Output>> = Vec::new();
    let mut size = 0;
    for output in outputs {
        let bytes = output.bytes();
        match files.last_mut() {
            Some(file) if size + bytes <= most_bytes => {
                file.push(output);
                size += bytes;
            }
            _ => {
                files.push(vec![output]);
                size = bytes;
            }
        }
    }
    let count = files.len();
    let name = |i: usize| match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
    };
    files.into_iter().enumerate().map(|(i, outputs)| Shard { file: name(i), outputs }).collect()
}
