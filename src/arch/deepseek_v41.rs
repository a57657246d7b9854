//! DeepSeek 4.1: hyper-connections, a window beside chosen entries of compressed positions, experts.

mod sources;

use serde_json::{Map, Value, json};

use super::blocks::{
    self, Keys, MAX_CONTEXT, MAX_HEAD_DIM, MAX_HEADS, MAX_HIDDEN, MAX_INTERMEDIATE, Sizes, attention_name, linear, name,
};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope::{self, Base};
use super::spec::{
    Activation, CompressedAttention, Compressor, EntryIndexer, EntryKeys, HyperConnection, HyperMixing, LatentQuery,
    Layer, Linear, Mixer, Mlp, Norm, Rope, Routing, Score, Spec,
};
use super::wrapper;
use crate::error::Result;
use sources::Sources;

/// The text part, or a configuration of it alone.
pub(super) fn spec(config: &Config) -> Result<Spec> {
    let mut spec = match config.object("text_config")? {
        Some(_) => wrapper::text_part(config, Value::Null, None, "", text)?,
        None => text(config)?,
    };
    spec.ignored.push("mtp.".into());
    Ok(spec)
}

fn text(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 129_280, "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 64,
        "head_dim": 512, "moe_intermediate_size": 2304, "rms_norm_eps": 1e-20,
    });
    config.with_defaults(defaults, decoder)
}

fn decoder(config: &Config) -> Result<Spec> {
    if config.usizes("engram_layer_ids", 0..=1 << 20)?.is_some_and(|layers| !layers.is_empty()) {
        return Err(config.unsupported("engram_layer_ids", "is not supported: n-grams that attention reads"));
    }
    let sizes = Sizes::read_as(config, &Keys { intermediate: "moe_intermediate_size", ..Keys::STANDARD })?;
    let context = blocks::context_length(config, 1 << 20)?;
    let attention = Attention::read(config, &sizes, context)?;
    let sources = Sources::all(config, &sizes)?;
    let hyper = Hyper::read(config)?;
    let experts = Experts::read(config)?;
    let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
        let mixer = Mixer::Compressed(Box::new(attention.layer(&sizes, i, &sources[i])));
        let ffn = experts.layer(&sizes, i);
        let hyper = ["attn_hc", "ffn_hc"].map(|part| hyper.connection(&sizes, i, part));
        Layer { hyper: Some(Box::new(hyper)), ..sizes.layer_with(i, mixer, ffn) }
    })?;
    spec.hyper_streams = Some(hyper.0.streams);
    Ok(spec)
}

/// Hyper-connections.
struct Hyper(HyperMixing);

impl Hyper {
    fn read(config: &Config) -> Result<Self> {
        Ok(Self(HyperMixing {
            streams: config.usize_or("hc_mult", 4, 1..=16)?,
            // The first time is taken in any case.
            iterations: config.usize_or("hc_sinkhorn_iters", 20, 0..=1000)?.max(1),
            epsilon: config.f64_or("hc_eps", 1e-6, 0.0..=1.0)? as f32,
        }))
    }

    fn connection(&self, sizes: &Sizes, i: usize, part: &str) -> HyperConnection {
        let (mixing, of) = (self.0, |leaf| name(i, &format!("{part}.{leaf}")));
        let width = mixing.streams * sizes.hidden;
        HyperConnection {
            norm: sizes.bare_norm(width),
            mixture: Linear { bare: true, ..linear(of("fn"), mixing.inputs(), width, false) },
            base: of("base"),
            scale: of("scale"),
            mixing,
        }
    }
}

/// The experts of all layers.
struct Experts {
    count: usize,
    routing: Routing,
    activation: Activation,
}

