//! Muse Spark: gated attention with norms of all heads, narrow experts of which each is normed, and a residual stream
//! whose numbers are weighed column by column before a block's output is added.

use serde_json::{Value, json};

use super::blocks::{self, Keys, MAX_HIDDEN, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope;
use super::spec::{
    Attention, Gate, Layer, Linear, Moe, Narrowing, Norm, Quantization, QuantizationFormat, QuantizationMode, Routing,
    Spec,
};
use super::wrapper;
use crate::error::Result;

/// Ends of an answer where config.json names none: the end of a turn, not that of a message.
const ENDS: [u32; 2] = [200_001, 200_008];

/// The text part of a model that also sees.
pub(super) fn spec(config: &Config) -> Result<Spec> {
    let published = published_format(config)?;
    let read = |config: &Config| wrapper::text_part(config, Value::Null, None, "", text);
    let mut spec = match &published {
        Some(_) => config.with(Value::Null, json!({"quantization_config": null}), read)?,
        None => read(config)?,
    };
    spec.quantization = published.or(spec.quantization);
    // Scales of activations, which stay floats, and other parts of the model.
    spec.ignored.extend(["proj_input_scale", "vision_adapter.", "vision_projection."].map(String::from));
    if spec.eos_ids.is_empty() {
        spec.eos_ids = ENDS.into();
    }
    Ok(spec)
}

/// The format of experts as the model's makers publish them. They are to be converted: names and tensors are others.
fn published_format(config: &Config) -> Result<Option<Quantization>> {
    const FORMAT: &str = "quant_algo";
    let Some(settings) = config.object("quantization_config")? else { return Ok(None) };
    if config.get("quantization").is_some() || settings.string("quant_method")? != Some("modelopt") {
        return Ok(None);
    }
    if settings.string(FORMAT)? != Some("NVFP4") {
        return Err(settings.unsupported(FORMAT, "is not supported; NVFP4 is"));
    }
    let usual = QuantizationFormat::usual(QuantizationMode::Nvfp4);
    if settings.usize_or("group_size", usual.group_size, 0..=usize::MAX)? != usual.group_size {
        return Err(settings.unsupported("group_size", "is not supported; 16 is"));
    }
    let (overrides, rotations, global_scales) = Default::default();
    Ok(Some(Quantization { default: Some(usual), overrides, rotations, global_scales }))
}

fn text(config: &Config) -> Result<Spec> {
    refuse_dense(config)?;
    let sizes = Sizes::read_as(config, &Keys { intermediate: "", ..Keys::STANDARD })?;
    let context = blocks::context_length(config, 131_072)?;
    let Some(parameters) = config.object("rope_parameters")? else {
        return Err(config.wrong("rope_parameters", "an object"));
    };
    let rope = rope::plain(config, sizes.head_dim, true, parameters.f64("rope_theta", 1.001..=1e15)?)?;
    const BASES: &str = "layer_rope_theta";
    let bases = config.f64s(BASES, 0.0..=1e15)?.filter(|bases| bases.len() == sizes.layers);
    let Some(bases) = bases else {
        return Err(config.wrong(BASES, format_args!("a number for each of {} layers", sizes.layers)));
    };
    let Some(windows) = blocks::layer_windows(config, sizes.layers)? else {
        return Err(config.wrong("layer_types", "there"));
    };
    if config.bool_or("tie_word_embeddings", false)? {
        return Err(config.unsupported("tie_word_embeddings", "is not supported; false is"));
    }
    let post = config.f64("post_norm_eps", 0.0..=1.0)? as f32;
    let scale = config.f64_or("qk_scale_factor", 5.473_006_486_387_5, 1e-6..=1e6)? / (sizes.head_dim as f64).sqrt();
    let multiplier = config.f64("output_multiplier", 1e-9..=1e9)?;
    let experts = Experts::read(config, multiplier, post)?;
    let spec = blocks::decoder(config, &sizes, context, false, |i| {
        // The factors of a block's output are the weights of the norm before it is added.
        let factors = |of: &str| name(i, &format!("add_{of}"));
        let post_norm = |of: &str| Norm {
            weights: vec![factors(&format!("{of}_beta"))],
            epsilon: post,
            ..sizes.bare_norm(sizes.hidden)
        };
        let head_norm = || Some(sizes.bare_norm(sizes.head_dim));
        let width = 2 * (sizes.query_width() + sizes.key_width());
        let qkvg = linear(attention_name(i, "qkvg_proj"), width, sizes.hidden, false);
        let attention = Attention {
            scale: scale as f32,
            query_norm: head_norm(),
            key_norm: head_norm(),
            output_norm: head_norm().map(Box::new),
            window: windows[i],
            gate: Some(Gate::Sigmoid),
            ..sizes.attention(i, vec![qkvg], false, (bases[i] != 0.0).then_some(&rope))
        };
        Layer {
            mixer_post_norm: Some(post_norm("attn")),
            ffn_norm: Some(sizes.layer_norm(i, "pre_feedforward_layernorm")),
            ffn_post_norm: Some(Norm { input: Some(name(i, "post_feedforward_layernorm.weight")), ..post_norm("ffn") }),
            stream_factors: Some(Box::new([factors("attn_alpha"), factors("ffn_alpha")])),
            ..sizes.layer(i, attention, experts.layer(&sizes, i))
        }
    })?;
    let spec = Spec {
        embedding_norm: Some(sizes.bare_norm(sizes.hidden)),
        wide_stream: true,
        logit_scale: multiplier as f32,
        logit_softcap: Some(config.f64("final_logit_softcapping", 1e-3..=1e6)? as f32),
        ..spec
    };
    Ok(spec.renamed(&[("model.", "model.language_model."), (".switch_mlp.", ".experts.")]))
}

/// Fails where layers are dense, or have an expert for all rows.
fn refuse_dense(config: &Config) -> Result<()> {
    const SHARED: &str = "num_shared_experts";
    const KINDS: &str = "mlp_layer_types";
    if config.optional_usize(SHARED, 0..=4096)?.is_some_and(|shared| shared > 0) {
        return Err(config.unsupported(SHARED, "is not supported; 0 is"));
    }
    match config.strings(KINDS)?.and_then(|kinds| kinds.into_iter().find(|kind| *kind != "sparse")) {
        Some(other) => {
            Err(config.unsupported(KINDS, format_args!("names {other:?}, which is not supported; sparse is")))
        }
        None => Ok(()),
    }
}

/// What all layers have in common.
struct Experts {
    count: usize,
    width: usize,
    narrow: usize,
    routing: Routing,
    /// Of the norm of what an expert gives.
    epsilon: f32,
}

impl Experts {
    fn read(config: &Config, multiplier: f64, epsilon: f32) -> Result<Self> {
        blocks::silu(config)?;
        let count = config.usize("num_local_experts", 1..=experts::MAX)?;
        let top_k = config.usize("num_experts_per_tok", 1..=count)?;
        Ok(Self {
            count,
            width: config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?,
            narrow: config.usize("moe_hidden_size", 1..=MAX_HIDDEN)?,
            routing: Routing {
                temperature: (1.0 / multiplier) as f32,
                normalize: Some(1e-15),
                scale: config.f64_or("routed_scaling_factor", 1.0, 1e-6..=1e6)? as f32,
                ..Choice::sigmoid(top_k, None, None)
            },
            epsilon,
        })
    }

    fn layer(&self, sizes: &Sizes, i: usize) -> Moe {
        let part = |part: &str| name(i, &format!("mlp.{part}"));
        let narrow = Sizes { hidden: self.narrow, ..sizes.clone() };
        let correction = Some(part("gate.e_score_correction_bias"));
        let routing = Routing { correction, ..self.routing.clone() };
        let moe = narrow.moe(i, "mlp", self.count, self.width, false, routing);
        Moe {
            router: Linear { inputs: sizes.hidden, ..moe.router },
            wide_router: true,
            narrowing: Some(Narrowing {
                down: linear(part("pre_expert_proj"), self.narrow, sizes.hidden, false),
                norm: None,
                up: linear(part("post_expert_proj"), sizes.hidden, self.narrow, false),
            }),
            norm: Some(narrow.norm(part("pre_expert_norm"))),
            expert_norm: Some(Norm {
                input: Some(part("experts.post_expert_norm.weight")),
                epsilon: self.epsilon,
                ..narrow.bare_norm(self.narrow)
            }),
            ..moe
        }
    }
}
