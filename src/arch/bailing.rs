//! Ling's and Ring's later generations, with linear attention in most layers: Ring Linear, Bailing Hybrid (2.5), and V3,
//! whose layers are delta nets with a decay for each column.

use serde_json::json;

use super::blocks::{self, MAX_INTERMEDIATE, MAX_LAYERS, Sizes, attention_name, linear, name};
use super::config::Config;
use super::deepseek::Latent;
use super::experts;
use super::moe::grouped_sigmoid;
use super::rope::{self, Base};
use super::spec::{
    Activation, Attention, Conv, Ffn, GatedDelta, LinearAttention, Mixer, Norm, Rope, Routing, Score, Spec,
};
use crate::error::Result;

/// Ring Linear: one layer of each group has ordinary attention.
pub(super) fn linear_moe(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let lightning = Lightning::read(
        config,
        &sizes.clone().with_even_heads(config)?,
        config.bool_or("rope_traditional", false)?,
        1,
    )?;
    let moe = Experts::read(config, 4, Generation::Linear)?;
    let attends = attending(config, sizes.layers)?;
    let (bias, qkv_bias) = (config.bool_or("use_bias", false)?, config.bool_or("use_qkv_bias", false)?);
    if config.bool_or("norm_head", false)? {
        return Err(config.unsupported("norm_head", "is not supported"));
    }
    let context = blocks::context_length(config, 131_072)?;
    let normed = config.bool_or("use_qk_norm", false)?;
    let rope = hybrid_rope(config, sizes.head_dim, config.bool_or("rope_traditional", false)?, 1.0)?;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let ffn = moe.block(&sizes, i);
        if !attends[i] {
            return sizes.layer_with(i, Mixer::Linear(Box::new(lightning.mixer(i, sizes.layers, qkv_bias, bias))), ffn);
        }
        let norm = |part| normed.then(|| sizes.norm_of(attention_name(i, part), sizes.head_dim));
        let mut qkv = sizes.fused_qkv(i, qkv_bias);
        qkv[0].name = attention_name(i, "query_key_value");
        let attention = Attention {
            query_norm: norm("query_layernorm"),
            key_norm: norm("key_layernorm"),
            ..sizes.attention(i, qkv, bias, &rope)
        };
        sizes.layer(i, attention, ffn)
    })?;
    Ok(renamed(spec))
}

/// Bailing Hybrid: one layer of each group has latent attention.
pub(super) fn hybrid(config: &Config) -> Result<Spec> {
    let sizes = Sizes::read(config)?;
    let lightning = config.with_defaults(json!({"partial_rotary_factor": 0.5, "use_qk_norm": true}), |config| {
        Lightning::read(config, &sizes, false, 0)
    })?;
    let moe = Experts::read(config, 1, Generation::Hybrid)?;
    let attends = attending(config, sizes.layers)?;
    let (bias, qkv_bias) = (config.bool_or("use_bias", false)?, config.bool_or("use_qkv_bias", false)?);
    let context = blocks::context_length(config, 131_072)?;
    let forced = json!({"attention_bias": qkv_bias});
    let mut latent = config.with(json!(null), forced, |config| Latent::read(config, &sizes, context, true))?;
    let traditional = config.bool_or("rope_interleave", true)?;
    latent.rope.iter_mut().for_each(|rope| rope.traditional = traditional);
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
        let ffn = moe.block(&sizes, i);
        match attends[i] {
            true => latent.layer(&sizes, i, true, ffn),
            false => {
                let mixer = lightning.mixer(i, sizes.layers, qkv_bias, bias);
                sizes.layer_with(i, Mixer::Linear(Box::new(mixer)), ffn)
            }
        }
    })?;
    spec.ignored.push(format!("model.layers.{}.", sizes.layers));
    Ok(renamed(spec))
}

