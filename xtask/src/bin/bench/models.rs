//! Random models at the shape of Qwen3-0.6B, written once as an MLX folder and once as GGUF, with the same numbers.
//!
//! Speed does not depend on what the numbers are. Affine groups of 64 hold what two blocks of 32 of llama.cpp's formats
//! hold, so that both files have the same bytes a weight: 4.5 bits for Q4_0, while Q8_0 needs 8.5 and groups of 64 8.5.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::gguf;
use super::sh::Result;

const HIDDEN: usize = 1024;
const LAYERS: usize = 28;
const INTERMEDIATE: usize = 3072;
const HEADS: usize = 16;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
const VOCAB: usize = 151_936;
const GROUP: usize = 64;
/// Weights of a block of Q4_0 and Q8_0.
const BLOCK: usize = 32;

/// How the matrices are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// MLX: 4 bits, groups of 64. GGUF: Q4_0.
    Q4,
    /// MLX: 8 bits, groups of 64. GGUF: Q8_0.
    Q8,
    /// bf16 in both.
    Bf16,
}

/// The two copies of a model.
pub struct Pair {
    pub mlx: PathBuf,
    pub gguf: PathBuf,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4 => "4bit",
            Self::Q8 => "8bit",
            Self::Bf16 => "bf16",
        }
    }

    fn bits(self) -> Option<usize> {
        match self {
            Self::Q4 => Some(4),
            Self::Q8 => Some(8),
            Self::Bf16 => None,
        }
    }
}

/// A tensor of the model.
struct Tensor {
    mlx: String,
    gguf: String,
    /// `[outputs, inputs]` of a matrix, `[size]` of a norm.
    shape: Vec<usize>,
}

/// Bytes of one tensor in both formats.
struct Stored {
    /// Name suffix, dtype, shape, bytes.
    mlx: Vec<(&'static str, &'static str, Vec<usize>, Vec<u8>)>,
    gguf_type: u32,
    gguf: Vec<u8>,
}

/// Writes the model below `folder` unless it is there.
pub fn prepare(folder: &Path, format: Format, tokenizer: &Path) -> Result<Pair> {
    let name = format!("qwen3-0.6b-{}", format.name());
    let pair = Pair { mlx: folder.join(&name), gguf: folder.join(format!("{name}.gguf")) };
    if pair.mlx.is_dir() && pair.gguf.is_file() {
        return Ok(pair);
    }
    eprintln!("bench: writing {name}");
    let partial = folder.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let tensors = tensors();
    let mut known = BTreeMap::new();
    for tensor in &tensors {
        // One random block a shape is enough, and quick to make.
        known.entry(tensor.shape.clone()).or_insert_with(|| store(format, &tensor.shape));
    }
    write_safetensors(&partial.join("model.safetensors"), &tensors, &known)?;
    fs::write(partial.join("config.json"), serde_json::to_string_pretty(&config(format))?)?;
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(tokenizer.join(file), partial.join(file))?;
    }
    let gguf_partial = folder.join(format!("{name}.gguf.partial"));
    write_gguf(&gguf_partial, &tensors, &known)?;
    fs::rename(gguf_partial, &pair.gguf)?;
    if pair.mlx.exists() {
        fs::remove_dir_all(&pair.mlx)?;
    }
    fs::rename(partial, &pair.mlx)?;
    Ok(pair)
}

fn config(format: Format) -> Value {
    let mut config = json!({
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "intermediate_size": INTERMEDIATE, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "vocab_size": VOCAB, "tie_word_embeddings": true,
        "rope_theta": 1e6, "rope_scaling": null, "rms_norm_eps": 1e-6, "max_position_embeddings": 40960,
    });
    if let Some(bits) = format.bits() {
        config["quantization"] = json!({ "bits": bits, "group_size": GROUP });
    }
    config
}

