//! Kimi K3: Kimi Linear with bounded gates (SiTU), gated latent attention, narrow experts, and layers that attend to the
//! residual streams of the blocks before.

use serde_json::json;

use super::blocks::{self, MAX_HIDDEN, MAX_INTERMEDIATE, MAX_LAYERS, Sizes};
use super::blocks::{attention_name, linear, name};
use super::config::Config;
use super::deepseek::Latent;
use super::experts;
use super::kimi_linear::Delta;
use super::moe::grouped_sigmoid;
use super::spec::{
    Activation, Conv, Ffn, GatedDelta, Linear, Mixer, Mlp, Moe, Narrowing, ResidualAttention, ResidualQuery, Routing,
    ShortGates, Spec,
};
use super::wrapper;
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let mut spec = wrapper::optional_text_part(config, text)?;
    spec.ignored.push("mm_projector.".into());
    Ok(spec)
}

fn text(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "vocab_size": 163_840, "hidden_size": 7168, "intermediate_size": 33_792, "num_hidden_layers": 93,
        "num_attention_heads": 96, "rms_norm_eps": 1e-5, "num_experts_per_token": 16,
    });
    // Heads of all kinds have widths of their own.
    let forced = json!({"num_key_value_heads": null, "head_dim": 1, "attention_bias": false});
    config.with(defaults, forced, |config| {
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 1 << 20)?;
        let activation = situ(config)?;
        let Some(linear_config) = config.object("linear_attn_config")? else {
            return Err(config.wrong("linear_attn_config", "an object"));
        };
        let delta = Delta::read(&linear_config)?;
        let lowest = linear_config.optional_f64("gate_lower_bound", -1e6..=0.0)?.map(|lowest| lowest as f32);
        let full_gate = linear_config.bool_or("use_full_rank_gate", false)?;
        let (latent, gated) = (latent(config, &sizes)?, config.bool_or("mla_use_output_gate", false)?);
        let experts = Experts::read(config, activation)?;
        let block = config.optional_usize("attn_res_block_size", 1..=MAX_LAYERS)?;
        let tied = config.bool_or("tie_word_embeddings", false)?;
        let mut spec = blocks::decoder(config, &sizes, context, tied, |i| {
            let ffn: Ffn = match &experts {
                Some(experts) if i >= experts.first && i.is_multiple_of(experts.every) => {
                    experts.layer(&sizes, i).into()
                }
                _ => sizes.split_mlp(i, false, activation).into(),
            };
            let mut layer = if delta.layers.contains(&(i + 1)) {
                let mixer = fused(delta.mixer(&sizes, i), &sizes, i, full_gate);
                sizes.layer_with(i, Mixer::GatedDelta(GatedDelta { lowest_decay: lowest, ..mixer }), ffn)
            } else {
                latent.layer(&sizes, i, true, ffn)
            };
            if let (Mixer::Latent(mixer), true) = (&mut layer.mixer, gated) {
                mixer.gate(linear(attention_name(i, "g_proj"), latent.heads * latent.value, sizes.hidden, false));
            }
            layer.residuals = block.map(|block| {
                let query = |part| query(&sizes, name(i, part));
                let (mixer, ffn) = (query("self_attention_res"), query("mlp_res"));
                Box::new(ResidualAttention { begins: i.is_multiple_of(block), mixer, ffn })
            });
            layer
        })?;
        spec.residual_query = block.map(|_| query(&sizes, "model.output_attn_res".into()));
        // Layers that predict further tokens.
        spec.ignored.extend(["model.mtp".into(), format!("model.layers.{}.", sizes.layers)]);
        Ok(spec)
    })
}

fn query(sizes: &Sizes, name: String) -> ResidualQuery {
    ResidualQuery { query: format!("{name}_proj.weight"), norm: sizes.norm(format!("{name}_norm")) }
}

/// The activation of all blocks.
fn situ(config: &Config) -> Result<Activation> {
    blocks::expect_activation(config, &["situ"])?;
    let beta = config.optional_f64("activation_situ_beta", 0.0..=1e6)?.filter(|&beta| beta > 0.0);
    let cap = config.optional_f64("activation_situ_linear_beta", 1e-6..=1e6)?.map(|cap| cap as f32);
    Ok(Activation::Situ { beta: beta.unwrap_or(1.0) as f32, cap })
}