/// Bailing V3: one layer of each group has latent attention, gated head by head.
pub(super) fn third(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 157_184, "hidden_size": 1536, "intermediate_size": 4608, "moe_intermediate_size": 512,
        "moe_shared_expert_intermediate_size": 512, "num_hidden_layers": 24, "num_attention_heads": 16,
        "num_experts": 128, "num_experts_per_tok": 8, "num_shared_experts": 1, "first_k_dense_replace": 1,
        "n_group": 8, "topk_group": 4, "routed_scaling_factor": 2.5, "layer_group_size": 4, "head_dim": 128,
        "q_lora_rank": 256, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "rms_norm_eps": 1e-6, "rope_theta": 6e6,
    });
    let forced = json!({
        "num_key_value_heads": null, "attention_bias": false, "score_function": "sigmoid", "norm_topk_prob": true,
        "moe_router_enable_expert_bias": true,
    });
    config.with(defaults, forced, |config| {
        for (key, only) in [("rope_interleave", true), ("no_kda_lora", true), ("kda_safe_gate", true)] {
            if config.bool_or(key, only)? != only {
                return Err(config.unsupported(key, format_args!("is not supported; {only} is")));
            }
        }
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 131_072)?;
        let moe = Experts::read(config, 4, Generation::Third)?;
        let attends = attending(config, sizes.layers)?;
        let latent = Latent::read(config, &sizes, context, true)?;
        let lowest = config.f64_or("kda_lower_bound", -5.0, -1e6..=0.0)? as f32;
        let conv = config.usize_or("short_conv_kernel_size", 4, 2..=64)?;
        let tied = config.bool_or("tie_word_embeddings", false)?;
        let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
            let ffn = moe.block(&sizes, i);
            if !attends[i] {
                return sizes.layer_with(i, Mixer::GatedDelta(delta(&sizes, i, conv, lowest)), ffn);
            }
            let mut layer = latent.layer(&sizes, i, true, ffn);
            if let Mixer::Latent(latent) = &mut layer.mixer {
                latent.gate(linear(attention_name(i, "g_proj"), sizes.heads, sizes.hidden, false));
            }
            layer
        })?;
        // Layers that predict further tokens.
        spec.ignored.push(format!("model.layers.{}.", sizes.layers));
        // The output of delta nets keeps its name.
        for layer in &mut spec.layers {
            if let Mixer::Latent(latent) = &mut layer.mixer {
                latent.output.name = latent.output.name.replace("o_proj", "dense");
            }
        }
        Ok(spec.renamed(&[(".self_attn.", ".attention."), ("embed_tokens", "word_embeddings")]))
    })
}

fn delta(sizes: &Sizes, i: usize, conv: usize, lowest: f32) -> GatedDelta {
    let (heads, width) = (sizes.heads, sizes.head_dim);
    let part = |part: &str, outputs| linear(attention_name(i, part), outputs, sizes.hidden, false);
    let all = heads * width;
    GatedDelta {
        key_heads: heads,
        value_heads: heads,
        key_dim: width,
        value_dim: width,
        input: vec![
            part("q_proj", all),
            part("k_proj", all),
            part("v_proj", all),
            part("g_proj", all),
            part("b_proj", heads),
            part("f_proj", all),
        ],
        short_gates: None,
        decay_by_column: true,
        sigmoid_gate: true,
        lowest_decay: Some(lowest),
        conv: Conv {
            weights: ["q", "k", "v"].map(|part| attention_name(i, &format!("{part}_conv1d.weight"))).into(),
            biases: Vec::new(),
            channels: 3 * all,
            width: conv,
        },
        rate_scale: 1.0,
        decay: attention_name(i, "A_log"),
        step: attention_name(i, "dt_bias"),
        norm: sizes.norm_of(attention_name(i, "o_norm"), width),
        output: linear(attention_name(i, "o_proj"), sizes.hidden, all, false),
    }
}

/// Whether each layer is the last of its group, or belongs to no whole group.
fn attending(config: &Config, layers: usize) -> Result<Vec<bool>> {
    let group = config.usize("layer_group_size", 1..=MAX_LAYERS)?;
    let attends = |i: usize| (i + 1).is_multiple_of(group) || i >= layers / group * group;
    Ok((0..layers).map(attends).collect())
}

fn renamed(spec: Spec) -> Spec {
    spec.renamed(&[
        (".self_attn.o_proj", ".attention.dense"),
        (".self_attn.", ".attention."),
        ("embed_tokens", "word_embeddings"),
    ])
}

fn hybrid_rope(config: &Config, head_dim: usize, traditional: bool, partial: f64) -> Result<Rope> {
    let context = blocks::context_length(config, 131_072)?;
    let dims = (head_dim as f64 * config.f64_or("partial_rotary_factor", partial, 0.0..=1.0)?) as usize;
    rope::rope(config, &Base { dims, traditional, theta: None, context })
}

/// Sizes of linear attention.
struct Lightning {
    sizes: Sizes,
    rope: Rope,
    normed: bool,
    /// Pieces of what comes out that are normed by themselves.
    groups: usize,
    /// How many layers lag behind in fading less and less.
    lag: usize,
}

impl Lightning {
    fn read(config: &Config, sizes: &Sizes, traditional: bool, lag: usize) -> Result<Self> {
        let groups = config.usize("group_norm_size", 1..=1 << 16)?;
        if !sizes.query_width().is_multiple_of(groups) {
            let message = format!("does not divide the width of {}", sizes.query_width());
            return Err(config.corrupt("group_norm_size", message));
        }
        Ok(Self {
            sizes: sizes.clone(),
            rope: hybrid_rope(config, sizes.head_dim, traditional, 1.0)?,
            normed: config.bool_or("use_qk_norm", false)?,
            groups,
            lag,
        })
    }

