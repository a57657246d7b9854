//! Families with latent attention: DeepSeek 2 and 3 (and Kimi K2), GLM 4.7 Flash, MiniCPM 3.

use serde_json::{Value, json};

use super::blocks::{self, MAX_HEAD_DIM, MAX_HIDDEN, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::moe::{corrected_sigmoid, grouped_sigmoid};
use super::rope::{self, Base};
use super::spec::{
    self, Activation, Expansion, Ffn, Groups, Indexer, LatentAttention, LatentQuery, Layer, Linear, Mixer, Norm,
    NormKind, QueryGrowth, Rope, Routing, Score, Spec,
};
use super::wrapper;
use crate::error::Result;

/// DeepSeek 3 and 3.1, Kimi K2.
pub(super) fn third(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 102_400, "hidden_size": 4096, "intermediate_size": 11_008, "moe_intermediate_size": 1407,
        "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 32, "kv_lora_rank": 512,
        "q_lora_rank": 1536, "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128,
        "num_experts_per_tok": 1, "rms_norm_eps": 1e-6,
    });
    config.with_defaults(defaults, |config| {
        let mut spec = mixture(config, true, corrected_sigmoid, 2048, Some(1e-6))?;
        // The layer that predicts a further token.
        spec.ignored.push("model.layers.61.".into());
        Ok(spec)
    })
}

/// DeepSeek 3.2: from `index_topk` positions on an indexer chooses those that each one sees.
pub(super) fn sparse(config: &Config) -> Result<Spec> {
    config.with_defaults(json!({"q_lora_rank": 1536, "qk_rope_head_dim": 64}), |config| {
        let mut spec = third(config)?;
        let count = config.usize_or("index_topk", 2048, 1..=blocks::MAX_CONTEXT)?;
        let heads = config.usize_or("index_n_heads", 64, 1..=blocks::MAX_HEADS)?;
        let rotated = config.usize("qk_rope_head_dim", 1..=MAX_HEAD_DIM)?;
        let head_dim = config.usize_or("index_head_dim", 128, rotated..=MAX_HEAD_DIM)?;
        let traditional = config.bool_or("indexer_rope_interleave", false)?;
        let (hidden, epsilon) = (spec.hidden, 1e-5);
        for (i, layer) in spec.layers.iter_mut().enumerate() {
            let Mixer::Latent(latent) = &mut layer.mixer else { continue };
            let Some(query) = &mut latent.query else { return Err(config.wrong("q_lora_rank", "a number")) };
            let part = |part| attention_name(i, &format!("indexer.{part}"));
            query.linear.push(linear(part("wq_b"), heads * head_dim, query.width, false));
            latent.input.push(linear(part("wk"), head_dim, hidden, false));
            latent.input.push(linear(part("weights_proj"), heads, hidden, false));
            let norm = part("k_norm");
            let key_norm = Norm {
                kind: NormKind::Layer,
                weights: vec![format!("{norm}.weight")],
                bias: Some(format!("{norm}.bias")),
                size: head_dim,
                epsilon,
                ..latent.latent_norm.clone()
            };
            let rope = latent.rope.clone().map(|rope| Rope { traditional, ..rope });
            let choice = spec::Choice::Positions { count };
            latent.indexer =
                Some(Indexer { heads, head_dim, query_norm: None, key_norm: Some(key_norm), rope, choice });
        }
        spec.ignored.push(format!("model.layers.{}.", spec.layers.len()));
        Ok(spec)
    })
}

/// GLM 5: DeepSeek 3.2 with its rotary embedding described elsewhere.
pub(super) fn glm_sparse(config: &Config) -> Result<Spec> {
    let Some(parameters) = config.object("rope_parameters")? else {
        return Err(config.wrong("rope_parameters", "an object"));
    };
    let theta = parameters.f64("rope_theta", 1.001..=1e15)?;
    let forced = json!({"rope_scaling": config.get("rope_parameters"), "rope_theta": theta});
    config.with(json!({"indexer_rope_interleave": true}), forced, sparse)
}

