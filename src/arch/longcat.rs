//! LongCat Flash: two layers of latent attention as one, experts that are computed beside the second, and choices that
//! give a row as it is.

use super::blocks::{self, Keys, MAX_INTERMEDIATE, MAX_LAYERS, Sizes, linear, name};
use super::config::Config;
use super::deepseek::Latent;
use super::experts::{self, Choice};
use super::spec::{Activation, Layer, Mixer, NgramTable, Ngrams, Routing, Spec};
use crate::error::Result;

pub(super) fn spec(config: &Config) -> Result<Spec> {
    let keys = Keys { layers: "num_layers", intermediate: "ffn_hidden_size", ..Keys::STANDARD };
    let mut sizes = Sizes::read_as(config, &keys)?;
    let pairs = config.usize("num_layers", 1..=MAX_LAYERS / 2)?;
    sizes.layers = 2 * pairs;
    let context = blocks::context_length(config, 131_072)?;
    let mut latent = Latent::read(config, &sizes, context, true)?;
    // That of MLX's norms, whatever the configuration says.
    latent.epsilon = 1e-5;
    let scale = |key, width: Option<usize>| match (config.bool(key)?, width) {
        (false, _) => Err(config.unsupported(key, "is not supported; true is")),
        (true, Some(width)) => Ok((sizes.hidden as f64 / width as f64).sqrt() as f32),
        (true, None) => Err(config.unsupported("q_lora_rank", "is not supported where queries are scaled")),
    };
    let query_scale = scale("mla_scale_q_lora", latent.short)?;
    let latent_scale = scale("mla_scale_kv_lora", Some(latent.latent))?;
    let count = config.usize("n_routed_experts", 1..=experts::MAX)?;
    let idle = config.usize("zero_expert_num", 0..=experts::MAX)?;
    if config.string("zero_expert_type")?.is_some_and(|kind| kind != "identity") {
        return Err(config.unsupported("zero_expert_type", "is not supported; identity is"));
    }
    let top_k = config.usize("moe_topk", 1..=count + idle)?;
    let width = config.usize("expert_ffn_hidden_size", 1..=MAX_INTERMEDIATE)?;
    let routing = Routing {
        normalize: config.bool_or("norm_topk_prob", false)?.then_some(1e-20),
        scale: config.f64("routed_scaling_factor", 1e-6..=1e6)? as f32,
        ..Choice::softmax(top_k)
    };
    let router_bias = config.bool_or("router_bias", false)?;
    blocks::silu(config)?;
    blocks::decoder(config, &sizes, context, false, |i| {
        let (pair, half) = (i / 2, i % 2);
        let mut layer = latent.layer(&sizes, i, true, sizes.split_mlp(i, false, Activation::Silu).into());
        if let Mixer::Latent(mixer) = &mut layer.mixer {
            mixer.latent_norm.factor = latent_scale;
            mixer.query.iter_mut().for_each(|query| query.norm.factor = query_scale);
        }
        let (all, own) = (format!("model.layers.{i}."), format!("model.layers.{pair}."));
        let renames = [
            (".self_attn.".to_string(), format!(".self_attn.{half}.")),
            (".mlp.".to_string(), format!(".mlps.{half}.")),
            (".input_layernorm.".to_string(), format!(".input_layernorm.{half}.")),
            (".post_attention_layernorm.".to_string(), format!(".post_attention_layernorm.{half}.")),
            (all, own),
        ];
        let layer = layer.renamed(&renames);
        if half == 1 {
            return layer;
        }
        let correction = Some(name(pair, "mlp.router.e_score_correction_bias"));
        let mut moe = sizes.moe(pair, "mlp", count, width, false, Routing { correction, ..routing.clone() });
        moe.router = linear(name(pair, "mlp.router.classifier"), count + idle, sizes.hidden, router_bias);
        moe.idle = idle;
        Layer { shortcut: Some(moe.into()), ..layer }
    })
}

/// LongCat Flash Lite: the same, with embeddings of n-grams.
pub(super) fn ngram(config: &Config) -> Result<Spec> {
    let mut spec = spec(config)?;
    let longest = config.usize_or("emb_neighbor_num", 4, 2..=16)?;
    let split = config.usize_or("emb_split_num", 4, 1..=64)?;
    let first = spec.vocab * config.usize_or("ngram_vocab_size_ratio", 78, 1..=1024)?;
    let count = split * (longest - 1);
    let width = spec.hidden / count;
    if width == 0 || first + 2 * count > u32::MAX as usize {
        let message = format!("does not fit {} tables of {first} rows in a width of {}", count, spec.hidden);
        return Err(config.corrupt("emb_split_num", message));
    }
    let table = |index: usize| NgramTable {
        tokens: 2 + index / split,
        table: linear(format!("model.ngram_embeddings.embedders.{index}"), first + 2 * index + 1, width, false),
        projection: linear(format!("model.ngram_embeddings.post_projs.{index}"), spec.hidden, width, false),
    };
    spec.ngrams = Some(Ngrams { tables: (0..count).map(table).collect() });
    spec.embedding.name = "model.ngram_embeddings.word_embeddings".into();
    Ok(spec)
}