impl Experts {
    fn read(config: &Config) -> Result<Self> {
        let count = config.usize_or("n_routed_experts", 384, 1..=experts::MAX)?;
        let top_k = config.usize_or("num_experts_per_tok", 6, 1..=count)?;
        let score = match config.string("scoring_func")? {
            None | Some("sqrtsoftplus") => Score::SqrtSoftplus,
            Some("sigmoid") => Score::Sigmoid,
            Some("softmax") => Score::Softmax,
            Some(_) => {
                let known = "is not supported; sqrtsoftplus, sigmoid and softmax are";
                return Err(config.unsupported("scoring_func", known));
            }
        };
        let normalize = (config.bool_or("norm_topk_prob", true)? && top_k > 1).then_some(1e-20);
        let limit = config.f64_or("swiglu_limit", 10.0, -1e6..=1e6)? as f32;
        Ok(Self {
            count,
            routing: Routing {
                temperature: config.f64_or("gate_temp", 1.0, 1e-6..=1e6)? as f32,
                score,
                normalize,
                scale: config.f64_or("routed_scaling_factor", 1.5, 1e-6..=1e6)? as f32,
                ..Choice::softmax(top_k)
            },
            activation: if limit > 0.0 { Activation::ClampedSwiglu { limit } } else { Activation::Silu },
        })
    }

    fn layer(&self, sizes: &Sizes, i: usize) -> super::spec::Moe {
        let correction = Some(name(i, "mlp.gate.e_score_correction_bias"));
        let routing = Routing { correction, ..self.routing.clone() };
        let mut moe = sizes.moe(i, "mlp.experts", self.count, sizes.intermediate, false, routing);
        moe.router = linear(name(i, "mlp.gate"), self.count, sizes.hidden, false);
        moe.mlp = Mlp { activation: self.activation, ..moe.mlp };
        let shared = sizes.mlp_of(name(i, "mlp.shared_experts"), sizes.intermediate, false, self.activation);
        moe.shared = Some(shared.into());
        moe
    }
}

/// What the attention of all layers has in common.
struct Attention {
    short: usize,
    rotated: usize,
    window: usize,
    groups: usize,
    rank: usize,
    index_heads: usize,
    index_dim: usize,
    index_count: usize,
    /// Of layers with the window alone, and of others.
    ropes: [Rope; 2],
}

impl Attention {
    fn read(config: &Config, sizes: &Sizes, context: usize) -> Result<Self> {
        let rotated = config.usize_or("qk_rope_head_dim", 64, 2..=sizes.head_dim)?;
        let groups = config.usize_or("o_groups", 8, 1..=MAX_HEADS)?;
        if !sizes.query_width().is_multiple_of(groups) {
            return Err(config.corrupt("o_groups", format_args!("does not divide {}", sizes.query_width())));
        }
        Ok(Self {
            short: config.usize_or("q_lora_rank", 1280, 1..=MAX_HIDDEN)?,
            rotated,
            window: config.usize_or("sliding_window", 128, 1..=MAX_CONTEXT)?,
            groups,
            rank: config.usize_or("o_lora_rank", 1024, 1..=MAX_INTERMEDIATE)?,
            index_heads: config.usize_or("index_n_heads", 32, 1..=MAX_HEADS)?,
            index_dim: config.usize_or("index_head_dim", 128, rotated..=MAX_HEAD_DIM)?,
            index_count: config.usize_or("index_topk", 512, 1..=MAX_CONTEXT)?,
            ropes: ropes(config, rotated, context)?,
        })
    }

