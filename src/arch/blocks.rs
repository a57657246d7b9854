//! What decoder families share: sizes read from the configuration, and blocks with the tensor names that transformers
//! gives.

use super::config::Config;
use super::quantization::quantization;
use super::spec::{
    Activation, Attention, Ffn, Gate, Layer, Linear, Mixer, Mlp, Norm, NormKind, PerLayerInputs, Rope, Spec,
};
use crate::error::Result;

pub(super) const MAX_LAYERS: usize = 1024;
pub(super) const MAX_HIDDEN: usize = 65_536;
pub(super) const MAX_INTERMEDIATE: usize = 1 << 20;
pub(super) const MAX_VOCAB: usize = 4_194_304;
pub(super) const MAX_HEADS: usize = 1024;
pub(super) const MAX_HEAD_DIM: usize = 1024;
/// Pieces of tensors that all mixers together are made of. Families that take tensors apart head by head would else fill
/// the memory with names, for a configuration that no weights belong to.
const MAX_PIECES: usize = 1 << 17;
/// Positions are below this; more would not be told apart in f32.
pub(super) const MAX_CONTEXT: usize = 1 << 24;

/// What the keys of the sizes are called.
pub(super) struct Keys {
    pub hidden: &'static str,
    pub layers: &'static str,
    /// Empty where a rule of the family gives the width.
    pub intermediate: &'static str,
    pub heads: &'static str,
    pub epsilon: &'static str,
}

impl Keys {
    /// As most families have them.
    pub const STANDARD: Self = Self {
        hidden: "hidden_size",
        layers: "num_hidden_layers",
        intermediate: "intermediate_size",
        heads: "num_attention_heads",
        epsilon: "rms_norm_eps",
    };
    /// With the epsilon of layer norms.
    pub const LAYER_NORM: Self = Self { epsilon: "layer_norm_eps", ..Self::STANDARD };
}

/// The sizes of a decoder.
#[derive(Clone)]
pub(super) struct Sizes {
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    pub intermediate: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub epsilon: f32,
    /// The kind of the norms.
    pub norm: NormKind,
    /// Whether norms have a bias.
    pub norm_bias: bool,
    /// Added to the weights of norms.
    pub norm_offset: f32,
}

impl Sizes {
    pub fn read(config: &Config) -> Result<Self> {
        Self::read_as(config, &Keys::STANDARD)
    }