/// Mistral 4: queries that grow with their position, a softmax from the best groups of experts.
pub(super) fn mistral4(config: &Config) -> Result<Spec> {
    let Some(parameters) = config.object("rope_parameters")? else {
        return Err(config.wrong("rope_parameters", "an object"));
    };
    let growth = QueryGrowth {
        beta: parameters.f64("llama_4_scaling_beta", 0.0..=1e6)? as f32,
        original: parameters.usize("original_max_position_embeddings", 1..=blocks::MAX_CONTEXT)?,
        shift: 0,
    };
    let theta = rope::theta_or(&parameters, "rope_theta", 100_000.0)?;
    let forced = json!({"rope_scaling": config.get("rope_parameters"), "rope_theta": theta});
    let mut spec = config.with(Value::Null, forced, |config| {
        let tied = config.bool_or("tie_word_embeddings", false)?;
        mixture_with(config, true, false, tied, grouped_softmax, 131_072, Some(1e-6))
    })?;
    let traditional = config.bool_or("rope_interleave", true)?;
    for layer in &mut spec.layers {
        if let Mixer::Latent(latent) = &mut layer.mixer {
            latent.query_growth = Some(growth);
            latent.rope.iter_mut().for_each(|rope| rope.traditional = traditional);
        }
    }
    Ok(spec)
}

/// The softmax of Mistral 4, from the best groups.
fn grouped_softmax(config: &Config, count: usize) -> Result<Routing> {
    let keys = ["num_experts_per_tok", "n_group", "topk_group", "norm_topk_prob"];
    let routing = grouped_sigmoid(config, count, keys)?;
    let normalize = config.bool("norm_topk_prob")?.then_some(1e-20);
    Ok(Routing { score: Score::Softmax, normalize, ..routing })
}

/// GLM 4.7 Flash.
pub(super) fn glm_lite(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 154_880, "hidden_size": 2048, "intermediate_size": 10_240, "moe_intermediate_size": 1536,
        "num_hidden_layers": 47, "num_attention_heads": 20, "num_key_value_heads": 20, "n_shared_experts": 1,
        "n_routed_experts": 64, "routed_scaling_factor": 1.8, "kv_lora_rank": 512, "q_lora_rank": 768,
        "qk_rope_head_dim": 64, "qk_nope_head_dim": 192, "v_head_dim": 256, "num_experts_per_tok": 4,
        "first_k_dense_replace": 1, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
    });
    config.with_defaults(defaults, |config| {
        let mut spec = mixture(config, true, corrected_sigmoid, 202_752, None)?;
        spec.ignored.push(format!("model.layers.{}.", spec.layers.len()));
        Ok(spec)
    })
}

/// DeepSeek 2 and Coder 2.
pub(super) fn second(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 102_400, "hidden_size": 4096, "intermediate_size": 11_008, "moe_intermediate_size": 1407,
        "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 32, "kv_lora_rank": 512,
        "q_lora_rank": 1536, "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128, "rms_norm_eps": 1e-6,
    });
    config.with_defaults(defaults, |config| mixture(config, false, greedy, 2048, Some(1e-6)))
}

/// The softmax of DeepSeek 2, of all experts or of the groups with the best one.
fn greedy(config: &Config, count: usize) -> Result<Routing> {
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let scale = config.f64_or("routed_scaling_factor", 1.0, 1e-6..=1e6)? as f32;
    if config.bool_or("norm_topk_prob", false)? {
        return Err(config.unsupported("norm_topk_prob", "is not supported for this model_type"));
    }
    let groups = match config.string("topk_method")? {
        Some("group_limited_greedy") => {
            let groups = config.usize("n_group", 1..=count)?;
            let chosen = config.usize("topk_group", 1..=groups)?;
            if !count.is_multiple_of(groups) || count / groups * chosen < top_k {
                return Err(config.corrupt("n_group", format_args!("does not fit {count} experts")));
            }
            (chosen < groups).then_some(Groups { count: groups, chosen, best: 1, strict: false })
        }
        None | Some("gready" | "greedy") => None,
        Some(_) => {
            return Err(config.unsupported("topk_method", "is not supported; greedy and group_limited_greedy are"));
        }
    };
    Ok(Routing { groups, scale, ..Choice::softmax(top_k) })
}

/// A decoder of latent attention whose later layers have experts. The norms of the compressed vectors have an epsilon of
/// their own, or that of all norms.
fn mixture(
    config: &Config,
    absorbed: bool,
    routing: fn(&Config, usize) -> Result<Routing>,
    context: usize,
    latent_epsilon: Option<f32>,
) -> Result<Spec> {
    mixture_with(config, absorbed, absorbed, false, routing, context, latent_epsilon)
}

