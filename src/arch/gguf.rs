//! GGUF's metadata as the config.json that families read, and a family's tensors under GGUF's names.
//!
//! Keys, names and conventions are those of llama.cpp's converter. What it changes is changed back here: norms of Gemma
//! are stored as `1 + weight`; queries and keys of Llama are permuted so that pairs to rotate are neighbours, which
//! `traditional` rotary embeddings read as they are.

mod published;

use serde_json::{Map, Value, json};

pub(crate) use published::Published;
use published::shortest;

use super::blocks::MAX_HEAD_DIM;
use super::from_config;
use super::spec::{Attention, Mixer, Norm, Spec};
use crate::error::{Code, Error, Result};
use crate::weights::gguf::{BlockType, Gguf, Metadata, Value as Stored};

/// `general.architecture` and the `model_type` that reads it.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("llama", "llama"),
    ("phi3", "phi3"),
    ("qwen2", "qwen2"),
    ("qwen2moe", "qwen2_moe"),
    ("qwen3", "qwen3"),
    ("qwen3moe", "qwen3_moe"),
];

/// Keys of an architecture that change the answers and that no family here reads.
const REFUSED: &[&str] = &[
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attention.scale",
    "attention.temperature_length",
    "attention.temperature_scale",
    "embedding_scale",
    "expert_group_count",
    "expert_weights_scale",
    "leading_dense_block_count",
    "logit_scale",
    "pooling_type",
    "residual_scale",
    "use_parallel_residual",
];

/// Usual names and those of GGUF, in the order in which they are replaced.
const NAMES: &[(&str, &str)] = &[
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("model.layers.", "blk."),
    (".input_layernorm", ".attn_norm"),
    (".self_attn.qkv_proj", ".attn_qkv"),
    (".self_attn.q_proj", ".attn_q"),
    (".self_attn.k_proj", ".attn_k"),
    (".self_attn.v_proj", ".attn_v"),
    (".self_attn.o_proj", ".attn_output"),
    (".self_attn.q_norm", ".attn_q_norm"),
    (".self_attn.k_norm", ".attn_k_norm"),
    // Mixtral has another name for the block.
    (".block_sparse_moe.", ".mlp."),
    (".mlp.shared_expert_gate", ".ffn_gate_inp_shexp"),
    (".mlp.shared_expert.gate_proj", ".ffn_gate_shexp"),
    (".mlp.shared_expert.up_proj", ".ffn_up_shexp"),
    (".mlp.shared_expert.down_proj", ".ffn_down_shexp"),
    (".mlp.switch_mlp.gate_proj", ".ffn_gate_exps"),
    (".mlp.switch_mlp.up_proj", ".ffn_up_exps"),
    (".mlp.switch_mlp.down_proj", ".ffn_down_exps"),
    (".mlp.gate_up_proj", ".ffn_up"),
    (".mlp.gate_proj", ".ffn_gate"),
    (".mlp.up_proj", ".ffn_up"),
    (".mlp.down_proj", ".ffn_down"),
    (".mlp.gate", ".ffn_gate_inp"),
];
/// Norms before the feed-forward block, in most families and in those with norms after blocks.
const PLAIN_NORMS: &[(&str, &str)] = &[(".post_attention_layernorm", ".ffn_norm")];
const SANDWICH_NORMS: &[(&str, &str)] = &[
    (".post_attention_layernorm", ".post_attention_norm"),
    (".pre_feedforward_layernorm", ".ffn_norm"),
    (".post_feedforward_layernorm", ".post_ffw_norm"),
];

/// Factors of rotary frequencies, for Llama 3 and for LongRoPE.
const ROPE_FACTORS: &str = "rope_freqs.weight";
const LONG_FACTORS: &str = "rope_factors_long.weight";
const SHORT_FACTORS: &str = "rope_factors_short.weight";
/// Tensors that are no weights.
const IGNORED: [&str; 3] = [ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS];

/// The spec of the model in a GGUF file.
pub(super) fn spec(gguf: &Gguf) -> Result<Spec> {
    let reader = Reader::new(gguf)?;
    let spec = from_config(&reader.config()?, gguf.label())?;
    let gemma = reader.architecture.starts_with("gemma");
    let norms = if matches!(reader.architecture, "gemma2" | "gemma3") { SANDWICH_NORMS } else { PLAIN_NORMS };
    let mut spec = spec.renamed(NAMES).renamed(norms);
    if gemma {
        for_each_norm(&mut spec, &mut |norm| norm.offset = 0.0);
    }
    if let Some(factors) = reader.numbers(ROPE_FACTORS)? {
        for attention in attentions(&mut spec) {
            let Some(rope) = &mut attention.rope else { continue };
            if rope.inverse_frequencies.len() != factors.len() {
                let message = format!("has {} factors for {} pairs", factors.len(), rope.inverse_frequencies.len());
                return Err(Error::corrupt(gguf.label(), format_args!("{ROPE_FACTORS} {message}")));
            }
            for (frequency, factor) in rope.inverse_frequencies.iter_mut().zip(&factors) {
                *frequency /= factor;
            }
        }
    }
    spec.ignored.extend(IGNORED.map(String::from));
    Ok(spec)
}