    pub fn read_as(config: &Config, keys: &Keys) -> Result<Self> {
        let hidden = config.usize(keys.hidden, 1..=MAX_HIDDEN)?;
        let heads = config.usize(keys.heads, 1..=MAX_HEADS)?;
        let kv_heads = config.usize_or("num_key_value_heads", heads, 1..=heads)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(config.corrupt("num_key_value_heads", format_args!("does not divide the {heads} query heads")));
        }
        let head_dim = match config.optional_usize("head_dim", 1..=MAX_HEAD_DIM)? {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) && hidden / heads <= MAX_HEAD_DIM => hidden / heads,
            None => {
                let message = format!("does not split into {heads} heads of at most {MAX_HEAD_DIM}");
                return Err(config.corrupt(keys.hidden, message));
            }
        };
        Ok(Self {
            vocab: config.usize("vocab_size", 1..=MAX_VOCAB)?,
            hidden,
            layers: config.usize(keys.layers, 1..=MAX_LAYERS)?,
            intermediate: match keys.intermediate {
                "" => 4 * hidden,
                key => config.usize(key, 1..=MAX_INTERMEDIATE)?,
            },
            heads,
            kv_heads,
            head_dim,
            epsilon: config.f64(keys.epsilon, 0.0..=1.0)? as f32,
            norm: NormKind::Rms,
            norm_bias: false,
            norm_offset: 0.0,
        })
    }

    /// The sizes of a family whose heads always share the hidden width evenly, whatever `head_dim` says.
    pub fn with_even_heads(self, config: &Config) -> Result<Self> {
        if !self.hidden.is_multiple_of(self.heads) || self.hidden / self.heads > MAX_HEAD_DIM {
            let message = format!("does not split into {} heads of at most {MAX_HEAD_DIM}", self.heads);
            return Err(config.corrupt("hidden_size", message));
        }
        Ok(Self { head_dim: self.hidden / self.heads, ..self })
    }

    /// The sizes of a family with layer norms.
    pub fn with_layer_norms(self, bias: bool) -> Self {
        Self { norm: NormKind::Layer, norm_bias: bias, ..self }
    }

    /// Rows of the query projection, which are the columns of the output projection.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Rows of the key projection, and of the value projection.
    pub fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// A norm of the residual stream.
    pub fn norm(&self, name: impl Into<String>) -> Norm {
        self.norm_of(name, self.hidden)
    }

    /// Inputs of each layer that Gemma 3n and 4 look up, `width` numbers wide; `rows` tokens have some.
    pub fn per_layer_inputs(&self, rows: usize, width: usize) -> PerLayerInputs {
        let all = self.layers * width;
        PerLayerInputs {
            width,
            table: linear("model.embed_tokens_per_layer", rows, all, false),
            table_scale: (width as f32).sqrt(),
            projection: linear("model.per_layer_model_projection", all, self.hidden, false),
            projection_scale: (self.hidden as f64).powf(-0.5) as f32,
            norm: self.norm_of("model.per_layer_projection_norm", width),
            scale: 0.5f32.sqrt(),
        }
    }

    /// A norm of the family's kind.
    pub fn norm_of(&self, name: impl Into<String>, size: usize) -> Norm {
        let name = name.into();
        let bias = self.norm_bias.then(|| format!("{name}.bias"));
        let (kind, epsilon, offset) = (self.norm, self.epsilon, self.norm_offset);
        Norm {
            kind,
            weights: vec![format!("{name}.weight")],
            by_head: false,
            times: None,
            bias,
            input: None,
            size,
            heads: 1,
            epsilon,
            offset,
            factor: 1.0,
        }
    }

    /// A norm without weights.
    pub fn bare_norm(&self, size: usize) -> Norm {
        Norm { weights: Vec::new(), bias: None, ..self.norm_of("", size) }
    }

    /// A norm of the residual stream in a layer.
    pub fn layer_norm(&self, layer: usize, part: &str) -> Norm {
        self.norm(name(layer, part))
    }

    /// A norm of each head.
    pub fn head_norm(&self, layer: usize, part: &str) -> Norm {
        self.norm_of(attention_name(layer, part), self.head_dim)
    }

    /// A pre-norm layer.
    pub fn layer(&self, layer: usize, attention: Attention, ffn: impl Into<Ffn>) -> Layer {
        self.layer_with(layer, Mixer::Attention(attention), ffn)
    }

    /// A pre-norm layer with any mixer.
    pub fn layer_with(&self, layer: usize, mixer: Mixer, ffn: impl Into<Ffn>) -> Layer {
        Layer {
            mixer_norm: Some(self.layer_norm(layer, "input_layernorm")),
            ffn_norm: Some(self.layer_norm(layer, "post_attention_layernorm")),
            ..bare_layer(mixer, ffn)
        }
    }

    /// Attention to all positions, without norms of its own, rotated or not.
    pub fn attention<'a>(
        &self,
        layer: usize,
        qkv: Vec<Linear>,
        output_bias: bool,
        rope: impl Into<Option<&'a Rope>>,
    ) -> Attention {
        Attention {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            value_dim: None,
            value_scale: 1.0,
            scale: (self.head_dim as f64).powf(-0.5) as f32,
            qkv,
            clip: None,
            conv: None,
            rounding: None,
            blocks: None,
            second_look: None,
            output: linear(attention_name(layer, "o_proj"), self.hidden, self.query_width(), output_bias),
            output_norm: None,
            query_norm: None,
            key_norm: None,
            value_norm: None,
            norm_after_rope: false,
            rope: rope.into().cloned(),
            window: None,
            chunk: None,
            sinks: None,
            softcap: None,
            query_growth: None,
            gate: None,
            strided: false,
            shares_kv_of: None,
            indexer: None,
        }
    }

    /// Attention with norms on each query and key head.
    pub fn normed_attention<'a>(
        &self,
        layer: usize,
        bias: bool,
        output_bias: bool,
        rope: impl Into<Option<&'a Rope>>,
    ) -> Attention {
        Attention {
            query_norm: Some(self.head_norm(layer, "q_norm")),
            key_norm: Some(self.head_norm(layer, "k_norm")),
            ..self.attention(layer, self.split_qkv(layer, bias), output_bias, rope)
        }
    }

    /// Attention with norms over all query heads together, and over all key heads.
    pub fn wide_normed_attention<'a>(&self, layer: usize, bias: bool, rope: impl Into<Option<&'a Rope>>) -> Attention {
        Attention {
            query_norm: Some(self.norm_of(attention_name(layer, "q_norm"), self.query_width())),
            key_norm: Some(self.norm_of(attention_name(layer, "k_norm"), self.key_width())),
            ..self.attention(layer, self.split_qkv(layer, bias), bias, rope)
        }
    }

    /// Attention whose output each head multiplies by something of its own: `g_proj` has a number for each.
    pub fn with_head_gate(&self, layer: usize, gate: Gate, bias: bool, attention: Attention) -> Attention {
        let mut qkv = attention.qkv;
        qkv.push(linear(attention_name(layer, "g_proj"), self.heads, self.hidden, bias));
        Attention { qkv, gate: Some(gate), ..attention }
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

    /// Queries, keys and values as one tensor, in which each key head stands beside the queries that read it: their
    /// rows, then the key's, then the value's.
    pub fn grouped_qkv(&self, layer: usize, bias: bool) -> Vec<Linear> {
        let whole = &self.fused_qkv(layer, bias)[0];
        let (head, group) = (self.head_dim, self.heads / self.kv_heads);
        let piece = |at: usize, heads: usize| Linear {
            outputs: heads * head,
            part: Some((at * head, whole.outputs)),
            ..whole.clone()
        };
        let each = |at: usize, heads: usize| (0..self.kv_heads).map(move |i| piece(i * (group + 2) + at, heads));
        each(0, group).chain(each(group, 1)).chain(each(group + 1, 1)).collect()
    }

    /// The gated MLP of a layer with gate and up as two tensors.
    pub fn split_mlp(&self, layer: usize, bias: bool, activation: Activation) -> Mlp {
        self.mlp_of(name(layer, "mlp"), self.intermediate, bias, activation)
    }

    /// A gated MLP of some width with gate and up as two tensors.
    pub fn mlp_of(&self, name: impl std::fmt::Display, width: usize, bias: bool, activation: Activation) -> Mlp {
        let part = |part| linear(format!("{name}.{part}"), width, self.hidden, bias);
        Mlp {
            gate_up: vec![part("gate_proj"), part("up_proj")],
            down: linear(format!("{name}.down_proj"), self.hidden, width, bias),
            activation,
            gated: true,
            interleaved: false,
            norm: None,
            activation_name: None,
        }
    }

    /// The gated MLP of a layer with gate and up as one tensor.
    pub fn fused_mlp(&self, layer: usize, bias: bool, activation: Activation) -> Mlp {
        let outputs = 2 * self.intermediate;
        let gate_up = linear(name(layer, "mlp.gate_up_proj"), outputs, self.hidden, bias);
        Mlp { gate_up: vec![gate_up], ..self.split_mlp(layer, bias, activation) }
    }

    /// The gated MLP of a layer with up and gate, in this order, as one tensor.
    pub fn fused_mlp_up_first(&self, layer: usize, bias: bool, activation: Activation) -> Mlp {
        let mlp = self.fused_mlp(layer, bias, activation);
        let width = self.intermediate;
        let half = |first| Linear { outputs: width, part: Some((first, 2 * width)), ..mlp.gate_up[0].clone() };
        Mlp { gate_up: vec![half(width), half(0)], ..mlp }
    }

    /// The MLP of a layer without a gate.
    pub fn plain_mlp(&self, layer: usize, bias: bool, activation: Activation) -> Mlp {
        let up = linear(name(layer, "mlp.up_proj"), self.intermediate, self.hidden, bias);
        Mlp { gate_up: vec![up], gated: false, ..self.split_mlp(layer, bias, activation) }
    }
}

