//! What decoder families share: sizes read from the configuration, and the tensor names that transformers gives.

use super::config::Config;
use super::quantization::quantization;
use super::spec::{Activation, Attention, Layer, Linear, Mlp, Norm, Rope, Spec};
use crate::error::Result;

const MAX_LAYERS: usize = 1024;
const MAX_HIDDEN: usize = 65_536;
const MAX_INTERMEDIATE: usize = 1 << 20;
const MAX_VOCAB: usize = 4_194_304;
const MAX_HEADS: usize = 1024;
const MAX_HEAD_DIM: usize = 1024;
/// Positions are below this; more would not be told apart in f32.
pub(super) const MAX_CONTEXT: usize = 1 << 24;

/// The sizes of a decoder.
pub(super) struct Sizes {
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    pub intermediate: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub epsilon: f32,
}

impl Sizes {
    pub fn read(config: &Config) -> Result<Self> {
        let hidden = config.usize("hidden_size", 1..=MAX_HIDDEN)?;
        let heads = config.usize("num_attention_heads", 1..=MAX_HEADS)?;
        let kv_heads = config.usize_or("num_key_value_heads", heads, 1..=heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(config.corrupt("num_key_value_heads", format_args!("does not divide the {heads} query heads")));
        }
        let head_dim = match config.optional_usize("head_dim", 1..=MAX_HEAD_DIM)? {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) && hidden / heads <= MAX_HEAD_DIM => hidden / heads,
            None => {
                let message = format!("does not split into {heads} heads of at most {MAX_HEAD_DIM}");
                return Err(config.corrupt("hidden_size", message));
            }
        };
        Ok(Self {
            vocab: config.usize("vocab_size", 1..=MAX_VOCAB)?,
            hidden,
            layers: config.usize("num_hidden_layers", 1..=MAX_LAYERS)?,
            intermediate: config.usize("intermediate_size", 1..=MAX_INTERMEDIATE)?,
            heads,
            kv_heads,
            head_dim,
            epsilon: config.f64("rms_norm_eps", 0.0..=1.0)? as f32,
        })
    }

    /// Rows of the query projection, which are the columns of the output projection.
    fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of the key projection, and of the value projection.
    fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// A norm of the residual stream.
    fn norm(&self, name: impl Into<String>) -> Norm {
        Norm { name: name.into(), size: self.hidden, epsilon: self.epsilon }
    }

    /// A norm of each head.
    pub fn head_norm(&self, layer: usize, part: &str) -> Norm {
        Norm { name: attention_name(layer, part), size: self.head_dim, epsilon: self.epsilon }
    }

    /// A pre-norm layer.
    pub fn layer(&self, layer: usize, attention: Attention, mlp: Mlp) -> Layer {
        Layer {
            attention_norm: self.norm(format!("model.layers.{layer}.input_layernorm")),
            attention,
            mlp_norm: self.norm(format!("model.layers.{layer}.post_attention_layernorm")),
            mlp,
        }
    }

    /// Attention to all positions, without norms of its own.
    pub fn attention(&self, layer: usize, qkv: Vec<Linear>, output_bias: bool, rope: &Rope) -> Attention {
        Attention {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: (self.head_dim as f64).powf(-0.5) as f32,
            qkv,
            output: linear(attention_name(layer, "o_proj"), self.hidden, self.query_width(), output_bias),
            query_norm: None,
            key_norm: None,
            rope: Some(rope.clone()),
            window: None,
        }
    }

    /// Queries, keys and values of a layer as three tensors.
    pub fn split_qkv(&self, layer: usize, bias: bool) -> Vec<Linear> {
        [("q_proj", self.query_width()), ("k_proj", self.key_width()), ("v_proj", self.key_width())]
            .map(|(part, outputs)| linear(attention_name(layer, part), outputs, self.hidden, bias))
            .into()
    }

    /// Queries, keys and values of a layer as one tensor.
    pub fn fused_qkv(&self, layer: usize, bias: bool) -> Vec<Linear> {
        let outputs = self.query_width() + 2 * self.key_width();
        vec![linear(attention_name(layer, "qkv_proj"), outputs, self.hidden, bias)]
    }

    /// The MLP of a layer with gate and up as two tensors.
    pub fn split_mlp(&self, layer: usize, bias: bool, activation: Activation) -> Mlp {
        let part = |part| linear(mlp_name(layer, part), self.intermediate, self.hidden, bias);
        Mlp { gate_up: vec![part("gate_proj"), part("up_proj")], down: self.mlp_down(layer, bias), activation }
    }

    /// The MLP of a layer with gate and up as one tensor.
    pub fn fused_mlp(&self, layer: usize, bias: bool, activation: Activation) -> Mlp {
        let gate_up = linear(mlp_name(layer, "gate_up_proj"), 2 * self.intermediate, self.hidden, bias);
        Mlp { gate_up: vec![gate_up], down: self.mlp_down(layer, bias), activation }
    }

    fn mlp_down(&self, layer: usize, bias: bool) -> Linear {
        linear(mlp_name(layer, "down_proj"), self.hidden, self.intermediate, bias)
    }
}

