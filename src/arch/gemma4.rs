//! Gemma 4: heads of two widths, keys that also serve as values, layers that read the keys and values of others, an
//! embedding for each layer, optionally experts beside the MLP.

use serde_json::{Value, json};

use super::blocks::{self, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::gemma2::sandwich;
use super::rope::{self, Base};
use super::spec::{
    Activation, Attention, Ffn, Layer, Linear, Norm, PerLayerInput, PerLayerInputs, Rope, Routing, SharedExpert, Spec,
};
use super::wrapper;
use crate::error::Result;

/// The text model alone.
pub(super) fn text(config: &Config) -> Result<Spec> {
    let defaults = json!({
        "hidden_size": 1536, "num_hidden_layers": 35, "intermediate_size": 6144, "num_attention_heads": 8,
        "head_dim": 256, "global_head_dim": 512, "rms_norm_eps": 1e-6, "vocab_size": 262_144,
        "vocab_size_per_layer_input": 262_144, "num_key_value_heads": 1, "num_kv_shared_layers": 20,
        "hidden_size_per_layer_input": 256, "sliding_window": 512, "sliding_window_pattern": 5,
        "max_position_embeddings": 131_072, "final_logit_softcapping": 30.0,
    });
    config.with_defaults(defaults, |config| Family::read(config)?.spec())
}

/// The text part of a model that also sees and hears.
pub(super) fn multimodal(config: &Config) -> Result<Spec> {
    let defaults = json!({"num_attention_heads": 8, "num_key_value_heads": 1});
    wrapper::text_part(config, defaults, Some(262_144), "language_model.", text)
}

struct Family<'a> {
    config: &'a Config<'a>,
    sizes: Sizes,
    context: usize,
    /// The window of each layer; none sees all.
    windows: Vec<Option<usize>>,
    /// Layers with keys and values of their own.
    own: usize,
    full: Kind,
    sliding: Kind,
    double_wide: bool,
    /// Width of a layer's own input; 0 without.
    input: usize,
    moe: Option<(usize, usize, usize)>,
}

/// Attention of one kind of layer.
struct Kind {
    sizes: Sizes,
    rope: Rope,
    keys_are_values: bool,
}

impl<'a> Family<'a> {
    fn read(config: &'a Config<'a>) -> Result<Self> {
        let sizes = Sizes::read(config)?;
        let context = blocks::context_length(config, 131_072)?;
        blocks::expect_activation(config, &["gelu_pytorch_tanh"])?;
        let windows = match blocks::layer_windows(config, sizes.layers)? {
            Some(windows) => windows,
            None => blocks::pattern_windows(config, sizes.layers)?,
        };
        let shared = config.usize("num_kv_shared_layers", 0..=sizes.layers.saturating_sub(1))?;
        let own = sizes.layers - shared;
        let has_source = |i: usize| windows[..own].iter().any(|w| w.is_some() == windows[i].is_some());
        if !(own..sizes.layers).all(has_source) {
            return Err(config.corrupt("num_kv_shared_layers", "leaves a shared layer without one of its kind"));
        }
        let keys_are_values = config.bool_or("attention_k_eq_v", false)?;
        let mut global = sizes.clone();
        global.head_dim = config.optional_usize("global_head_dim", 0..=blocks::MAX_HEAD_DIM)?.unwrap_or(0);
        if global.head_dim == 0 {
            global.head_dim = sizes.head_dim;
        }
        if keys_are_values {
            global.kv_heads = config.usize_or("num_global_key_value_heads", sizes.kv_heads, 1..=sizes.heads)?;
        }
        let moe = match config.bool_or("enable_moe_block", false)? {
            true => {
                let count = config.usize("num_experts", 1..=experts::MAX)?;
                let top_k = config.usize("top_k_experts", 1..=count)?;
                Some((count, top_k, config.usize("moe_intermediate_size", 1..=MAX_INTERMEDIATE)?))
            }
            false => None,
        };
        let (full, sliding) = (rope(config, "full_attention", &global)?, rope(config, "sliding_attention", &sizes)?);
        Ok(Self {
            config,
            full: Kind { sizes: global, rope: full, keys_are_values },
            sliding: Kind { sizes: sizes.clone(), rope: sliding, keys_are_values: false },
            context,
            windows,
            own,
            double_wide: config.bool_or("use_double_wide_mlp", true)?,
            input: config.optional_usize("hidden_size_per_layer_input", 0..=65_536)?.unwrap_or(0),
            moe,
            sizes,
        })
    }

    fn spec(&self) -> Result<Spec> {
        let (config, sizes) = (self.config, &self.sizes);
        let tied = config.bool_or("tie_word_embeddings", true)?;
        let per_layer_inputs = self.inputs()?;
        let logit_softcap = config.optional_f64("final_logit_softcapping", 1e-3..=1e6)?.map(|cap| cap as f32);
        let spec = blocks::decoder(config, sizes, self.context, tied, |i| self.layer(i))?;
        let mut spec = Spec { embedding_scale: (sizes.hidden as f32).sqrt(), per_layer_inputs, logit_softcap, ..spec };
        spec.ignored.extend(["input_max", "input_min", "output_max", "output_min"].map(String::from));
        for layer in self.own..sizes.layers {
            spec.ignored.extend(["k_proj.", "v_proj.", "k_norm."].map(|part| attention_name(layer, part)));
        }
        Ok(spec)
    }

