//! Gemma 3n: four residual streams, low-rank side branches, an embedding for each layer, sparse activations, layers that
//! read the keys and values of others.

use serde_json::Value;

use super::blocks::{self, MAX_HIDDEN, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::gemma2::sandwich;
use super::rope;
use super::spec::{
    Activation, AltUp, Attention, Laurel, Layer, Norm, PerLayerInput, PerLayerInputs, Rope, Spec, Streams,
};
use super::wrapper;
use crate::error::Result;

/// The text part of a model that also sees and hears.
pub(super) fn spec(config: &Config) -> Result<Spec> {
    let spec = wrapper::text_part(config, Value::Null, None, "", text)?;
    Ok(spec.renamed(&[("model.", "model.language_model.")]))
}

fn text(config: &Config) -> Result<Spec> {
    let widths = widths(config)?;
    let forced = serde_json::json!({"intermediate_size": widths[0]});
    let sizes = config.with(Value::Null, forced, Sizes::read)?;
    if ![1, sizes.layers].contains(&widths.len()) {
        return Err(config.corrupt("intermediate_size", format_args!("must have {} entries", sizes.layers)));
    }
    Family::read(config, sizes, widths)?.spec()
}

/// The widths of the MLPs: of all layers, or of each.
fn widths(config: &Config) -> Result<Vec<usize>> {
    const KEY: &str = "intermediate_size";
    if !config.get(KEY).is_some_and(Value::is_array) {
        return Ok(vec![config.usize(KEY, 1..=MAX_INTERMEDIATE)?]);
    }
    let list = config.usizes(KEY, 1..=MAX_INTERMEDIATE)?.unwrap_or_default();
    match list.is_empty() {
        true => Err(config.wrong(KEY, "a list with a width for each layer")),
        false => Ok(list),
    }
}

struct Family<'a> {
    config: &'a Config<'a>,
    sizes: Sizes,
    widths: Vec<usize>,
    /// The window of each layer; none sees all.
    windows: Vec<Option<usize>>,
    /// Layers with keys and values of their own.
    own: usize,
    full: Rope,
    sliding: Rope,
    /// For each layer the share of activations that become zero.
    sparsity: Vec<f64>,
    /// Width of a layer's own input.
    input: usize,
    streams: usize,
    clip: Option<f32>,
    scaled: bool,
    rank: usize,
}

impl<'a> Family<'a> {
    fn read(config: &'a Config<'a>, sizes: Sizes, widths: Vec<usize>) -> Result<Self> {
        const SPARSITY: &str = "activation_sparsity_pattern";
        blocks::expect_activation(config, &["gelu_pytorch_tanh"])?;
        let Some(windows) = blocks::layer_windows(config, sizes.layers)? else {
            return Err(config.wrong("layer_types", "there"));
        };
        let shared = config.usize("num_kv_shared_layers", 0..=sizes.layers.saturating_sub(1))?;
        let own = sizes.layers - shared;
        let has_source = |i: usize| windows[..own].iter().any(|w| w.is_some() == windows[i].is_some());
        if !(own..sizes.layers).all(has_source) {
            return Err(config.corrupt("num_kv_shared_layers", "leaves a shared layer without one of its kind"));
        }
        let base = |key| rope::plain(config, sizes.head_dim, false, config.f64(key, 1.001..=1e15)?);
        let (full, sliding) = (base("rope_theta")?, base("rope_local_base_freq")?);
        let sparsity = config.f64s(SPARSITY, 0.0..=0.999_999)?.unwrap_or_else(|| vec![0.0; sizes.layers]);
        if sparsity.len() != sizes.layers {
            let message = format!("must have one entry for each of the {} layers", sizes.layers);
            return Err(config.corrupt(SPARSITY, message));
        }
        Ok(Self {
            config,
            widths,
            windows,
            own,
            full,
            sliding,
            sparsity,
            input: config.usize("hidden_size_per_layer_input", 1..=MAX_HIDDEN)?,
            streams: config.usize("altup_num_inputs", 2..=64)?,
            clip: config.optional_f64("altup_coef_clip", 0.0..=1e9)?.map(|clip| clip as f32),
            scaled: config.bool("altup_correct_scale")?,
            rank: config.usize("laurel_rank", 1..=MAX_HIDDEN)?,
            sizes,
        })
    }