fn tensors() -> Vec<Tensor> {
    let tensor = |mlx: String, gguf: String, shape: &[usize]| Tensor { mlx, gguf, shape: shape.to_vec() };
    let mut tensors = vec![
        tensor("model.embed_tokens".into(), "token_embd".into(), &[VOCAB, HIDDEN]),
        tensor("model.norm".into(), "output_norm".into(), &[HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (mlx, gguf, shape) in [
            ("input_layernorm", "attn_norm", &[HIDDEN][..]),
            ("post_attention_layernorm", "ffn_norm", &[HIDDEN]),
            ("self_attn.q_norm", "attn_q_norm", &[HEAD_DIM]),
            ("self_attn.k_norm", "attn_k_norm", &[HEAD_DIM]),
            ("self_attn.q_proj", "attn_q", &[HEADS * HEAD_DIM, HIDDEN]),
            ("self_attn.k_proj", "attn_k", &[KV_HEADS * HEAD_DIM, HIDDEN]),
            ("self_attn.v_proj", "attn_v", &[KV_HEADS * HEAD_DIM, HIDDEN]),
            ("self_attn.o_proj", "attn_output", &[HIDDEN, HEADS * HEAD_DIM]),
            ("mlp.gate_proj", "ffn_gate", &[INTERMEDIATE, HIDDEN]),
            ("mlp.up_proj", "ffn_up", &[INTERMEDIATE, HIDDEN]),
            ("mlp.down_proj", "ffn_down", &[HIDDEN, INTERMEDIATE]),
        ] {
            tensors.push(tensor(format!("model.layers.{layer}.{mlx}"), format!("blk.{layer}.{gguf}"), shape));
        }
    }
    tensors
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// 2^-9 and 2^-13 in f16: weights of ±1/64 or so.
const SCALE_4: u16 = 0x1800;
const SCALE_8: u16 = 0x0800;
/// -8 and -128 times these.
const BIAS_4: u16 = 0xA400;
const BIAS_8: u16 = 0xA400;

fn store(format: Format, shape: &[usize]) -> Stored {
    let count: usize = shape.iter().product();
    let [outputs, inputs] = *shape else {
        let ones = |one: &[u8]| one.repeat(count);
        return Stored {
            mlx: vec![("weight", "BF16", shape.to_vec(), ones(&0x3F80u16.to_le_bytes()))],
            gguf_type: gguf::F32,
            gguf: ones(&1f32.to_le_bytes()),
        };
    };
    let mut random = Random(count as u64);
    let bytes: Vec<u8> =
        std::iter::repeat_with(|| random.next().to_le_bytes()).take(count.div_ceil(8)).flatten().collect();
    let halves = |half: u16, count: usize| half.to_le_bytes().repeat(count);
    let groups = |scale, bias| {
        let shape = vec![outputs, inputs / GROUP];
        [
            ("scales", "F16", shape.clone(), halves(scale, count / GROUP)),
            ("biases", "F16", shape, halves(bias, count / GROUP)),
        ]
    };
    match format {
        Format::Q4 => {
            let codes: Vec<u8> = bytes.iter().map(|byte| byte & 15).collect();
            let packed = codes.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4).collect();
            let mut blocks = Vec::with_capacity(count / BLOCK * 18);
            for block in codes.chunks_exact(BLOCK) {
                blocks.extend(SCALE_4.to_le_bytes());
                blocks.extend((0..BLOCK / 2).map(|i| block[i] | block[i + BLOCK / 2] << 4));
            }
            let mut mlx = vec![("weight", "U32", vec![outputs, inputs / 8], packed)];
            mlx.extend(groups(SCALE_4, BIAS_4));
            Stored { mlx, gguf_type: gguf::Q4_0, gguf: blocks }
        }
        Format::Q8 => {
            let mut blocks = Vec::with_capacity(count / BLOCK * 34);
            for block in bytes[..count].chunks_exact(BLOCK) {
                blocks.extend(SCALE_8.to_le_bytes());
                blocks.extend(block.iter().map(|code| code.wrapping_sub(128)));
            }
            let mut mlx = vec![("weight", "U32", vec![outputs, inputs / 4], bytes[..count].to_vec())];
            mlx.extend(groups(SCALE_8, BIAS_8));
            Stored { mlx, gguf_type: gguf::Q8_0, gguf: blocks }
        }
        Format::Bf16 => {
            // Sign and fraction at random, an exponent of 2^-7.
            let numbers: Vec<u8> = bytes[..count].iter().flat_map(|byte| [byte & 0x7f, 0x3C | byte & 0x80]).collect();
            Stored {
                mlx: vec![("weight", "BF16", shape.to_vec(), numbers.clone())],
                gguf_type: gguf::BF16,
                gguf: numbers,
            }
        }
    }
}

type Known = BTreeMap<Vec<usize>, Stored>;

fn write_safetensors(path: &Path, tensors: &[Tensor], known: &Known) -> Result<()> {
    let (mut header, mut start) = (serde_json::Map::new(), 0);
    for tensor in tensors {
        for (suffix, dtype, shape, bytes) in &known[&tensor.shape].mlx {
            let end = start + bytes.len();
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
            header.insert(format!("{}.{suffix}", tensor.mlx), entry);
            start = end;
        }
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for tensor in tensors {
        for (_, _, _, bytes) in &known[&tensor.shape].mlx {
            file.write_all(bytes)?;
        }
    }
    Ok(file.flush()?)
}

fn write_gguf(path: &Path, tensors: &[Tensor], known: &Known) -> Result<()> {
    let number = |value: usize| gguf::Value::U32(value as u32);
    let metadata = [
        ("general.architecture", gguf::Value::Text("qwen3")),
        ("qwen3.context_length", number(40960)),
        ("qwen3.embedding_length", number(HIDDEN)),
        ("qwen3.block_count", number(LAYERS)),
        ("qwen3.feed_forward_length", number(INTERMEDIATE)),
        ("qwen3.attention.head_count", number(HEADS)),
        ("qwen3.attention.head_count_kv", number(KV_HEADS)),
        ("qwen3.attention.key_length", number(HEAD_DIM)),
        ("qwen3.attention.value_length", number(HEAD_DIM)),
        ("qwen3.rope.freq_base", gguf::Value::F32(1e6)),
        ("qwen3.attention.layer_norm_rms_epsilon", gguf::Value::F32(1e-6)),
        ("qwen3.vocab_size", number(VOCAB)),
        ("tokenizer.ggml.model", gguf::Value::Text("no_vocab")),
    ];
    let tensors = tensors.iter().map(|tensor| {
        let stored = &known[&tensor.shape];
        gguf::Tensor {
            name: format!("{}.weight", tensor.gguf),
            shape: &tensor.shape,
            kind: stored.gguf_type,
            bytes: &stored.gguf,
        }
    });
    gguf::write(path, &metadata, &tensors.collect::<Vec<_>>())
}
