//! Nemotron H: Mamba-2, attention, MLPs and experts, each a layer of its own.

use serde_json::{Value, json};

use super::blocks::{self, Keys, MAX_HIDDEN, MAX_INTERMEDIATE, MAX_LAYERS, Sizes, linear, name};
use super::config::Config;
use super::experts;
use super::mamba::{BACKBONE, Keys as MambaKeys, Mamba2};
use super::moe::corrected_sigmoid;
use super::spec::{Activation, Ffn, Layer, Linear, Mixer, Mlp, Moe, Narrowing, Routing, Spec};
use crate::error::Result;

const PATTERN: &str = "hybrid_override_pattern";

/// What a layer is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Mamba,
    Attention,
    Mlp,
    Experts,
}

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let kinds = kinds(config)?;
    let keys = Keys { epsilon: "layer_norm_epsilon", ..Keys::STANDARD };
    let count = json!({"num_hidden_layers": kinds.len()});
    let sizes = config.with(Value::Null, count, |config| Sizes::read_as(config, &keys))?;
    let context = blocks::context_length(config, 4096)?;
    blocks::expect_activation(config, &["relu2", "silu"])?;
    if config.string("mlp_hidden_act")?.is_some_and(|name| name != "relu2") {
        return Err(config.unsupported("mlp_hidden_act", "is not supported; relu2 is"));
    }
    let mamba_keys = MambaKeys {
        heads: "mamba_num_heads",
        head_dim: "mamba_head_dim",
        groups: "n_groups",
        state: "ssm_state_size",
        conv: "conv_kernel",
        bias: "mamba_proj_bias",
        conv_bias: "use_conv_bias",
    };
    let mamba = Mamba2::read(config, &mamba_keys, [0.0, f64::INFINITY])?;
    let (bias, mlp_bias) = (config.bool_or("attention_bias", false)?, config.bool_or("mlp_bias", false)?);
    let experts = match kinds.contains(&Kind::Experts) {
        true => Some(Experts::read(config, mlp_bias)?),
        false => None,
    };
    let mut spec = blocks::decoder(config, &sizes, context, false, |i| {
        let norm = Some(sizes.layer_norm(i, "norm"));
        let layer = match (kinds[i], &experts) {
            (Kind::Mamba, _) => {
                let block = name(i, "mixer");
                let mixer = mamba.mixer(&sizes, &block, Some(mamba.norm(&sizes, &block, true)));
                blocks::bare_layer(Mixer::StateSpace(Box::new(mixer)), Ffn::None)
            }
            (Kind::Attention, _) => {
                let attention = sizes.attention(i, sizes.split_qkv(i, bias), bias, None);
                blocks::bare_layer(Mixer::Attention(attention), Ffn::None)
            }
            (Kind::Experts, Some(experts)) => blocks::bare_layer(Mixer::None, experts.layer(&sizes, i)),
            _ => blocks::bare_layer(Mixer::None, sizes.plain_mlp(i, mlp_bias, Activation::Relu2)),
        };
        match layer.mixer {
            Mixer::None => Layer { ffn_norm: norm, ..layer },
            _ => Layer { mixer_norm: norm, ..layer },
        }
    })?;
    spec.ignored.push("mtp.".into());
    Ok(spec.renamed(&[(".self_attn.", ".mixer."), (".mlp.", ".mixer.")]).renamed(&BACKBONE))
}

/// The kind of each layer: by letters, or by names.
fn kinds(config: &Config) -> Result<Vec<Kind>> {
    let letters = match config.string(PATTERN) {
        Ok(Some(pattern)) => Some(pattern.chars().map(String::from).collect()),
        _ => config.strings(PATTERN)?.map(|list| list.into_iter().map(String::from).collect::<Vec<_>>()),
    };
    let (key, names) = match letters {
        Some(letters) => (PATTERN, letters),
        None => {
            let key = if config.get("layers_block_type").is_some() { "layers_block_type" } else { "layer_types" };
            let Some(list) = config.strings(key)? else { return Err(config.wrong(PATTERN, "there")) };
            (key, list.into_iter().map(String::from).collect())
        }
    };
    if !(1..=MAX_LAYERS).contains(&names.len()) {
        return Err(config.corrupt(key, format_args!("must name 1 to {MAX_LAYERS} layers")));
    }
    let kind = |name: &String| match name.as_str() {
        "M" | "linear_attention" | "mamba" | "conv" => Ok(Kind::Mamba),
        "*" | "full_attention" | "attention" => Ok(Kind::Attention),
        "-" | "mlp" => Ok(Kind::Mlp),
        "E" | "moe" => Ok(Kind::Experts),
        other => Err(config.unsupported(key, format_args!("names {other:?}, which is not supported"))),
    };
    names.iter().map(kind).collect()
}

/// What the layers with experts have in common.
struct Experts {
    count: usize,
    width: usize,
    /// The width of the experts' input, where it is not the model's.
    narrow: Option<usize>,
    shared: Option<usize>,
    routing: Routing,
    bias: bool,
}

impl Experts {
    fn read(config: &Config, bias: bool) -> Result<Self> {
        let count = config.usize("n_routed_experts", 1..=experts::MAX)?;
        let mut routing = corrected_sigmoid(config, count)?;
        let normalized = config.bool_or("norm_topk_prob", false)?;
        routing.normalize = (routing.top_k > 1 && normalized).then_some(1e-20);
        let shared = match config.optional_usize("n_shared_experts", 0..=256)? {
            Some(_) => Some(config.usize("moe_shared_expert_intermediate_size", 1..=MAX_INTERMEDIATE)?),
            None => None,
        };
        Ok(Self {
            count,
            width: config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?,
            narrow: config.optional_usize("moe_latent_size", 1..=MAX_HIDDEN)?,
            shared,
            routing,
            bias,
        })
    }

    fn layer(&self, sizes: &Sizes, i: usize) -> Moe {
        let Self { count, width, narrow, bias, .. } = *self;
        let part = |part: &str, outputs, inputs, bias| linear(name(i, &format!("mlp.{part}")), outputs, inputs, bias);
        let plain = |gate_up: Linear, down: Linear| Mlp {
            gate_up: vec![gate_up],
            down,
            activation: Activation::Relu2,
            gated: false,
            interleaved: false,
            norm: None,
            activation_name: None,
        };
        let stacked = |linear| Linear { experts: Some(count), ..linear };
        let (hidden, seen) = (sizes.hidden, narrow.unwrap_or(sizes.hidden));
        let correction = Some(name(i, "mlp.gate.e_score_correction_bias"));
        let experts = sizes.moe(i, "mlp", count, width, false, Routing { correction, ..self.routing.clone() });
        let shared = |width| {
            let up = part("shared_experts.up_proj", width, hidden, bias);
            plain(up, part("shared_experts.down_proj", hidden, width, bias)).into()
        };
        Moe {
            mlp: plain(
                stacked(part("switch_mlp.fc1", width, seen, false)),
                stacked(part("switch_mlp.fc2", seen, width, false)),
            ),
            narrowing: narrow.map(|narrow| Narrowing {
                down: part("fc1_latent_proj", narrow, hidden, bias),
                norm: None,
                up: part("fc2_latent_proj", hidden, narrow, bias),
            }),
            shared: self.shared.map(shared),
            ..experts
        }
    }
}