/// The same with a head that may be the embedding table; `corrected` where experts have a correction.
fn mixture_with(
    config: &Config,
    absorbed: bool,
    corrected: bool,
    tied: bool,
    routing: fn(&Config, usize) -> Result<Routing>,
    context: usize,
    latent_epsilon: Option<f32>,
) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, context)?;
    let mut latent = Latent::read(config, &sizes, context, true)?;
    latent.epsilon = latent_epsilon.unwrap_or(sizes.epsilon);
    blocks::silu(config)?;
    let moe = match config.optional_usize("n_routed_experts", 1..=experts::MAX)? {
        Some(count) => Some((count, routing(config, count)?)),
        None => None,
    };
    let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
    let shared = config.optional_usize("n_shared_experts", 0..=256)?.unwrap_or(0);
    let first = config.usize_or("first_k_dense_replace", 0, 0..=1 << 16)?;
    let every = config.usize_or("moe_layer_freq", 1, 1..=1 << 16)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let ffn: Ffn = match &moe {
            Some((count, routing)) if i >= first && i.is_multiple_of(every) => {
                let correction = corrected.then(|| name(i, "mlp.gate.e_score_correction_bias"));
                let mut moe = sizes.moe(i, "mlp", *count, width, false, Routing { correction, ..routing.clone() });
                if shared > 0 {
                    let name = name(i, "mlp.shared_experts");
                    moe.shared = Some(sizes.mlp_of(name, width * shared, false, Activation::Silu).into());
                }
                moe.into()
            }
            _ => sizes.split_mlp(i, false, Activation::Silu).into(),
        };
        latent.layer(&sizes, i, absorbed, ffn)
    })
}

/// MiniCPM 3: dense, with scaled embeddings, residuals and logits.
pub(super) fn minicpm3(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let context = blocks::context_length(config, 32_768)?;
    if config.object("rope_scaling")?.is_none() {
        return Err(config.wrong("rope_scaling", "an object"));
    }
    let value = json!({"v_head_dim": sizes.hidden / sizes.heads, "rope_theta": config.f64_or("rope_theta", 1e6, 1.001..=1e15)?});
    let mut latent = config.with(Value::Null, value, |config| Latent::read(config, &sizes, context, false))?;
    // mlx-lm's default, whatever the configuration says.
    latent.epsilon = 1e-5;
    blocks::silu(config)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
        latent.layer(&sizes, i, false, sizes.split_mlp(i, false, Activation::Silu).into())
    })?;
    let depth = config.f64("scale_depth", 1e-9..=1e9)? / (sizes.layers as f64).sqrt();
    spec.layers.iter_mut().for_each(|layer| layer.residual_scale = depth as f32);
    spec.embedding_scale = config.f64("scale_emb", 1e-9..=1e9)? as f32;
    let base = config.usize("dim_model_base", 1..=1 << 20)?;
    spec.logit_scale = if tied { 1.0 } else { (base as f64 / sizes.hidden as f64) as f32 };
    Ok(spec)
}

/// Youtu-LLM: dense.
pub(super) fn youtu(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 32,
        "num_attention_heads": 16, "num_key_value_heads": 16, "kv_lora_rank": 512, "qk_rope_head_dim": 64,
        "v_head_dim": 128, "qk_nope_head_dim": 128, "rms_norm_eps": 1e-6, "rope_theta": 1_600_000.0,
    });
    config.with_defaults(defaults, |config| {
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 131_072)?;
        let mut latent = Latent::read(config, &sizes, context, false)?;
        let traditional = config.bool_or("rope_traditional", true)?;
        latent.rope.iter_mut().for_each(|rope| rope.traditional = traditional);
        let activation = blocks::silu(config)?;
        let bias = config.bool_or("mlp_bias", false)?;
        let tied = config.bool_or("tie_word_embeddings", true)?;
        blocks::decoder(config, &sizes, context, tied, |i| {
            latent.layer(&sizes, i, false, sizes.split_mlp(i, bias, activation).into())
        })
    })
}

/// Kimi VL and K2.5: the text part of models that also see.
pub(super) fn multimodal(config: &Config) -> Result<Spec> {
    let mut spec = wrapper::text_part(config, Value::Null, None, "language_model.", third)?;
    spec.ignored.push("mm_projector.".into());
    Ok(spec)
}

/// Sizes of latent attention.
pub(super) struct Latent {
    pub heads: usize,
    pub rotated: usize,
    pub plain: usize,
    pub value: usize,
    pub latent: usize,
    pub short: Option<usize>,
    pub bias: bool,
    /// Of scores.
    pub scale: f64,
    pub epsilon: f32,
    /// None where nothing is rotated.
    pub rope: Option<Rope>,
}

