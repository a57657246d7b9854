//! MiniMax M3: the text part. From so many blocks of positions on an indexer chooses those that each position sees.

use serde_json::{Value, json};

use super::blocks::{self, MAX_CONTEXT, MAX_HEAD_DIM, MAX_INTERMEDIATE, Sizes, attention_name, linear, name};
use super::config::Config;
use super::experts::{self, Choice};
use super::rope::{self, Base};
use super::spec::{Activation, Choice as Chosen, Indexer, Mlp, Routing, Spec};
use super::wrapper;
use crate::error::Result;

pub(super) fn multimodal(config: &Config) -> Result<Spec> {
    wrapper::text_part(config, Value::Null, None, "language_model.", |config| {
        let defaults = json!({
            "hidden_size": 6144, "intermediate_size": 3072, "dense_intermediate_size": 12_288,
            "shared_intermediate_size": 3072, "num_attention_heads": 64, "num_key_value_heads": 4,
            "num_hidden_layers": 60, "num_local_experts": 128, "num_experts_per_tok": 4, "rms_norm_eps": 1e-6,
            "head_dim": 128, "vocab_size": 200_064,
        });
        config.with_defaults(defaults, text)
    })
}

fn text(config: &Config) -> Result<Spec> {
    let mut sizes = Sizes::read(config)?;
    if config.bool_or("use_gemma_norm", true)? {
        sizes.norm_offset = 1.0;
    }
    let context = blocks::context_length(config, 1 << 20)?;
    rope::refuse_rope_scaling(config)?;
    let parameters = config.object("rope_parameters")?;
    let of = parameters.as_ref().unwrap_or(config);
    let theta = match of.optional_f64("rope_theta", 1.001..=1e15)? {
        Some(theta) => theta,
        None => rope::theta_or(config, "rope_theta", 5e6)?,
    };
    let partial = match of.optional_f64("partial_rotary_factor", 0.0..=1.0)? {
        Some(partial) => partial,
        None => config.f64_or("partial_rotary_factor", 0.5, 0.0..=1.0)?,
    };
    let dims = (sizes.head_dim as f64 * partial) as usize;
    let dims = config.usize_or("rotary_dim", dims, 2..=sizes.head_dim)?;
    let base = Base { dims, traditional: false, theta: None, context };
    let rope = rope::scaled(config, parameters.as_ref(), &base, theta)?;
    let index = Index::read(config, &sizes)?;
    let index_rope = match &index {
        Some(index) => {
            let base = Base { dims: dims.min(index.head_dim), ..base };
            Some(rope::scaled(config, parameters.as_ref(), &base, theta)?)
        }
        None => None,
    };
    let normed = config.bool_or("use_qk_norm", true)?;
    let activation = Activation::ClippedSwiglu {
        alpha: config.f64_or("swiglu_alpha", 1.702, 0.0..=1e3)? as f32,
        limit: config.f64_or("swiglu_limit", 7.0, 1e-3..=1e6)? as f32,
    };
    let sparse = by_layer(config, ["mlp_layer_types", "moe_layer_freq"], "sparse", sizes.layers)?;
    let count = config.usize("num_local_experts", 1..=experts::MAX)?;
    let top_k = config.usize("num_experts_per_tok", 1..=count)?;
    let scale = config.f64_or("routed_scaling_factor", 2.0, 1e-6..=1e6)? as f32;
    let width = |key| config.usize(key, 1..=MAX_INTERMEDIATE);
    let (dense, shared) = (width("dense_intermediate_size")?, width("shared_intermediate_size")?);
    let tied = config.bool_or("tie_word_embeddings", false)?;
    blocks::decoder(config, &sizes, context, tied, |i| {
        let mut attention = match normed {
            true => sizes.normed_attention(i, false, false, &rope),
            false => sizes.attention(i, sizes.split_qkv(i, false), false, &rope),
        };
        if let Some(index) = index.as_ref().filter(|index| index.layers[i]) {
            let (part, width) = (|part| attention_name(i, part), index.heads * index.head_dim);
            attention.qkv.push(linear(part("index_q_proj"), width, sizes.hidden, false));
            attention.qkv.push(linear(part("index_k_proj"), index.head_dim, sizes.hidden, false));
            attention.indexer = Some(Box::new(Indexer {
                heads: index.heads,
                head_dim: index.head_dim,
                query_norm: Some(sizes.norm_of(part("index_q_norm"), index.head_dim)),
                key_norm: Some(sizes.norm_of(part("index_k_norm"), index.head_dim)),
                rope: index_rope.clone(),
                choice: index.choice,
            }));
        }
        if !sparse[i] {
            return sizes.layer(i, attention, sizes.mlp_of(name(i, "mlp"), dense, false, activation));
        }
        let correction = Some(name(i, "block_sparse_moe.e_score_correction_bias"));
        let routing = Routing { normalize: Some(1e-20), scale, ..Choice::sigmoid(top_k, correction, None) };
        let mut moe = sizes.moe(i, "block_sparse_moe", count, sizes.intermediate, false, routing);
        moe.mlp = Mlp { activation, ..moe.mlp };
        moe.shared = Some(sizes.mlp_of(name(i, "block_sparse_moe.shared_experts"), shared, false, activation).into());
        sizes.layer(i, attention, moe)
    })
}