    fn layer(&self, sizes: &Sizes, i: usize, sources: &Sources) -> CompressedAttention {
        let (heads, head_dim, hidden) = (sizes.heads, sizes.head_dim, sizes.hidden);
        let part = |part: &str, outputs, inputs| linear(attention_name(i, part), outputs, inputs, false);
        let norm = |part: &str, size| -> Norm { sizes.norm_of(attention_name(i, part), size) };
        // Where groups don't divide a width, mlx-lm leaves numbers as they are.
        let rounded = |width: usize, group: usize, rounding| width.is_multiple_of(group).then_some(rounding);
        let mut input = vec![part("q_a_proj", self.short, hidden), part("kv_proj", head_dim, hidden)];
        let mut queries = vec![part("q_b_proj", heads * head_dim, self.short)];
        let compressor = sources.makes_entries.then(|| {
            input.push(part("compressor.kv_proj", head_dim, hidden));
            if sources.ratio > 1 {
                input.push(part("compressor.gate_proj", head_dim, hidden));
            }
            let rounding = rounded(head_dim, 16, Activation::Float4 { group: 16, fine: true });
            Compressor { ratio: sources.ratio, norm: norm("compressor.kv_norm", head_dim), rounding }
        });
        let indexer = sources.indexer.map(|(keys_of, candidates)| {
            let (heads, width) = (self.index_heads, self.index_dim);
            input.push(part("indexer.weights_proj", heads, hidden));
            queries.push(part("indexer.q_b_proj", heads * width, self.short));
            let keys = (keys_of == i).then(|| EntryKeys {
                projection: part("indexer.k_proj", width, head_dim),
                norm: norm("indexer.k_norm", width),
            });
            EntryIndexer {
                heads,
                head_dim: width,
                rounding: rounded(width, 32, Activation::Float4 { group: 32, fine: false }),
                keys,
                keys_of,
                ratio: sources.ratio,
                count: self.index_count,
                candidates,
            }
        });
        let inputs = heads * head_dim / self.groups;
        CompressedAttention {
            heads,
            head_dim,
            rotated: self.rotated,
            scale: (head_dim as f64).powf(-0.5) as f32,
            window: self.window,
            input,
            query: LatentQuery { width: self.short, norm: norm("q_a_norm", self.short), linear: queries },
            key_norm: norm("kv_norm", head_dim),
            key_rounding: rounded(head_dim, 32, Activation::Float8 { group: 32 }),
            sinks: attention_name(i, "sinks"),
            rope: self.ropes[usize::from(sources.ratio > 0)].clone(),
            compressor,
            indexer,
            far: sources.far,
            groups: Linear { experts: Some(self.groups), ..part("o_a_proj", self.rank, inputs) },
            output: part("o_b_proj", hidden, self.groups * self.rank),
        }
    }
}

/// The rotation of layers with the window alone, and that of others, which is scaled by YaRN without a magnitude.
fn ropes(config: &Config, rotated: usize, context: usize) -> Result<[Rope; 2]> {
    let plain = rope::local(config, rotated, true, rope::theta_or(config, "rope_theta", 10_000.0)?)?;
    let theta = rope::theta_or(config, "compress_rope_theta", 160_000.0)?;
    let Some(scaling) = config.object("rope_scaling")? else {
        if config.object("rope_parameters")?.is_some() {
            return Err(config.unsupported("rope_parameters", "is not supported for this model_type"));
        }
        return Ok([plain, rope::plain(config, rotated, true, theta)?]);
    };
    if !matches!(rope::kind(config)?, "yarn" | "deepseek_yarn" | "default") {
        return Err(scaling.unsupported("type", "is not supported for this model_type; yarn is"));
    }
    let mut known: Map<String, Value> = scaling.entries().map(|(key, value)| (key.into(), value.clone())).collect();
    known.entry("factor").or_insert(json!(1.0));
    known.entry("original_max_position_embeddings").or_insert(json!(context));
    known.extend(
        [("type", json!("yarn")), ("mscale", json!(0)), ("mscale_all_dim", json!(0))].map(|(k, v)| (k.into(), v)),
    );
    let base = Base { dims: rotated, traditional: true, theta: None, context };
    let scaled = config.with(Value::Null, json!({ "rope_scaling": known }), |config| {
        rope::scaled(config, rope::scaling(config)?.as_ref(), &base, theta)
    })?;
    Ok([plain, scaled])
}
