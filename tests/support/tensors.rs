//! The tensors that a configuration asks for, and their numbers.

use std::collections::BTreeMap;

use half::{bf16, f16};
use serde_json::{Map, Value};

use super::numbers::{Numbers, amplitude};

/// A stored tensor.
pub struct Tensor {
    pub dtype: safetensors::Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The number format of floats: `f32`, `f16` or `bf16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    pub fn parse(name: &str) -> Self {
        match name {
            "f32" => Self::F32,
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            other => panic!("no dtype {other:?}"),
        }
    }

    /// The name that `torch_dtype` has for it.
    pub fn torch(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// A tensor of numbers by their index.
    pub fn tensor(self, shape: Vec<usize>, number: impl Fn(usize) -> f32) -> Tensor {
        let numbers = (0..shape.iter().product()).map(number);
        let (dtype, bytes) = match self {
            Self::F32 => (safetensors::Dtype::F32, numbers.flat_map(f32::to_le_bytes).collect()),
            Self::F16 => (safetensors::Dtype::F16, numbers.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect()),
            Self::Bf16 => (safetensors::Dtype::BF16, numbers.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect()),
        };
        Tensor { dtype, shape, bytes }
    }
}

/// All tensors of a checkpoint with this configuration. Matrices are quantized as its `quantization` says.
pub fn tensors(config: &Map<String, Value>, float: Float, seed: u64) -> BTreeMap<String, Tensor> {
    let mut maker = Maker { config, float, seed, tensors: BTreeMap::new() };
    maker.model();
    maker.tensors
}

struct Maker<'a> {
    config: &'a Map<String, Value>,
    float: Float,
    seed: u64,
    tensors: BTreeMap<String, Tensor>,
}

impl Maker<'_> {
    fn model(&mut self) {
        let family = match self.config["model_type"].as_str().unwrap() {
            "mistral" => "llama",
            other => other,
        };
        let hidden = self.size("hidden_size");
        let heads = self.size("num_attention_heads");
        let head_dim = self.optional("head_dim").unwrap_or(hidden / heads);
        let (queries, keys) = (heads * head_dim, self.optional("num_key_value_heads").unwrap_or(heads) * head_dim);
        let intermediate = self.size("intermediate_size");
        let attention_bias = self.flag("attention_bias", false);
        let mlp_bias = self.flag("mlp_bias", false);
        let vocab = self.size("vocab_size");

        self.matrix("model.embed_tokens", vocab, hidden, false);
        for i in 0..self.size("num_hidden_layers") {
            let attention = format!("model.layers.{i}.self_attn");
            if family == "phi3" {
                self.matrix(&format!("{attention}.qkv_proj"), queries + 2 * keys, hidden, false);
            } else {
                let bias = attention_bias || family == "qwen2";
                self.matrix(&format!("{attention}.q_proj"), queries, hidden, bias);
                self.matrix(&format!("{attention}.k_proj"), keys, hidden, bias);
                self.matrix(&format!("{attention}.v_proj"), keys, hidden, bias);
            }
            self.matrix(&format!("{attention}.o_proj"), hidden, queries, attention_bias);
            if family == "qwen3" {
                self.norm(&format!("{attention}.q_norm"), head_dim);
                self.norm(&format!("{attention}.k_norm"), head_dim);
            }
            let mlp = format!("model.layers.{i}.mlp");
            if family == "phi3" {
                self.matrix(&format!("{mlp}.gate_up_proj"), 2 * intermediate, hidden, false);
            } else {
                self.matrix(&format!("{mlp}.gate_proj"), intermediate, hidden, mlp_bias);
                self.matrix(&format!("{mlp}.up_proj"), intermediate, hidden, mlp_bias);
            }
            self.matrix(&format!("{mlp}.down_proj"), hidden, intermediate, mlp_bias);
            self.norm(&format!("model.layers.{i}.input_layernorm"), hidden);
            self.norm(&format!("model.layers.{i}.post_attention_layernorm"), hidden);
        }
        self.norm("model.norm", hidden);
        if !self.flag("tie_word_embeddings", family != "phi3") {
            self.matrix("lm_head", vocab, hidden, false);
        }
    }

    /// A matrix, dense or quantized, and its bias.
    fn matrix(&mut self, name: &str, outputs: usize, inputs: usize, bias: bool) {
        let bound = amplitude(inputs);
        match self.format(name) {
            None => self.floats(format!("{name}.weight"), vec![outputs, inputs], |n, i| n.signed(i) * bound),
            Some((bits, group)) => {
                let codes = format!("{name}.weight");
                let numbers = Numbers::new(self.seed, &codes);
                let shape = vec![outputs, inputs * bits / 32];
                let words = (0..shape.iter().product()).map(|i| numbers.word(i));
                let bytes = words.flat_map(u32::to_le_bytes).collect();
                self.tensors.insert(codes, Tensor { dtype: safetensors::Dtype::U32, shape, bytes });

                // Codes cover [-bound, bound] about, wider in some groups than in others.
                let scales = format!("{name}.scales");
                let numbers = Numbers::new(self.seed, &scales);
                let wide = |i| bound * (0.75 + 0.5 * numbers.unit(i));
                let step = (2.0 / ((1 << bits) - 1) as f64) as f32;
                let groups = vec![outputs, inputs / group];
                self.floats(scales, groups.clone(), |_, i| wide(i) * step);
                self.floats(format!("{name}.biases"), groups, |n, i| -(wide(i) * (0.9 + 0.2 * n.unit(i))));
            }
        }
        if bias {
            self.floats(format!("{name}.bias"), vec![outputs], |n, i| 0.5 * n.signed(i));
        }
    }

    fn norm(&mut self, name: &str, size: usize) {
        self.floats(format!("{name}.weight"), vec![size], |n, i| 1.0 + 0.25 * n.signed(i));
    }

    fn floats(&mut self, name: String, shape: Vec<usize>, number: impl Fn(&Numbers, usize) -> f32) {
        let numbers = Numbers::new(self.seed, &name);
        let tensor = self.float.tensor(shape, |i| number(&numbers, i));
        self.tensors.insert(name, tensor);
    }

    /// Bits and group size of a matrix, if it is quantized.
    fn format(&self, name: &str) -> Option<(usize, usize)> {
        let quantization = self.config.get("quantization")?.as_object()?;
        let format = match quantization.get(name) {
            Some(Value::Bool(false)) => return None,
            Some(Value::Object(layer)) => layer,
            _ => quantization,
        };
        let size = |key: &str| format[key].as_u64().unwrap() as usize;
        Some((size("bits"), size("group_size")))
    }

    fn size(&self, key: &str) -> usize {
        self.optional(key).unwrap_or_else(|| panic!("the configuration has no {key}"))
    }

    fn optional(&self, key: &str) -> Option<usize> {
        Some(self.config.get(key)?.as_u64()? as usize)
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or(default)
    }
}