    fn mixer(&self, i: usize, layers: usize, qkv_bias: bool, bias: bool) -> LinearAttention {
        let Sizes { heads, head_dim, hidden, .. } = self.sizes;
        let width = heads * head_dim;
        let part = |part, outputs, bias| linear(attention_name(i, part), outputs, hidden, bias);
        let norm = |part| self.normed.then(|| self.sizes.norm_of(attention_name(i, part), head_dim));
        // Later layers keep more.
        let depth = i.saturating_sub(self.lag) as f64 / layers.saturating_sub(1).max(1) as f64;
        let decays = slopes(heads).into_iter().map(|slope| (-slope * (1.0 - depth + 1e-5)) as f32).collect();
        LinearAttention {
            heads,
            head_dim,
            scale: (head_dim as f64).powf(-0.5) as f32,
            input: vec![part("query_key_value", 3 * width, qkv_bias), part("g_proj", width, false)],
            query_norm: norm("query_layernorm"),
            key_norm: norm("key_layernorm"),
            rope: self.rope.clone(),
            decays,
            norm: Norm { heads: self.groups, ..self.sizes.norm_of(attention_name(i, "g_norm"), width / self.groups) },
            output: linear(attention_name(i, "o_proj"), hidden, width, bias),
        }
    }
}

/// The slopes of ALiBi (Press et al. 2022): powers of two that end at 2⁻⁸, with every second one of the next power of two
/// in between where the number of heads is none.
fn slopes(heads: usize) -> Vec<f64> {
    let of = |count: usize| (1..=count).map(move |i| 2f64.powf(-8.0 * i as f64 / count as f64));
    let whole = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    of(whole).chain(of(2 * whole).step_by(2)).take(heads).collect()
}

/// Which of the families here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    Linear,
    Hybrid,
    Third,
}

/// What experts there are.
struct Experts {
    count: usize,
    routing: Routing,
    width: usize,
    shared: usize,
    first: usize,
    bias: bool,
    corrected: bool,
    /// Whether the router is not in a part of its own.
    bare_router: bool,
}

impl Experts {
    fn read(config: &Config, chosen_groups: usize, generation: Generation) -> Result<Self> {
        const SCORE: &str = "score_function";
        let strict = generation != Generation::Linear;
        let count = config.usize("num_experts", 1..=experts::MAX)?;
        let default = if strict { Score::Sigmoid } else { Score::Softmax };
        let score = match config.string(SCORE)? {
            None => default,
            Some("sigmoid") => Score::Sigmoid,
            Some("softmax") => Score::Softmax,
            Some(_) => return Err(config.unsupported(SCORE, "is not supported; sigmoid and softmax are")),
        };
        let groups = config.usize_or("n_group", 1, 1..=count)?;
        let defaults = json!({"topk_group": chosen_groups.min(groups), "norm_topk_prob": true});
        let routing = config.with_defaults(defaults, |config| {
            grouped_sigmoid(config, count, ["num_experts_per_tok", "n_group", "topk_group", "norm_topk_prob"])
        })?;
        let mut routing = Routing { score, ..routing };
        routing.groups = routing.groups.map(|groups| super::spec::Groups { strict, ..groups });
        if strict {
            routing.normalize = routing.normalize.map(|_| 1e-20);
        }
        let width = config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?;
        let number = config.usize("num_shared_experts", 0..=256)?;
        let own = config.optional_usize("moe_shared_expert_intermediate_size", 1..=MAX_INTERMEDIATE)?;
        let enabled = config.bool_or("moe_router_enable_shared_expert", true)?;
        let shared = match own {
            _ if number == 0 || !enabled => 0,
            // Bailing Hybrid gives the width of all of them.
            Some(all) if generation == Generation::Hybrid => all,
            Some(one) => one * number,
            None => width * number,
        };
        Ok(Self {
            count,
            routing,
            width,
            shared,
            first: config.usize("first_k_dense_replace", 0..=1 << 16)?,
            bias: config.bool_or("use_bias", false)?,
            corrected: config.bool_or("moe_router_enable_expert_bias", strict)?,
            bare_router: generation == Generation::Third,
        })
    }

    fn block(&self, sizes: &Sizes, i: usize) -> Ffn {
        if i < self.first {
            return sizes.split_mlp(i, self.bias, Activation::Silu).into();
        }
        let correction = self.corrected.then(|| name(i, "mlp.gate.expert_bias"));
        let routing = Routing { correction, ..self.routing.clone() };
        let mut moe = sizes.moe(i, "mlp", self.count, self.width, self.bias, routing);
        if !self.bare_router {
            moe.router.name = name(i, "mlp.gate.gate_proj");
        }
        if self.shared > 0 {
            let mlp = sizes.mlp_of(name(i, "mlp.shared_experts"), self.shared, self.bias, Activation::Silu);
            moe.shared = Some(mlp.into());
        }
        moe.into()
    }
}