fn attentions(spec: &mut Spec) -> impl Iterator<Item = &mut Attention> {
    spec.layers.iter_mut().filter_map(|layer| match &mut layer.mixer {
        Mixer::Attention(attention) => Some(attention),
        _ => None,
    })
}

/// The norms of a decoder with attention and dense blocks.
fn for_each_norm(spec: &mut Spec, f: &mut dyn FnMut(&mut Norm)) {
    f(&mut spec.final_norm);
    for layer in &mut spec.layers {
        let norms = [&mut layer.mixer_norm, &mut layer.mixer_post_norm, &mut layer.ffn_norm, &mut layer.ffn_post_norm];
        norms.into_iter().flatten().for_each(&mut *f);
    }
    for attention in attentions(spec) {
        [&mut attention.query_norm, &mut attention.key_norm].into_iter().flatten().for_each(&mut *f);
    }
}

/// Reads the metadata of one architecture.
struct Reader<'a> {
    gguf: &'a Gguf,
    metadata: &'a Metadata,
    architecture: &'a str,
    model_type: &'a str,
}

impl<'a> Reader<'a> {
    fn new(gguf: &'a Gguf) -> Result<Self> {
        const KEY: &str = "general.architecture";
        let metadata = gguf.metadata();
        if let Some(kind) = metadata.string("general.type")?.filter(|kind| *kind != "model") {
            return Err(Error::unsupported(format!("{}: holds a {kind}, not a model", gguf.label()))
                .with_hint("name the file with the language model itself"));
        }
        let Some(architecture) = metadata.string(KEY)? else {
            return Err(metadata.corrupt(KEY, "is missing").with_hint("is it the GGUF file of a model?"));
        };
        let Some((_, model_type)) = ARCHITECTURES.iter().find(|(name, _)| *name == architecture) else {
            let known: Vec<_> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
            let message = format!("{}: {KEY} {architecture:?} is not supported in GGUF", gguf.label());
            return Err(Error::unsupported(message)
                .with_hint(format!("supported are {}; take the model as safetensors", known.join(", "))));
        };
        for key in REFUSED {
            let key = format!("{architecture}.{key}");
            if metadata.get(&key).is_some() {
                return Err(Error::unsupported(format!("{}: {key} is not supported", gguf.label())));
            }
        }
        Ok(Self { gguf, metadata, architecture, model_type })
    }

    /// What the model's config.json would say.
    fn config(&self) -> Result<Value> {
        let hidden = self.whole("embedding_length")?;
        let heads = self.whole("attention.head_count")?;
        let layers = self.whole("block_count")?;
        let experts = self.optional_whole("expert_count")?.unwrap_or(0);
        let head_dim = match self.optional_whole("attention.key_length")? {
            Some(length) => length,
            None => hidden / heads.max(1),
        };
        if self.optional_whole("attention.value_length")?.is_some_and(|length| length != head_dim) {
            return Err(self.unsupported("attention.value_length", "differs from attention.key_length"));
        }
        let context = self.whole("context_length")?;
        let mut config = json!({
            "model_type": if self.model_type == "llama" && experts > 0 { "mixtral" } else { self.model_type },
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": self.optional_whole("attention.head_count_kv")?.unwrap_or(heads),
            "head_dim": head_dim,
            "vocab_size": self.vocabulary()?,
            "max_position_embeddings": context,
            "rms_norm_eps": self.number("attention.layer_norm_rms_epsilon")?,
            "rope_theta": self.optional_number("rope.freq_base")?.unwrap_or(10_000.0),
            "tie_word_embeddings": !self.has("output.weight"),
            "attention_bias": self.has("blk.0.attn_q.bias"),
            "mlp_bias": self.has("blk.0.ffn_up.bias"),
            // Pairs to rotate are neighbours.
            "rope_traditional": self.architecture == "llama",
            "eos_token_id": self.ends()?,
        });
        let entries = config.as_object_mut().ok_or_else(|| Error::internal("a configuration that is no object"))?;
        self.rotation(head_dim, context, entries)?;
        if experts > 0 {
            self.experts(experts, entries)?;
        }
        entries.entry("intermediate_size").or_insert(json!(self.whole("feed_forward_length")?));
        self.gemma(hidden, heads, layers, head_dim, entries)?;
        Ok(config)
    }

