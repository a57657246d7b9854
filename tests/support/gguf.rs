//! Writes GGUF files, well-formed or not.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::models::KnownModel;
use super::tensors::Tensor;

/// The numbers of ggml's formats that tests write.
pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const Q4_0: u32 = 2;
pub const Q8_0: u32 = 8;
pub const BF16: u32 = 30;

/// Cases that a file holds number for number.
pub const CASES: [&str; 13] = [
    "llama",
    "llama-untied",
    "llama-biases",
    "llama-linear",
    "llama-llama3",
    "llama-yarn",
    "mistral",
    "qwen2",
    "qwen3",
    "qwen3-parameters",
    "phi3",
    "phi3-longrope",
    "phi3-partial",
];

/// The same of the models that are kept.
pub const MODELS: [&str; 5] = [
    "gemma-plain-f32",
    "gemma2-plain-f32",
    "gemma3_text-linear-f32",
    "qwen2_moe-traditional-f32",
    "qwen3_moe-plain-f32",
];

/// A model's configuration as a file says it.
pub fn said(known: &KnownModel) -> Map<String, Value> {
    let mut config = known.config.clone();
    config.remove("rope_traditional");
    // It follows from the sizes.
    match known.name.split('-').next() {
        Some("gemma2") => config.insert("query_pre_attn_scalar".into(), 16.into()),
        Some("gemma3_text") => config.insert("query_pre_attn_scalar".into(), 32.into()),
        _ => None,
    };
    config
}

/// A file of version 3 under construction.
pub struct Writer {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<Entry>,
    alignment: usize,
}

struct Entry {
    name: String,
    /// Row-major.
    shape: Vec<usize>,
    block: u32,
    bytes: Vec<u8>,
    /// Whether its bytes are those of the tensor before.
    shared: bool,
}

/// A string as the format has it: length, then bytes.
pub fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

impl Writer {
    pub fn new() -> Self {
        Self { keys: Vec::new(), key_count: 0, tensors: Vec::new(), alignment: 32 }
    }

    /// The same with tensors at multiples of another number of bytes; the key that says so is the caller's.
    pub fn aligned(mut self, alignment: usize) -> Self {
        self.alignment = alignment.max(1);
        self
    }

    /// A value of any type from its bytes.
    pub fn value(&mut self, key: &str, kind: u32, bytes: &[u8]) {
        put_string(&mut self.keys, key.as_bytes());
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(bytes);
        self.key_count += 1;
    }

    pub fn u32(&mut self, key: &str, value: u32) {
        self.value(key, 4, &value.to_le_bytes());
    }

    pub fn f32(&mut self, key: &str, value: f32) {
        self.value(key, 6, &value.to_le_bytes());
    }

    pub fn bool(&mut self, key: &str, value: bool) {
        self.value(key, 7, &[value.into()]);
    }

    pub fn string(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        put_string(&mut bytes, value.as_bytes());
        self.value(key, 8, &bytes);
    }

