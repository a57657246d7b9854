//! Families that differ from Llama in a few settings: GLM, Helium, InternLM, MiMo, MiniCPM, ERNIE, EXAONE, Seed,
//! Hunyuan, Ministral, Nemotron, Apertus.

use super::blocks::{self, Keys, Sizes, name};
use super::config::Config;
use super::llama;
use super::rope::{self, Base};
use super::spec::{Activation, Attention, Layer, Mixer, Mlp, QueryGrowth, Rope, Spec};
use crate::error::Result;

/// What a family knows of its rotary embedding.
struct Rotary {
    traditional: bool,
    theta: Option<f64>,
    context: usize,
}

impl Rotary {
    /// The embedding of whole heads, with the scaling of the configuration.
    fn read(&self, config: &Config, sizes: &Sizes) -> Result<(usize, Rope)> {
        let context = blocks::context_length(config, self.context)?;
        let base = Base { dims: sizes.head_dim, traditional: self.traditional, theta: self.theta, context };
        Ok((context, rope::rope(config, &base)?))
    }

    /// The same for a family that may have pairs of neighbours.
    fn of(config: &Config, theta: Option<f64>, context: usize) -> Result<Self> {
        Ok(Self { traditional: config.bool_or("rope_traditional", false)?, theta, context })
    }
}

/// Llama with biases where the family has them: on queries, keys and values, on the output, on the MLP.
fn with_biases(
    config: &Config,
    sizes: &Sizes,
    rotary: &Rotary,
    [qkv, output, mlp]: [bool; 3],
    tied: bool,
) -> Result<Spec> {
    let (context, rope) = rotary.read(config, sizes)?;
    let activation = blocks::silu(config)?;
    blocks::decoder(config, sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, qkv), output, &rope);
        sizes.layer(i, attention, sizes.split_mlp(i, mlp, activation))
    })
}

/// GLM 4 9B in the first format of transformers.
pub(super) fn glm(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let rotary = Rotary { traditional: true, theta: Some(10_000.0), context: 131_072 };
    let (context, rope) = rotary.read(config, &sizes)?;
    let bias = config.bool_or("attention_bias", false)?;
    let activation = blocks::silu(config)?;
    blocks::decoder(config, &sizes, context, config.bool_or("tie_word_embeddings", true)?, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, bias), false, &rope);
        sizes.layer(i, attention, sizes.fused_mlp(i, false, activation))
    })
}

/// GLM 4 0414: GLM with norms after its blocks, too.
pub(super) fn glm4(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 32_768)?;
    let dims = (sizes.head_dim as f64 * config.f64("partial_rotary_factor", 0.0..=1.0)?) as usize;
    let traditional = config.bool_or("rope_traditional", true)?;
    let rope = rope::plain(config, dims, traditional, config.f64("rope_theta", 1.001..=1e15)?)?;
    let bias = config.bool("attention_bias")?;
    let activation = blocks::silu(config)?;
    blocks::decoder(config, &sizes, context, false, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, bias), false, &rope);
        Layer {
            mixer_post_norm: Some(sizes.layer_norm(i, "post_self_attn_layernorm")),
            ffn_post_norm: Some(sizes.layer_norm(i, "post_mlp_layernorm")),
            ..sizes.layer(i, attention, sizes.fused_mlp(i, false, activation))
        }
    })
}

/// Helium.
pub(super) fn helium(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let rotary = Rotary { traditional: true, theta: None, context: 4096 };
    let biases = [config.bool("attention_bias")?, false, config.bool("mlp_bias")?];
    // Like mlx-lm's, a tied checkpoint may still carry a head.
    with_biases(config, &sizes, &rotary, biases, config.bool("tie_word_embeddings")?)
}

/// InternLM 2 and 2.5.
pub(super) fn internlm2(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let (context, rope) = Rotary::of(config, Some(10_000.0), 32_768)?.read(config, &sizes)?;
    let bias = config.bool_or("bias", true)?;
    let activation = blocks::silu(config)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let attention = sizes.attention(i, sizes.grouped_qkv(i, bias), bias, &rope);
        sizes.layer(i, attention, sizes.split_mlp(i, false, activation))
    })?;
    let mut spec = spec.renamed(&[
        ("self_attn.qkv_proj", "attention.wqkv"),
        ("self_attn.o_proj", "attention.wo"),
        ("mlp.gate_proj", "feed_forward.w1"),
        ("mlp.down_proj", "feed_forward.w2"),
        ("mlp.up_proj", "feed_forward.w3"),
        ("input_layernorm", "attention_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("model.embed_tokens", "model.tok_embeddings"),
        ("lm_head", "output"),
    ]);
    spec.ignored.push("attention.rope.inv_freq".into());
    Ok(spec)
}