impl From<Mlp> for Ffn {
    fn from(mlp: Mlp) -> Self {
        Self::Dense(mlp)
    }
}

/// A layer without norms.
pub(super) fn bare_layer(mixer: Mixer, ffn: impl Into<Ffn>) -> Layer {
    Layer {
        mixer,
        beside: None,
        mixer_norm: None,
        mixer_post_norm: None,
        ffn: ffn.into(),
        shortcut: None,
        ffn_norm: None,
        ffn_post_norm: None,
        parallel: false,
        residual_scale: 1.0,
        gains: None,
        per_layer_input: None,
        stream_factors: None,
        output_scale: None,
        altup: None,
        residuals: None,
        hyper: None,
    }
}

/// The name of a part of a layer.
pub(super) fn name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.{part}")
}

/// The name of a part of a layer's attention.
pub(super) fn attention_name(layer: usize, part: &str) -> String {
    format!("model.layers.{layer}.self_attn.{part}")
}

pub(super) fn linear(name: impl Into<String>, outputs: usize, inputs: usize, bias: bool) -> Linear {
    Linear { name: name.into(), outputs, inputs, bias, part: None, experts: None, bare: false, ternary: false }
}

/// Puts a decoder together from its layers. Without a head of its own (`tied`) the embedding table is the head.
pub(super) fn decoder(
    config: &Config,
    sizes: &Sizes,
    context_length: usize,
    tied: bool,
    layer: impl Fn(usize) -> Layer,
) -> Result<Spec> {
    let (mut layers, mut pieces) = (Vec::with_capacity(sizes.layers), 0);
    for layer in (0..sizes.layers).map(layer) {
        pieces += layer.mixers().map(|mixer| mixer.linears().len()).sum::<usize>();
        if pieces > MAX_PIECES {
            let message = format!("is not supported with {} layers: more than {MAX_PIECES} pieces", sizes.layers);
            return Err(config.unsupported("num_attention_heads", message));
        }
        layers.push(layer);
    }
    Ok(Spec {
        model_type: config.string("model_type")?.unwrap_or_default().to_string(),
        vocab: sizes.vocab,
        hidden: sizes.hidden,
        context_length,
        eos_ids: eos_ids(config)?.unwrap_or_default(),
        embedding: linear("model.embed_tokens", sizes.vocab, sizes.hidden, false),
        embedding_scale: 1.0,
        embedding_norm: None,
        positions: None,
        per_layer_inputs: None,
        ngrams: None,
        streams: None,
        residual_query: None,
        hyper_streams: None,
        layers,
        loops: None,
        final_norm: sizes.norm("model.norm"),
        head: (!tied).then(|| linear("lm_head", sizes.vocab, sizes.hidden, false)),
        head_optional: false,
        wide_stream: false,
        logit_scale: 1.0,
        logit_gain: None,
        unused_ids: Vec::new(),
        head_normed: false,
        logit_softcap: None,
        quantization: quantization(config)?,
        ignored: ignored(tied),
    })
}