    /// Rows of the embedding table.
    fn vocabulary(&self) -> Result<usize> {
        const TABLE: &str = "token_embd.weight";
        let entry = self.gguf.tensors().get(TABLE);
        entry.and_then(|entry| entry.shape.first().copied()).ok_or_else(|| {
            Error::corrupt(self.gguf.label(), format_args!("there is no tensor {TABLE}"))
                .with_hint("the file holds no weights; is it a vocabulary only?")
        })
    }

    /// Tokens that end an answer.
    fn ends(&self) -> Result<Vec<u64>> {
        let mut ids = Vec::new();
        for key in ["eos", "eot", "eom"] {
            ids.extend(self.metadata.unsigned(&format!("tokenizer.ggml.{key}_token_id"))?);
        }
        ids.dedup();
        Ok(ids)
    }

    fn rotation(&self, head_dim: u64, context: u64, config: &mut Map<String, Value>) -> Result<()> {
        match self.optional_whole("rope.dimension_count")? {
            Some(dims) if dims != head_dim => {
                if self.architecture != "phi3" || dims > head_dim {
                    return Err(self.unsupported("rope.dimension_count", "differs from the width of a head"));
                }
                // A little more than the factor where the product, which is rounded down, would be less.
                let exact = dims as f64 / head_dim as f64;
                let lost = ((exact * head_dim as f64) as u64) < dims;
                let factor = if lost { (dims as f64 + 0.25) / head_dim as f64 } else { exact };
                config.insert("partial_rotary_factor".into(), factor.into());
            }
            _ => {}
        }
        const KIND: &str = "rope.scaling.type";
        const ORIGINAL: &str = "original_max_position_embeddings";
        let original = self.optional_whole("rope.scaling.original_context_length")?;
        let own_magnitude = self.optional_number("rope.scaling.attn_factor")?;
        if let Some(long) = self.numbers(LONG_FACTORS)? {
            let long: Value = long.into_iter().map(shortest).collect();
            let mut scaling = json!({"type": "longrope", "long_factor": long});
            if let Some(magnitude) = own_magnitude {
                scaling["attention_factor"] = json!(magnitude);
            }
            config.insert(ORIGINAL.into(), json!(original.unwrap_or(context)));
            config.insert("rope_scaling".into(), scaling);
            return Ok(());
        }
        let kind = self.metadata.string(&self.key(KIND))?.unwrap_or("none");
        let factor = match self.optional_number("rope.scaling.factor")? {
            Some(factor) => factor,
            // As it was called at first.
            None => self.optional_number("rope.scale_linear")?.unwrap_or(1.0),
        };
        let mut scaling = match kind {
            "none" | "linear" if factor == 1.0 => return Ok(()),
            "none" | "linear" => json!({"type": "linear", "factor": factor}),
            "yarn" => json!({"type": "yarn", "factor": factor}),
            _ => return Err(self.unsupported(KIND, format_args!("{kind:?}; none, linear and yarn are supported"))),
        };
        if kind == "yarn" {
            for (key, name) in [("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow")] {
                if let Some(number) = self.optional_number(&format!("rope.scaling.{key}"))? {
                    scaling[name] = json!(number);
                }
            }
            if let Some(original) = original {
                scaling[ORIGINAL] = json!(original);
            }
            for key in ["rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor"] {
                if self.metadata.get(&self.key(key)).is_some() {
                    return Err(self.unsupported(key, "is not supported"));
                }
            }
        }
        if own_magnitude.is_some_and(|magnitude| magnitude != 1.0) {
            return Err(self.unsupported("rope.scaling.attn_factor", "is supported with LongRoPE only"));
        }
        config.insert("rope_scaling".into(), scaling);
        Ok(())
    }