fn attention_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.self_attn.{part}")
}

fn mlp_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.mlp.{part}")
}

fn linear(name: impl Into<String>, outputs: usize, inputs: usize, bias: bool) -> Linear {
    Linear { name: name.into(), outputs, inputs, bias }
}

/// Puts a decoder together from its layers. Without a head of its own (`tied`) the embedding table is the head.
pub(super) fn decoder(
    config: &Config,
    sizes: &Sizes,
    context_length: usize,
    tied: bool,
    layer: impl Fn(usize) -> Layer,
) -> Result<Spec> {
    Ok(Spec {
        model_type: config.string("model_type")?.unwrap_or_default().to_string(),
        vocab: sizes.vocab,
        hidden: sizes.hidden,
        context_length,
        eos_ids: eos_ids(config)?,
        embedding: linear("model.embed_tokens", sizes.vocab, sizes.hidden, false),
        layers: (0..sizes.layers).map(layer).collect(),
        final_norm: sizes.norm("model.norm"),
        head: (!tied).then(|| linear("lm_head", sizes.vocab, sizes.hidden, false)),
        quantization: quantization(config)?,
        ignored: ignored(tied),
    })
}

/// The positions that the model was trained for.
pub(super) fn context_length(config: &Config, default: usize) -> Result<usize> {
    config.usize_or("max_position_embeddings", default, 1..=MAX_CONTEXT)
}

/// The activation of the MLP, which is SiLU where the configuration does not say.
pub(super) fn activation(config: &Config) -> Result<Activation> {
    match config.string("hidden_act")? {
        None | Some("silu" | "swish") => Ok(Activation::Silu),
        Some(_) => Err(config.unsupported("hidden_act", "is not supported; only silu is")),
    }
}

/// Says in the log that a sliding window is not applied, which is what mlx-lm does with the windows of Mistral, Qwen
/// and Phi. Answers are the same as long as the context is within the window.
pub(super) fn ignore_window(config: &Config, context_length: usize) -> Result<()> {
    const KEY: &str = "sliding_window";
    let window = config.optional_usize(KEY, 0..=usize::MAX)?.unwrap_or(0);
    if (1..context_length).contains(&window) && config.bool_or("use_sliding_window", true)? {
        tracing::warn!("{}; all positions are attended to, as in mlx-lm", config.corrupt(KEY, "is not applied"));
    }
    Ok(())
}

/// Token ids that end an answer: one, a list, or none.
fn eos_ids(config: &Config) -> Result<Vec<u32>> {
    const KEY: &str = "eos_token_id";
    let Some(value) = config.get(KEY) else { return Ok(Vec::new()) };
    let id = |value: &serde_json::Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value.as_array() {
        Some(list) => list.iter().map(id).collect::<Option<Vec<_>>>(),
        None => id(value).map(|id| vec![id]),
    };
    ids.ok_or_else(|| config.wrong(KEY, "a token id or a list of them"))
}

/// Tensors that a checkpoint may hold without need: tables of rotary frequencies that old exports carry, and a head
/// where the embedding table serves as one. mlx-lm drops the same.
fn ignored(tied: bool) -> Vec<String> {
    let mut suffixes = vec!["self_attn.rotary_emb.inv_freq".to_string()];
    if tied {
        suffixes.extend(["weight", "scales", "biases"].map(|part| format!("lm_head.{part}")));
    }
    suffixes
}