/// InternLM 3.
pub(super) fn internlm3(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let qkv = config.bool_or("qkv_bias", false)?;
    let biases = [qkv, qkv, config.bool_or("bias", false)?];
    let rotary = Rotary::of(config, Some(10_000.0), 32_768)?;
    with_biases(config, &sizes, &rotary, biases, config.bool_or("tie_word_embeddings", false)?)
}

/// MiMo 7B; its layers that predict further tokens are left out.
pub(super) fn mimo(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let rotary = Rotary::of(config, Some(10_000.0), 32_768)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let mut spec = with_biases(config, &sizes, &rotary, [true, false, false], tied)?;
    spec.ignored.push("model.mtp_layers.".into());
    Ok(spec)
}

/// MiniCPM 1 and 2: scaled embeddings, residuals and logits.
pub(super) fn minicpm(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let rotary = Rotary::of(config, Some(1_000_000.0), 4096)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let mut spec = with_biases(config, &sizes, &rotary, [false; 3], tied)?;
    let depth = config.f64("scale_depth", 1e-9..=1e9)? / (sizes.layers as f64).sqrt();
    for layer in &mut spec.layers {
        layer.residual_scale = depth as f32;
    }
    spec.embedding_scale = config.f64("scale_emb", 1e-9..=1e9)? as f32;
    let base = config.usize("dim_model_base", 1..=1 << 20)?;
    // mlx-lm scales what its head sees, and nothing when the head is the embedding table.
    spec.logit_scale = if tied { 1.0 } else { (base as f64 / sizes.hidden as f64) as f32 };
    spec.head_optional = true;
    Ok(spec)
}

/// ERNIE 4.5 (dense).
pub(super) fn ernie(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let bias = config.bool("use_bias")?;
    let rotary = Rotary { traditional: true, theta: None, context: 131_072 };
    with_biases(config, &sizes, &rotary, [bias; 3], config.bool("tie_word_embeddings")?)
}

/// Seed OSS.
pub(super) fn seed_oss(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let flag = |key| config.bool_or(key, false);
    let biases = [flag("attention_bias")?, flag("attention_out_bias")?, flag("mlp_bias")?];
    let rotary = Rotary::of(config, Some(10_000.0), 524_288)?;
    with_biases(config, &sizes, &rotary, biases, config.bool_or("tie_word_embeddings", true)?)
}

/// Hunyuan (dense): queries and keys are normed after they are rotated.
pub(super) fn hunyuan(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let (context, rope) = hunyuan_rope(config, &sizes)?;
    let bias = config.bool_or("attention_bias", false)?;
    let normed = config.bool_or("use_qk_norm", true)?;
    let activation = blocks::silu(config)?;
    blocks::decoder(config, &sizes, context, config.bool_or("tie_word_embeddings", false)?, |i| {
        let norm = |part| normed.then(|| sizes.head_norm(i, part));
        let attention = Attention {
            query_norm: norm("query_layernorm"),
            key_norm: norm("key_layernorm"),
            norm_after_rope: true,
            ..sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope)
        };
        sizes.layer(i, attention, sizes.split_mlp(i, false, activation))
    })
}

/// The context of Hunyuan's models and their rotary embedding, whose base grows by `alpha`.
pub(super) fn hunyuan_rope(config: &Config, sizes: &Sizes) -> Result<(usize, Rope)> {
    let context = blocks::context_length(config, 32_768)?;
    let alpha = match config.object("rope_scaling")? {
        Some(scaling) => scaling.f64("alpha", 1e-6..=1e9)?,
        None => 1.0,
    };
    let theta = rope::theta_or(config, "rope_theta", 10_000.0)?;
    let power = sizes.head_dim as f64 / (sizes.head_dim as f64 - 2.0).max(1.0);
    Ok((context, rope::local(config, sizes.head_dim, false, theta * alpha.powf(power))?))
}