/// The indexer of layers that have one.
struct Index {
    heads: usize,
    head_dim: usize,
    choice: Chosen,
    layers: Vec<bool>,
}

impl Index {
    /// What `sparse_attention_config` says, or else the configuration itself.
    fn read(config: &Config, sizes: &Sizes) -> Result<Option<Self>> {
        let nested = config.object("sparse_attention_config")?;
        let number = |inner: &str, key: &str, range: std::ops::RangeInclusive<usize>| match &nested {
            Some(nested) if nested.get(inner).is_some() => nested.optional_usize(inner, range),
            _ => config.optional_usize(key, range),
        };
        let Some(size) = number("sparse_block_size", "index_block_size", 1..=MAX_CONTEXT)? else { return Ok(None) };
        let of = match &nested {
            Some(nested) if nested.get("sparse_attention_freq").is_some() => nested,
            _ => config,
        };
        let layers = match config.strings("layer_types")? {
            Some(_) => by_layer(config, ["layer_types", "sparse_attention_freq"], "", sizes.layers)?,
            None => by_layer(of, ["layer_types", "sparse_attention_freq"], "", sizes.layers)?,
        };
        let needed = |inner: &str, key: &str, range| {
            number(inner, key, range)?.ok_or_else(|| config.wrong(key, "a number where index_block_size is one"))
        };
        let count = needed("sparse_topk_blocks", "index_topk_blocks", 1..=MAX_CONTEXT)?;
        let local = number("sparse_local_block", "index_local_blocks", 0..=count)?.unwrap_or(1);
        let heads = needed("sparse_num_index_heads", "index_n_heads", 1..=sizes.kv_heads)?;
        if !sizes.kv_heads.is_multiple_of(heads) {
            let message = format!("does not divide the {} key heads", sizes.kv_heads);
            return Err(config.unsupported("index_n_heads", message));
        }
        let head_dim = needed("sparse_index_dim", "index_head_dim", 2..=MAX_HEAD_DIM)?;
        Ok(Some(Self { heads, head_dim, choice: Chosen::Blocks { size, count, local }, layers }))
    }
}

/// Whether something holds for each layer, by a list of kinds or one of numbers; for all without. Without a `kind` all
/// but full attention counts.
fn by_layer(config: &Config, keys: [&str; 2], kind: &str, layers: usize) -> Result<Vec<bool>> {
    let holds = |found: &str| if kind.is_empty() { found != "full_attention" } else { found == kind };
    let list: Vec<bool> = match (config.strings(keys[0])?, config.f64s(keys[1], 0.0..=1.0)?) {
        (Some(kinds), _) => kinds.into_iter().map(holds).collect(),
        (None, Some(numbers)) => numbers.into_iter().map(|number| number != 0.0).collect(),
        (None, None) => vec![true; layers],
    };
    if list.len() != layers {
        return Err(config.corrupt(keys[0], format_args!("must have one entry for each of the {layers} layers")));
    }
    Ok(list)
}