/// The positions that the model was trained for.
pub(super) fn context_length(config: &Config, default: usize) -> Result<usize> {
    config.usize_or("max_position_embeddings", default, 1..=MAX_CONTEXT)
}

/// Fails unless the configuration says that the MLP has SiLU, or nothing.
pub(super) fn silu(config: &Config) -> Result<Activation> {
    expect_activation(config, &["silu", "swish"])?;
    Ok(Activation::Silu)
}

/// Fails when the configuration names another activation than the family's, which mlx-lm applies whatever it says.
pub(super) fn expect_activation(config: &Config, names: &[&str]) -> Result<()> {
    for key in ["hidden_act", "hidden_activation", "activation_function"] {
        if let Some(name) = config.string(key)?
            && !names.contains(&name)
        {
            return Err(config.unsupported(key, format_args!("is not supported; {} is", names.join(" or "))));
        }
    }
    Ok(())
}

/// The window of each layer by `layer_types`, if the configuration has them.
pub(super) fn layer_windows(config: &Config, layers: usize) -> Result<Option<Vec<Option<usize>>>> {
    const KEY: &str = "layer_types";
    let Some(types) = config.strings(KEY)? else { return Ok(None) };
    if types.len() != layers {
        return Err(config.corrupt(KEY, format_args!("must have one entry for each of the {layers} layers")));
    }
    let window = |kind: &str| match kind {
        "full_attention" => Ok(None),
        "sliding_attention" => config.usize("sliding_window", 1..=MAX_CONTEXT).map(Some),
        other => Err(config.unsupported(KEY, format_args!("names {other:?}, which is not supported"))),
    };
    types.into_iter().map(window).collect::<Result<_>>().map(Some)
}

/// The window of each layer where all but every `pattern`th have one.
pub(super) fn pattern_windows(config: &Config, layers: usize) -> Result<Vec<Option<usize>>> {
    let window = config.usize("sliding_window", 1..=MAX_CONTEXT)?;
    let pattern = config.usize("sliding_window_pattern", 1..=MAX_LAYERS)?;
    Ok((1..=layers).map(|layer| (!layer.is_multiple_of(pattern)).then_some(window)).collect())
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
pub(super) fn eos_ids(config: &Config) -> Result<Option<Vec<u32>>> {
    const KEY: &str = "eos_token_id";
    let Some(value) = config.get(KEY) else { return Ok(None) };
    let id = |value: &serde_json::Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value.as_array() {
        Some(list) => list.iter().map(id).collect::<Option<Vec<_>>>(),
        None => id(value).map(|id| vec![id]),
    };
    ids.map(Some).ok_or_else(|| config.wrong(KEY, "a token id or a list of them"))
}

/// Tensors that a checkpoint may hold without need: tables of rotary frequencies that old exports carry, and a head
/// where the embedding table serves as one. mlx-lm drops the same.
fn ignored(tied: bool) -> Vec<String> {
    let mut parts = vec!["rotary_emb.inv_freq".to_string()];
    if tied {
        parts.extend(["weight", "scales", "biases"].map(|part| format!("lm_head.{part}")));
    }
    parts
}