/// EXAONE 3 and 3.5.
pub(super) fn exaone(config: &Config) -> Result<Spec> {
    let keys = Keys { layers: "num_layers", epsilon: "layer_norm_epsilon", ..Keys::STANDARD };
    let sizes = Sizes::read_as(config, &keys)?;
    let bias = config.bool_or("attention_bias", false)?;
    let biases = [bias, bias, config.bool_or("mlp_bias", false)?];
    let rotary = Rotary::of(config, None, 32_768)?;
    let spec = with_biases(config, &sizes, &rotary, biases, config.bool_or("tie_word_embeddings", true)?)?;
    Ok(spec.renamed(&[
        ("model.layers.", "transformer.h."),
        ("self_attn.o_proj", "attn.attention.out_proj"),
        ("self_attn.", "attn.attention."),
        ("mlp.gate_proj", "mlp.c_fc_0"),
        ("mlp.up_proj", "mlp.c_fc_1"),
        ("mlp.down_proj", "mlp.c_proj"),
        ("input_layernorm", "ln_1"),
        ("post_attention_layernorm", "ln_2"),
        ("model.norm", "transformer.ln_f"),
        ("model.embed_tokens", "transformer.wte"),
    ]))
}

/// Ministral 3: Llama whose queries grow with their position.
pub(super) fn ministral3(config: &Config) -> Result<Spec> {
    let Some(parameters) = config.object("rope_parameters")? else {
        return Err(config.wrong("rope_parameters", "an object"));
    };
    let growth = QueryGrowth {
        beta: parameters.f64("llama_4_scaling_beta", 0.0..=1e6)? as f32,
        original: parameters.usize("original_max_position_embeddings", 1..=blocks::MAX_CONTEXT)?,
        shift: 0,
    };
    parameters.f64("rope_theta", 1.001..=1e15)?;
    // Other families' biases are not part of this one.
    let without = serde_json::json!({"attention_bias": false, "mlp_bias": false, "rope_traditional": false});
    let mut spec = config.with(serde_json::Value::Null, without, llama::spec)?;
    for layer in &mut spec.layers {
        if let Mixer::Attention(attention) = &mut layer.mixer {
            attention.query_growth = Some(growth);
        }
    }
    spec.ignored.push("activation_scale".into());
    Ok(spec)
}

/// Nemotron 3 and Minitron: layer norms with `1 + weight`, a plain MLP with squared ReLU, partial rotation.
pub(super) fn nemotron(config: &Config) -> Result<Spec> {
    let keys = Keys { epsilon: "norm_eps", ..Keys::STANDARD };
    let sizes = Sizes::read_as(config, &keys)?.with_layer_norms(true);
    let sizes = Sizes { norm_offset: 1.0, ..sizes };
    let context = blocks::context_length(config, 4096)?;
    let dims = (sizes.head_dim as f64 * config.f64_or("partial_rotary_factor", 0.5, 0.0..=1.0)?) as usize;
    let rope = rope::rope(config, &Base { dims, traditional: false, theta: Some(10_000.0), context })?;
    if !matches!(rope::kind(config)?, "default" | "linear") {
        return Err(config.unsupported("rope_scaling", "is not supported for this model_type; linear is"));
    }
    blocks::expect_activation(config, &["relu2"])?;
    let bias = config.bool_or("attention_bias", false)?;
    let mlp_bias = config.bool_or("mlp_bias", false)?;
    blocks::decoder(config, &sizes, context, config.bool_or("tie_word_embeddings", false)?, |i| {
        let attention = sizes.attention(i, sizes.split_qkv(i, bias), bias, &rope);
        sizes.layer(i, attention, sizes.plain_mlp(i, mlp_bias, Activation::Relu2))
    })
}

/// Apertus: a plain MLP whose activation is learned.
pub(super) fn apertus(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?.with_even_heads(config)?;
    let (context, rope) = Rotary::of(config, None, 65_536)?.read(config, &sizes)?;
    blocks::expect_activation(config, &["xielu"])?;
    let bias = config.bool("mlp_bias")?;
    for (key, only) in [("attention_bias", false), ("post_norm", false), ("qk_norm", true)] {
        if config.bool(key)? != only {
            return Err(config.unsupported(key, format_args!("is not supported; {only} is")));
        }
    }
    let activation = Activation::Xielu { alpha_p: 0.0, alpha_n: 0.0, beta: 0.0, eps: 0.0 };
    let spec = blocks::decoder(config, &sizes, context, config.bool("tie_word_embeddings")?, |i| {
        let activation_name = Some(name(i, "mlp.act_fn"));
        let mlp = Mlp { activation_name, ..sizes.plain_mlp(i, bias, activation) };
        sizes.layer(i, sizes.normed_attention(i, false, false, &rope), mlp)
    })?;
    Ok(spec
        .renamed(&[("input_layernorm", "attention_layernorm"), ("post_attention_layernorm", "feedforward_layernorm")]))
}