impl Latent {
    /// `scaled` families multiply the scores by the square of yarn's magnitude.
    pub fn read(config: &Config, sizes: &Sizes, context: usize, scaled: bool) -> Result<Self> {
        let latent = Self::unrotated(config, sizes)?;
        let base = Base { dims: latent.rotated, traditional: true, theta: Some(10_000.0), context };
        let mut scale = latent.scale;
        let scaling = rope::scaling(config)?;
        if let Some(scaling) = scaling.filter(|_| scaled) {
            let all = scaling.f64_or("mscale_all_dim", 0.0, 0.0..=1e6)?;
            let factor = scaling.f64_or("factor", 1.0, 1e-6..=1e6)?;
            if all > 0.0 && factor > 1.0 {
                scale *= (0.1 * all * factor.ln() + 1.0).powi(2);
            }
        }
        Ok(Self { scale, rope: Some(rope::rope(config, &base)?), ..latent })
    }

    /// The same without a rotation.
    pub fn unrotated(config: &Config, sizes: &Sizes) -> Result<Self> {
        let width = |key| config.usize(key, 1..=MAX_HEAD_DIM);
        let (rotated, plain) = (width("qk_rope_head_dim")?, width("qk_nope_head_dim")?);
        Ok(Self {
            heads: sizes.heads,
            rotated,
            plain,
            value: width("v_head_dim")?,
            latent: config.usize("kv_lora_rank", 1..=MAX_HIDDEN)?,
            short: config.optional_usize("q_lora_rank", 1..=MAX_HIDDEN)?,
            bias: config.bool_or("attention_bias", false)?,
            scale: ((rotated + plain) as f64).powf(-0.5),
            epsilon: sizes.epsilon,
            rope: None,
        })
    }

    /// A layer of it, with its tensors as they are when compressed vectors are kept (`absorbed`), or as a first version had
    /// them.
    pub fn layer(&self, sizes: &Sizes, i: usize, absorbed: bool, ffn: Ffn) -> Layer {
        let Self { heads, rotated, plain, value, latent, short, bias, scale, .. } = *self;
        let part = |part, outputs, inputs, bias| linear(attention_name(i, part), outputs, inputs, bias);
        let norm = |part, size| Norm { epsilon: self.epsilon, ..sizes.norm_of(attention_name(i, part), size) };
        let query_rows = heads * (plain + rotated);
        // Tensors have the parts of a head side by side.
        let query = |whole: Linear| {
            [pieces(&whole, heads, plain + rotated, plain, rotated), pieces(&whole, heads, plain + rotated, 0, plain)]
                .concat()
        };
        let compressed = part("kv_a_proj_with_mqa", latent + rotated, sizes.hidden, bias);
        let (mut input, query) = match short {
            Some(width) => {
                let whole = part("q_b_proj", query_rows, width, false);
                let query = LatentQuery { width, norm: norm("q_a_layernorm", width), linear: query(whole) };
                (vec![part("q_a_proj", width, sizes.hidden, bias)], Some(query))
            }
            None => (query(part("q_proj", query_rows, sizes.hidden, false)), None),
        };
        input.push(compressed);
        let stacked = |part, outputs, inputs| Linear {
            experts: Some(heads),
            ..linear(attention_name(i, part), outputs, inputs, false)
        };
        let expansion = if absorbed {
            Expansion::Absorbed {
                queries: stacked("embed_q", latent, plain),
                values: stacked("unembed_out", value, latent),
            }
        } else {
            let whole = part("kv_b_proj", heads * (plain + value), latent, false);
            let keys = pieces(&whole, heads, plain + value, 0, plain);
            Expansion::Full([keys, pieces(&whole, heads, plain + value, plain, value)].concat())
        };
        let attention = LatentAttention {
            heads,
            rotated,
            plain,
            value,
            latent,
            scale: scale as f32,
            input,
            query,
            latent_norm: norm("kv_a_layernorm", latent),
            expansion,
            rope: self.rope.clone(),
            query_growth: None,
            gates: 0,
            indexer: None,
            output: part("o_proj", sizes.hidden, heads * value, bias),
        };
        sizes.layer_with(i, Mixer::Latent(Box::new(attention)), ffn)
    }
}

/// For each head some rows of a tensor that has `stride` rows a head.
fn pieces(whole: &Linear, heads: usize, stride: usize, at: usize, outputs: usize) -> Vec<Linear> {
    let piece = |head| Linear { outputs, part: Some((head * stride + at, whole.outputs)), ..whole.clone() };
    (0..heads).map(piece).collect()
}