    fn spec(&self) -> Result<Spec> {
        let (config, sizes) = (self.config, &self.sizes);
        let context = blocks::context_length(config, 32_768)?;
        let active = config.usize("altup_active_idx", 0..=self.streams - 1)?;
        let softcap = config.optional_f64("final_logit_softcapping", 1e-3..=1e6)?.map(|cap| cap as f32);
        let mut spec = blocks::decoder(config, sizes, context, true, |i| self.layer(i))?;
        spec.embedding_scale = (sizes.hidden as f32).sqrt();
        spec.per_layer_inputs = Some(self.inputs()?);
        spec.logit_softcap = softcap;
        let square = |part: &str| {
            let matrix = |i| linear(format!("model.{part}.{i}"), sizes.hidden, sizes.hidden, false);
            (0..self.streams - 1).map(matrix).collect()
        };
        let (widen, narrow) = (square("altup_projections"), square("altup_unembed_projections"));
        spec.streams = Some(Streams { active, widen, narrow });
        for layer in self.own..sizes.layers {
            spec.ignored
                .extend(["k_proj.", "v_proj.", "k_norm."].map(|part| format!("layers.{layer}.self_attn.{part}")));
        }
        if !self.scaled {
            spec.ignored.push("altup.correct_output_scale".into());
        }
        Ok(spec)
    }

    fn inputs(&self) -> Result<PerLayerInputs> {
        const VOCAB: &str = "vocab_size_per_layer_input";
        let (sizes, width) = (&self.sizes, self.input);
        let rows = self.config.usize(VOCAB, 1..=blocks::MAX_VOCAB)?;
        Ok(sizes.per_layer_inputs(rows, width))
    }

    fn layer(&self, i: usize) -> Layer {
        let (sizes, hidden) = (&self.sizes, self.sizes.hidden);
        let part = |part: &str, outputs, inputs| linear(name(i, part), outputs, inputs, false);
        let count = self.streams;
        let altup = AltUp {
            norm: Norm { factor: 1.0 / hidden as f32, ..sizes.layer_norm(i, "altup.router_norm") },
            router: part("altup.modality_router", count, hidden),
            prediction: part("altup.prediction_coefs", count * count, count),
            correction: part("altup.correction_coefs", count, count),
            clip: self.clip,
            output_scale: self.scaled.then(|| name(i, "altup.correct_output_scale")),
            laurel: Laurel {
                left: part("laurel.linear_left", self.rank, hidden),
                right: part("laurel.linear_right", hidden, self.rank),
                norm: sizes.layer_norm(i, "laurel.post_laurel_norm"),
            },
        };
        let activation = match self.sparsity[i] {
            0.0 => Activation::GeluTanh,
            share => Activation::SparseGeluTanh { deviations: quantile(share) as f32 },
        };
        let width = self.widths[if self.widths.len() > 1 { i } else { 0 }];
        Layer {
            ffn: sizes.mlp_of(name(i, "mlp"), width, false, activation).into(),
            per_layer_input: Some(PerLayerInput {
                gate: part("per_layer_input_gate", self.input, hidden),
                activation: Activation::GeluTanh,
                projection: part("per_layer_projection", hidden, self.input),
                norm: sizes.layer_norm(i, "post_per_layer_input_norm"),
            }),
            altup: Some(Box::new(altup)),
            ..sandwich(sizes, i, self.attention(i))
        }
    }

    fn attention(&self, i: usize) -> Attention {
        let (sizes, window) = (&self.sizes, self.windows[i]);
        let rope = if window.is_some() { &self.sliding } else { &self.full };
        let alike = |j: &usize| self.windows[*j].is_some() == window.is_some();
        let shares_kv_of = if i < self.own { None } else { (0..self.own).rev().find(alike) };
        let value_norm =
            Some(Norm { weights: Vec::new(), ..sizes.norm_of(attention_name(i, "v_norm"), sizes.head_dim) });
        let attention = sizes.normed_attention(i, false, false, rope);
        let mut attention = Attention { scale: 1.0, window, value_norm, shares_kv_of, ..attention };
        if shares_kv_of.is_some() {
            attention.qkv.truncate(1);
            (attention.key_norm, attention.value_norm) = (None, None);
        }
        attention
    }
}

/// The number that a normal variable stays below with this probability: bisection over the series of its distribution.
fn quantile(probability: f64) -> f64 {
    let below = |z: f64| {
        let (mut term, mut sum, mut n) = (z, z, 1.0);
        while term.abs() > 1e-17 * sum.abs() {
            n += 2.0;
            term *= z * z / n;
            sum += term;
        }
        0.5 + sum * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    };
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        if below(middle) < probability { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}