    fn array(&mut self, key: &str, kind: u32, len: usize, items: Vec<u8>) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((len as u64).to_le_bytes());
        bytes.extend(items);
        self.value(key, 9, &bytes);
    }

    pub fn strings<T: AsRef<[u8]>>(&mut self, key: &str, values: &[T]) {
        let mut items = Vec::new();
        for value in values {
            put_string(&mut items, value.as_ref());
        }
        self.array(key, 8, values.len(), items);
    }

    pub fn f32s(&mut self, key: &str, values: &[f32]) {
        self.array(key, 6, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    pub fn i32s(&mut self, key: &str, values: &[i32]) {
        self.array(key, 5, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    /// A tensor of a row-major shape, in blocks of ggml's format `block`.
    pub fn tensor(&mut self, name: &str, shape: &[usize], block: u32, bytes: Vec<u8>) {
        self.tensors.push(Entry { name: name.into(), shape: shape.into(), block, bytes, shared: false });
    }

    /// Lets the last tensor lie where the one before it does.
    pub fn overlap(&mut self) {
        self.tensors.last_mut().unwrap().shared = true;
    }

    /// Other blocks for the tensors, by name and shape, for which `blocks` has some.
    pub fn replace(&mut self, mut blocks: impl FnMut(&str, &[usize]) -> Option<(u32, Vec<u8>)>) {
        for tensor in &mut self.tensors {
            if let Some((block, bytes)) = blocks(&tensor.name, &tensor.shape) {
                (tensor.block, tensor.bytes) = (block, bytes);
            }
        }
    }

    /// Several tensors, one for each part of the first dimension, in place of those for which `name` has names.
    pub fn split_first_dimension(&mut self, mut name: impl FnMut(&str, usize) -> Option<String>) {
        for tensor in std::mem::take(&mut self.tensors) {
            let parts = tensor.shape[0];
            if name(&tensor.name, 0).is_none() {
                self.tensors.push(tensor);
                continue;
            }
            for (part, bytes) in tensor.bytes.chunks(tensor.bytes.len() / parts).enumerate() {
                self.tensor(&name(&tensor.name, part).unwrap(), &tensor.shape[1..], tensor.block, bytes.to_vec());
            }
        }
    }

    pub fn finish(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.to_le_bytes());
        out.extend(&self.keys);
        let (mut data, mut last) = (Vec::new(), 0);
        for tensor in &self.tensors {
            put_string(&mut out, tensor.name.as_bytes());
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            out.extend(tensor.shape.iter().rev().flat_map(|&size| (size as u64).to_le_bytes()));
            out.extend(tensor.block.to_le_bytes());
            if !tensor.shared {
                data.resize(data.len().next_multiple_of(self.alignment), 0);
                last = data.len();
                data.extend(&tensor.bytes);
            }
            out.extend((last as u64).to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(data);
        out
    }
}

/// A checkpoint as llama.cpp's converter would write it, matrices in the number format that they have.
pub fn converted(config: &Map<String, Value>, tensors: &BTreeMap<String, Tensor>) -> Writer {
    let model_type = config["model_type"].as_str().unwrap();
    let architecture = match model_type {
        "mistral" | "mixtral" => "llama",
        "gemma3_text" => "gemma3",
        "qwen2_moe" => "qwen2moe",
        "qwen3_moe" => "qwen3moe",
        other => other,
    };
    let mut writer = Writer::new();
    writer.string("general.architecture", architecture);
    write_keys(&mut writer, architecture, config);
    let head_dim = size(config, "head_dim").unwrap_or(size(config, "hidden_size").unwrap() / heads(config));
    for (name, tensor) in tensors {
        if name.ends_with(".scales") || name.ends_with(".biases") {
            continue;
        }
        let mut numbers = numbers(name, tensor, tensors);
        let shape: Vec<usize> = match tensor.dtype {
            safetensors::Dtype::U32 => {
                [&tensor.shape[..tensor.shape.len() - 1], &[tensor.shape.last().unwrap() * 4]].concat()
            }
            _ => tensor.shape.clone(),
        };
        if architecture == "llama" && (name.contains("q_proj") || name.contains("k_proj")) {
            let row = if shape.len() == 1 { 1 } else { shape[1] };
            numbers = interleaved(&numbers, head_dim, row);
        }
        if architecture.starts_with("gemma") && name.ends_with("norm.weight") {
            numbers.iter_mut().for_each(|number| *number += 1.0);
        }
        // What is no matrix is always in f32.
        let block = match tensor.dtype {
            _ if shape.len() == 1 => F32,
            safetensors::Dtype::F16 => F16,
            safetensors::Dtype::BF16 => BF16,
            _ => F32,
        };
        let bytes = match block {
            F16 => numbers.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
            BF16 => numbers.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect(),
            _ => f32_bytes(&numbers),
        };
        // The gate of a shared expert is one row, and written as a vector.
        let shape = if name.contains("shared_expert_gate") { vec![shape[1]] } else { shape };
        writer.tensor(&gguf_name(name, architecture), &shape, block, bytes);
    }
    writer
}

fn f32_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn size(config: &Map<String, Value>, key: &str) -> Option<usize> {
    config.get(key)?.as_u64().map(|size| size as usize)
}

fn heads(config: &Map<String, Value>) -> usize {
    size(config, "num_attention_heads").unwrap()
}

fn write_keys(writer: &mut Writer, architecture: &str, config: &Map<String, Value>) {
    let key = |key: &str| format!("{architecture}.{key}");
    let sizes = [
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.key_length", "head_dim"),
        ("attention.value_length", "head_dim"),
        ("attention.sliding_window", "sliding_window"),
        ("attention.sliding_window_pattern", "sliding_window_pattern"),
        ("expert_count", "num_local_experts"),
        ("expert_count", "num_experts"),
        ("expert_used_count", "num_experts_per_tok"),
        ("expert_feed_forward_length", "moe_intermediate_size"),
        ("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
    ];
    for (name, from) in sizes {
        if let Some(size) = size(config, from) {
            writer.u32(&key(name), size as u32);
        }
    }
    let parameters = config.get("rope_parameters");
    let scaling = config.get("rope_scaling").filter(|scaling| scaling.is_object()).or(parameters);
    let number = |value: Option<&Value>| value.and_then(Value::as_f64).map(|number| number as f32);
    let theta = number(config.get("rope_theta")).or(number(parameters.and_then(|all| all.get("rope_theta"))));
    writer.f32(&key("rope.freq_base"), theta.unwrap());
    writer.f32(&key("attention.layer_norm_rms_epsilon"), number(config.get("rms_norm_eps")).unwrap());
    for name in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if let Some(cap) = number(config.get(name)) {
            writer.f32(&key(name), cap);
        }
    }
    writer.u32("tokenizer.ggml.eos_token_id", size(config, "eos_token_id").unwrap() as u32);
    let head_dim = size(config, "head_dim").unwrap_or(size(config, "hidden_size").unwrap() / heads(config));
    let dims = (head_dim as f32 * number(config.get("partial_rotary_factor")).unwrap_or(1.0)) as usize;
    writer.u32(&key("rope.dimension_count"), dims as u32);
    if let Some(scaling) = scaling {
        write_scaling(writer, architecture, config, scaling, (dims, theta.unwrap()));
    }
}

fn write_scaling(
    writer: &mut Writer,
    architecture: &str,
    config: &Map<String, Value>,
    scaling: &Value,
    (dims, theta): (usize, f32),
) {
    const ORIGINAL: &str = "original_max_position_embeddings";
    let key = |key: &str| format!("{architecture}.rope.scaling.{key}");
    let number = |key: &str| scaling.get(key).and_then(Value::as_f64);
    let original = number(ORIGINAL).or(size(config, ORIGINAL).map(|size| size as f64));
    let factors = |key: &str| -> Vec<f32> {
        scaling[key].as_array().unwrap().iter().map(|factor| factor.as_f64().unwrap() as f32).collect()
    };
    match scaling.get("type").or(scaling.get("rope_type")).unwrap().as_str().unwrap() {
        kind @ ("linear" | "yarn") => {
            writer.string(&key("type"), kind);
            writer.f32(&key("factor"), number("factor").unwrap() as f32);
            if let Some(original) = original {
                writer.u32(&key("original_context_length"), original as u32);
            }
        }
        "su" | "longrope" => {
            let original = original.unwrap();
            let growth = size(config, "max_position_embeddings").unwrap() as f64 / original;
            writer.u32(&key("original_context_length"), original as u32);
            writer.f32(&key("attn_factor"), (1.0 + growth.ln() / original.ln()).sqrt() as f32);
            for (name, key) in [("rope_factors_long", "long_factor"), ("rope_factors_short", "short_factor")] {
                let factors = factors(key);
                writer.tensor(&format!("{name}.weight"), &[factors.len()], F32, f32_bytes(&factors));
            }
        }
        "llama3" => {
            let (factor, original) = (number("factor").unwrap(), original.unwrap());
            let (low, high) = (number("low_freq_factor").unwrap(), number("high_freq_factor").unwrap());
            let factor = |pair: usize| {
                let wavelength = std::f64::consts::TAU * f64::from(theta).powf(2.0 * pair as f64 / dims as f64);
                let smooth = ((original / wavelength - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
            };
            let factors: Vec<f32> = (0..dims / 2).map(factor).collect();
            writer.tensor("rope_freqs.weight", &[factors.len()], F32, f32_bytes(&factors));
        }
        other => panic!("no scaling {other:?}"),
    }
}

/// The numbers of a tensor; of a quantized one, which must have codes of 8 bits.
fn numbers(name: &str, tensor: &Tensor, all: &BTreeMap<String, Tensor>) -> Vec<f32> {
    let two = |widen: fn([u8; 2]) -> f32| tensor.bytes.as_chunks().0.iter().map(|b| widen(*b)).collect();
    match tensor.dtype {
        safetensors::Dtype::F32 => tensor.bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        safetensors::Dtype::F16 => two(|b| half::f16::from_le_bytes(b).to_f32()),
        safetensors::Dtype::BF16 => two(|b| half::bf16::from_le_bytes(b).to_f32()),
        safetensors::Dtype::U32 => {
            let beside = |part: &str| {
                let name = name.replace(".weight", part);
                numbers(&name, &all[&name], all)
            };
            let (scales, biases) = (beside(".scales"), beside(".biases"));
            let group = tensor.bytes.len() / scales.len();
            let number = |(at, code): (usize, &u8)| f32::from(*code) * scales[at / group] + biases[at / group];
            tensor.bytes.iter().enumerate().map(number).collect()
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// Rows of each head, so that the two of a pair to rotate become neighbours.
fn interleaved(numbers: &[f32], head_dim: usize, row: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = numbers.chunks_exact(row).collect();
    let of_head = |head: &[&[f32]]| -> Vec<f32> {
        let (first, second) = head.split_at(head_dim / 2);
        first.iter().zip(second).flat_map(|(first, second)| [*first, *second]).flatten().copied().collect()
    };
    rows.chunks_exact(head_dim).flat_map(of_head).collect()
}

fn gguf_name(name: &str, architecture: &str) -> String {
    let (stem, end) = name.rsplit_once('.').unwrap();
    let Some(rest) = stem.strip_prefix("model.layers.") else {
        let stem = match stem {
            "model.embed_tokens" => "token_embd",
            "model.norm" => "output_norm",
            "lm_head" => "output",
            other => panic!("no name for {other}"),
        };
        return format!("{stem}.{end}");
    };
    let (layer, part) = rest.split_once('.').unwrap();
    let part = match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" if matches!(architecture, "gemma2" | "gemma3") => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.qkv_proj" => "attn_qkv",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        "mlp.gate" | "block_sparse_moe.gate" => "ffn_gate_inp",
        "mlp.shared_expert_gate" => "ffn_gate_inp_shexp",
        "mlp.shared_expert.gate_proj" => "ffn_gate_shexp",
        "mlp.shared_expert.up_proj" => "ffn_up_shexp",
        "mlp.shared_expert.down_proj" => "ffn_down_shexp",
        "mlp.switch_mlp.gate_proj" | "block_sparse_moe.switch_mlp.gate_proj" => "ffn_gate_exps",
        "mlp.switch_mlp.up_proj" | "block_sparse_moe.switch_mlp.up_proj" => "ffn_up_exps",
        "mlp.switch_mlp.down_proj" | "block_sparse_moe.switch_mlp.down_proj" => "ffn_down_exps",
        other => panic!("no name for {other}"),
    };
    format!("blk.{layer}.{part}.{end}")
}

/// The vocabulary and the chat template of [`tokenizer`](super::tokenizer).
pub fn write_vocabulary(writer: &mut Writer) {
    let json = super::tokenizer::tokenizer();
    let mut tokens: BTreeMap<u64, (String, i32)> = BTreeMap::new();
    for (text, id) in json["model"]["vocab"].as_object().unwrap() {
        tokens.insert(id.as_u64().unwrap(), (text.clone(), 1));
    }
    for token in json["added_tokens"].as_array().unwrap() {
        tokens.insert(token["id"].as_u64().unwrap(), (token["content"].as_str().unwrap().to_owned(), 3));
    }
    assert!(tokens.keys().copied().eq(0..tokens.len() as u64));
    let (texts, kinds): (Vec<String>, Vec<i32>) = tokens.into_values().unzip();
    let merges: Vec<&str> = json["model"]["merges"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    writer.string("tokenizer.ggml.model", "gpt2");
    writer.string("tokenizer.ggml.pre", "gpt-2");
    writer.strings("tokenizer.ggml.tokens", &texts);
    writer.i32s("tokenizer.ggml.token_type", &kinds);
    writer.strings("tokenizer.ggml.merges", &merges);
    writer.string("tokenizer.chat_template", super::tokenizer::tokenizer_config()["chat_template"].as_str().unwrap());
}