    fn experts(&self, count: u64, config: &mut Map<String, Value>) -> Result<()> {
        let chosen = self.whole("expert_used_count")?;
        config.insert("num_experts_per_tok".into(), json!(chosen));
        if self.architecture == "llama" {
            config.insert("num_local_experts".into(), json!(count));
            return Ok(());
        }
        let own = self.optional_whole("feed_forward_length")?;
        let width = match self.optional_whole("expert_feed_forward_length")? {
            Some(width) => width,
            None => own.unwrap_or(0) / chosen.max(1),
        };
        config.insert("num_experts".into(), json!(count));
        config.insert("moe_intermediate_size".into(), json!(width));
        config.insert("intermediate_size".into(), json!(own.unwrap_or(width)));
        config.insert("norm_topk_prob".into(), json!(self.architecture == "qwen3moe"));
        config.insert("decoder_sparse_step".into(), json!(1));
        config.insert("mlp_only_layers".into(), json!([]));
        if self.architecture == "qwen2moe" {
            let shared = self.optional_whole("expert_shared_feed_forward_length")?.or(own).unwrap_or(0);
            config.insert("shared_expert_intermediate_size".into(), json!(shared));
        }
        Ok(())
    }

    fn gemma(
        &self,
        hidden: u64,
        heads: u64,
        layers: u64,
        head_dim: u64,
        config: &mut Map<String, Value>,
    ) -> Result<()> {
        // The largest of each generation scales scores by another width, which files don't say.
        let largest = match self.architecture {
            "gemma2" => 46,
            "gemma3" => 62,
            _ => return Ok(()),
        };
        let scalar = if layers == largest { hidden / heads.max(1) } else { head_dim };
        config.insert("query_pre_attn_scalar".into(), json!(scalar));
        const WINDOW: &str = "attention.sliding_window";
        let (window, cap) = (self.optional_whole(WINDOW)?, self.optional_number("final_logit_softcapping")?);
        if self.architecture == "gemma2" {
            config.insert("attn_logit_softcapping".into(), json!(self.optional_number("attn_logit_softcapping")?));
            config.insert("final_logit_softcapping".into(), json!(cap));
            return Ok(());
        }
        let Some(window) = window.filter(|&window| window > 0) else {
            return Err(self.unsupported(WINDOW, "is missing; without it this architecture is not supported"));
        };
        if cap.is_some_and(|cap| cap != 0.0) {
            return Err(self.unsupported("final_logit_softcapping", "is not supported for this architecture"));
        }
        let pattern = self.optional_whole("attention.sliding_window_pattern")?.unwrap_or(6);
        config.insert("sliding_window".into(), json!(window));
        config.insert("sliding_window_pattern".into(), json!(pattern));
        let local = self.optional_number("rope.freq_base_swa")?.unwrap_or(10_000.0);
        config.insert("rope_local_base_freq".into(), json!(local));
        Ok(())
    }

    fn has(&self, tensor: &str) -> bool {
        self.gguf.tensors().contains_key(tensor)
    }

    /// A key of this architecture.
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn whole(&self, key: &str) -> Result<u64> {
        self.optional_whole(key)?.ok_or_else(|| self.metadata.corrupt(&self.key(key), "is missing"))
    }

    /// A whole number; where a file has one for each layer they must all be the same.
    fn optional_whole(&self, key: &str) -> Result<Option<u64>> {
        let name = self.key(key);
        let Some(Stored::Array(array)) = self.metadata.get(&name) else { return self.metadata.unsigned(&name) };
        let mut numbers = array.integers().into_iter().flatten();
        let first = numbers.next().and_then(|number| u64::try_from(number).ok());
        match first {
            Some(first) if numbers.all(|number| number == i128::from(first)) => Ok(Some(first)),
            _ => Err(self.unsupported(key, "differs from layer to layer")),
        }
    }

    fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.metadata.corrupt(&self.key(key), "is missing"))
    }

    /// A number, which files have in f32.
    fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        let number = self.metadata.float(&self.key(key))?;
        Ok(number.map(|number| if f64::from(number as f32) == number { shortest(number as f32) } else { number }))
    }

    /// The numbers of a small tensor, if there is one.
    fn numbers(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let Some(entry) = self.gguf.tensors().get(name) else { return Ok(None) };
        if entry.shape.iter().product::<usize>() > MAX_HEAD_DIM {
            return Err(Error::corrupt(self.gguf.label(), format_args!("{name} has the shape {:?}", entry.shape)));
        }
        let numbers: Vec<f32> = match entry.block {
            BlockType::F32 => self.gguf.bytes(entry).as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            other => return Err(Error::unsupported(format!("{}: {name} is stored as {other}", self.gguf.label()))),
        };
        match numbers.iter().find(|number| !(1e-6..=1e6).contains(*number)) {
            Some(number) => Err(Error::corrupt(self.gguf.label(), format_args!("{name} holds {number}"))),
            None => Ok(Some(numbers)),
        }
    }

    fn unsupported(&self, key: &str, message: impl std::fmt::Display) -> Error {
        Error::new(Code::Unsupported, format!("{}: {} {message}", self.gguf.label(), self.key(key)))
    }
}