/// Attention over compressed vectors, of which nothing is rotated.
fn latent(config: &Config, sizes: &Sizes) -> Result<Latent> {
    if !config.bool_or("mla_use_nope", true)? {
        return Err(config.unsupported("mla_use_nope", "is not supported; true is"));
    }
    // mlx-lm's number, whatever the configuration says.
    Ok(Latent { epsilon: 1e-6, ..Latent::unrotated(config, sizes)? })
}

/// The delta net of Kimi Linear with queries, keys and values in one tensor, and its gate as it is or in a short form.
fn fused(delta: GatedDelta, sizes: &Sizes, i: usize, full_gate: bool) -> GatedDelta {
    let part = |part, outputs| linear(attention_name(i, part), outputs, sizes.hidden, false);
    let (channels, width) = (delta.channels(), delta.value_heads * delta.value_dim);
    let short_gates = delta.short_gates.map(|gates| match full_gate {
        true => ShortGates { gate: None, ..gates },
        false => gates,
    });
    let rest = delta.input.into_iter().skip(3).map(|input| match full_gate && input.name.ends_with("g_a_proj") {
        true => part("g_proj", width),
        false => input,
    });
    GatedDelta {
        input: [part("qkv_proj", channels)].into_iter().chain(rest).collect(),
        short_gates,
        conv: Conv { weights: vec![attention_name(i, "qkv_conv.conv.weight")], ..delta.conv },
        ..delta
    }
}

/// What the layers with experts have in common.
struct Experts {
    count: usize,
    width: usize,
    /// The width of the experts' input, where it is not the model's.
    narrow: Option<usize>,
    /// Whether what narrow experts give is normed.
    normed: bool,
    shared: usize,
    first: usize,
    every: usize,
    routing: Routing,
    activation: Activation,
}

impl Experts {
    fn read(config: &Config, activation: Activation) -> Result<Option<Self>> {
        const SCORE: &str = "moe_router_activation_func";
        if config.string(SCORE)?.is_some_and(|score| score != "sigmoid") {
            return Err(config.unsupported(SCORE, "is not supported; sigmoid is"));
        }
        let Some(count) = config.optional_usize("num_experts", 0..=experts::MAX)?.filter(|&count| count > 0) else {
            return Ok(None);
        };
        let keys = ["num_experts_per_token", "num_expert_group", "topk_group", "moe_renormalize"];
        let routing = grouped_sigmoid(config, count, keys)?;
        Ok(Some(Self {
            count,
            width: config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?,
            narrow: config.optional_usize("routed_expert_hidden_size", 1..=MAX_HIDDEN)?,
            normed: config.bool_or("latent_moe_use_norm", false)?,
            shared: config.usize_or("num_shared_experts", 0, 0..=256)?,
            first: config.usize_or("first_k_dense_replace", 0, 0..=1 << 16)?,
            every: config.usize_or("moe_layer_freq", 1, 1..=1 << 16)?,
            routing: Routing { normalize: routing.normalize.map(|_| 1e-20), ..routing },
            activation,
        }))
    }

    fn layer(&self, sizes: &Sizes, i: usize) -> Moe {
        let part = |part: &str| name(i, &format!("mlp.{part}"));
        let correction = Some(part("e_score_correction_bias"));
        let narrow = self.narrow.unwrap_or(sizes.hidden);
        let seen = Sizes { hidden: narrow, ..sizes.clone() };
        let moe = seen.moe(i, "mlp", self.count, self.width, false, Routing { correction, ..self.routing.clone() });
        let narrowing = self.narrow.map(|narrow| Narrowing {
            down: linear(part("routed_expert_down_proj"), narrow, sizes.hidden, false),
            norm: self.normed.then(|| seen.norm(part("routed_expert_norm"))),
            up: linear(part("routed_expert_up_proj"), sizes.hidden, narrow, false),
        });
        let shared = (self.shared > 0)
            .then(|| sizes.mlp_of(part("shared_experts"), self.width * self.shared, false, self.activation).into());
        Moe {
            router: Linear { inputs: sizes.hidden, ..moe.router },
            mlp: Mlp { activation: self.activation, ..moe.mlp },
            narrowing,
            shared,
            ..moe
        }
    }
}