    fn inputs(&self) -> Result<Option<PerLayerInputs>> {
        const VOCAB: &str = "vocab_size_per_layer_input";
        let (sizes, width) = (&self.sizes, self.input);
        if width == 0 {
            return Ok(None);
        }
        let rows = self.config.usize(VOCAB, 1..=blocks::MAX_VOCAB)?;
        if rows < sizes.vocab {
            let message = format!("is not supported: it must cover the vocabulary of {}", sizes.vocab);
            return Err(self.config.unsupported(VOCAB, message));
        }
        Ok(Some(sizes.per_layer_inputs(rows, width)))
    }

    fn layer(&self, i: usize) -> Layer {
        let sizes = &self.sizes;
        let layer = sandwich(sizes, i, self.attention(i));
        let (ffn, ffn_norm) = self.ffn(i, layer.ffn_norm.clone());
        let per_layer_input = (self.input > 0).then(|| PerLayerInput {
            gate: linear(name(i, "per_layer_input_gate"), self.input, sizes.hidden, false),
            activation: Activation::GeluTanh,
            projection: linear(name(i, "per_layer_projection"), sizes.hidden, self.input, false),
            norm: sizes.layer_norm(i, "post_per_layer_input_norm"),
        });
        Layer { ffn, ffn_norm, per_layer_input, output_scale: Some(name(i, "layer_scalar")), ..layer }
    }

    fn attention(&self, i: usize) -> Attention {
        let window = self.windows[i];
        let Kind { sizes, rope, keys_are_values } = if window.is_some() { &self.sliding } else { &self.full };
        let mut qkv: Vec<Linear> = sizes.split_qkv(i, false);
        if *keys_are_values {
            qkv[2] = qkv[1].clone();
        }
        let alike = |j: &usize| self.windows[*j].is_some() == window.is_some();
        let shares_kv_of = if i < self.own { None } else { (0..self.own).rev().find(alike) };
        let weights = Vec::new();
        let value_norm = Some(Norm { weights, ..sizes.head_norm(i, "v_norm") });
        let mut attention =
            Attention { scale: 1.0, window, value_norm, ..sizes.normed_attention(i, false, false, rope) };
        attention.qkv = qkv;
        if shares_kv_of.is_some() {
            attention.qkv.truncate(1);
            (attention.key_norm, attention.value_norm) = (None, None);
        }
        Attention { shares_kv_of, ..attention }
    }

    /// The block and the norm before it, if it has one in common.
    fn ffn(&self, i: usize, norm: Option<Norm>) -> (Ffn, Option<Norm>) {
        let wide = self.double_wide && i >= self.own;
        let width = self.sizes.intermediate * if wide { 2 } else { 1 };
        let mlp = self.sizes.mlp_of(name(i, "mlp"), width, false, Activation::GeluTanh);
        let Some((count, top_k, width)) = self.moe else { return (mlp.into(), norm) };
        let sizes = &self.sizes;
        let routing =
            Routing { expert_scale: Some(name(i, "router.per_expert_scale")), ..Choice::softmax_of_chosen(top_k) };
        let mut moe = sizes.moe(i, "experts", count, width, false, routing);
        for linear in moe.mlp.gate_up.iter_mut().chain([&mut moe.mlp.down]) {
            linear.name = linear.name.replace("switch_mlp", "switch_glu");
        }
        moe.mlp.activation = Activation::GeluTanh;
        moe.router.name = name(i, "router.proj");
        moe.router_norm = Some(Norm {
            weights: vec![name(i, "router.scale")],
            factor: (sizes.hidden as f64).powf(-0.5) as f32,
            ..sizes.layer_norm(i, "router")
        });
        moe.norm = Some(sizes.layer_norm(i, "pre_feedforward_layernorm_2"));
        moe.post_norm = Some(sizes.layer_norm(i, "post_feedforward_layernorm_2"));
        let post_norm = Some(sizes.layer_norm(i, "post_feedforward_layernorm_1"));
        moe.shared = Some(SharedExpert { norm, post_norm, ..mlp.into() });
        (moe.into(), None)
    }
}

/// The rotary embedding of a kind of layer, as its part of `rope_parameters` has it.
fn rope(config: &Config, kind: &str, sizes: &Sizes) -> Result<Rope> {
    rope::refuse_rope_scaling(config)?;
    let defaults = json!({"rope_parameters": {
        "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1e6, "rope_type": "proportional"},
        "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
    }});
    let defaults = if config.object("rope_parameters")?.is_some() { Value::Null } else { defaults };
    config.with(Value::Null, defaults, |config| {
        let parameters = match config.object("rope_parameters")? {
            Some(all) => all.object(kind)?,
            None => None,
        };
        let traditional = config.bool_or("rope_traditional", false)?;
        let base = Base { dims: sizes.head_dim, traditional, theta: None, context: 0 };
        let theta = match &parameters {
            Some(parameters) => rope::theta_or(parameters, "rope_theta", 10_000.0)?,
            None => 10_000.0,
        };
        rope::scaled(config, parameters.as_ref(), &base, theta)
    })
}
