//! `config.json` to [`spec::Spec`]: one file a family.
//!
//! What a configuration means is what mlx-lm 0.32 makes of it, down to its defaults, because that is what MLX
//! checkpoints were converted and tried with. It differs in one thing: what mlx-lm would skip in silence and what
//! changes the answers is [`Unsupported`](crate::Code::Unsupported) here, or at least logged.

mod afm;
mod baichuan;
mod bailing;
mod bitnet;
mod blocks;
mod cohere;
mod config;
mod dbrx;
mod deepseek;
mod deepseek_v41;
mod dense;
mod experts;
mod falcon_h1;
mod gear;
mod gemma;
mod gemma2;
mod gemma3;
mod gemma3n;
mod gemma4;
mod gguf;
mod gpt;
mod granite;
mod grouped;
mod head_gates;
mod hunyuan;
mod iquest;
mod jamba;
mod kimi_k3;
mod kimi_linear;
mod klear;
mod layer_work;
mod lfm2;
mod llama;
mod llama4;
mod longcat;
mod mamba;
#[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "the catalogue asks for sizes by shapes"))]
mod memory;
mod mimo_flash;
mod minimax_m3;
mod mistral3;
mod moe;
mod muse;
mod muse_spark;
mod names;
mod nanbeige;
mod nanochat;
mod nemotron_h;
mod nemotron_nas;
mod olmo;
mod olmo2;
mod olmo_hybrid;
mod openelm;
mod phi;
mod phi3;
mod phi3small;
mod phixtral;
mod plamo;
mod prism;
mod quantization;
mod qwen;
mod qwen2;
mod qwen3;
mod qwen_moe;
mod qwen_next;
mod recurrent_gemma;
mod rope;
mod rwkv;
mod sliding_moe;
mod smollm3;
pub mod spec;
mod stablelm;
mod talkie;
#[cfg(test)]
mod tests;
mod wrapper;

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::weights::ModelFiles;
use config::Config;
pub(crate) use gguf::Published;
#[cfg(any(test, feature = "mlx"))]
pub(crate) use layer_work::Recording;
#[cfg(test)]
pub(crate) use memory::Kept;
#[cfg(feature = "hub")]
pub(crate) use memory::weights;
pub(crate) use memory::{Activations, Memory, memory};
use spec::Spec;

const CONFIG: &str = "config.json";
/// The largest config.json taken; per-layer quantization makes real ones a few hundred KB long.
const MAX_CONFIG: usize = 16 << 20;

type Family = fn(&Config) -> Result<Spec>;

/// Every `model_type` that runs. Renames share their family's function.
const FAMILIES: &[(&str, Family)] = &[
    ("Klear", klear::spec),
    ("afm7", afm::spec),
    ("afmoe", sliding_moe::trinity),
    ("apertus", dense::apertus),
    ("baichuan_m1", baichuan::spec),
    ("bailing_hybrid", bailing::hybrid),
    ("bailing_moe", grouped::bailing),
    ("bailing_moe_linear", bailing::linear_moe),
    ("bailing_moe_v3", bailing::third),
    ("bitnet", bitnet::spec),
    ("cohere", cohere::first),
    ("cohere2", cohere::second),
    ("dbrx", dbrx::spec),
    ("deepseek", grouped::deepseek),
    ("deepseek_v2", deepseek::second),
    ("deepseek_v3", deepseek::third),
    ("deepseek_v32", deepseek::sparse),
    ("deepseek_v41", deepseek_v41::spec),
    ("deepseek_v41_text", deepseek_v41::spec),
    ("dots1", grouped::dots),
    ("ernie4_5", dense::ernie),
    ("ernie4_5_moe", moe::ernie),
    ("exaone", dense::exaone),
    ("exaone4", olmo2::exaone4),
    ("exaone_moe", sliding_moe::exaone),
    ("falcon_h1", falcon_h1::spec),
    ("falcon_mamba", mamba::first),
    ("gear", gear::spec),
    ("gemma", gemma::spec),
    ("gemma2", gemma2::spec),
    ("gemma3", gemma3::multimodal),
    ("gemma3_text", gemma3::text),
    ("gemma3n", gemma3n::spec),
    ("gemma4", gemma4::multimodal),
    ("gemma4_text", gemma4::text),
    ("gemma4_unified", gemma4::multimodal),
    ("glm", dense::glm),
    ("glm4", dense::glm4),
    ("glm4_moe", moe::glm4_moe),
    ("glm4_moe_lite", deepseek::glm_lite),
    ("glm_moe_dsa", deepseek::glm_sparse),
    ("gpt2", phi::gpt2),
    ("gpt_bigcode", gpt::bigcode),
    ("gpt_neox", phi::gpt_neox),
    ("gpt_oss", moe::gpt_oss),
    ("gptj", gpt::j),
    ("granite", granite::dense),
    ("granitemoe", granite::moe),
    ("granitemoehybrid", granite::hybrid),
    ("helium", dense::helium),
    ("hunyuan", hunyuan::spec),
    ("hunyuan_v1_dense", dense::hunyuan),
    ("internlm2", dense::internlm2),
    ("internlm3", dense::internlm3),
    ("iquestcoder", llama::spec),
    ("iquestloopcoder", iquest::spec),
    ("jamba", jamba::spec),
    ("joyai_llm_flash", deepseek::third),
    ("kimi_k2", deepseek::third),
    ("kimi_k25", deepseek::multimodal),
    ("kimi_k3", kimi_k3::spec),
    ("kimi_linear", kimi_linear::spec),
    ("kimi_vl", deepseek::multimodal),
    ("laguna", head_gates::laguna),
    ("lfm2", lfm2::dense),
    ("lfm2-vl", lfm2::multimodal),
    ("lfm2_moe", lfm2::moe),
    ("lille-130m", openelm::lille),
    ("llama", llama::spec),
    ("llama4", llama4::multimodal),
    ("llama4_text", llama4::text),
    ("llava", mistral3::spec),
    ("longcat_flash", longcat::spec),
    ("longcat_flash_ngram", longcat::ngram),
    ("mamba", mamba::first),
    ("mamba2", mamba::second),
    ("mellum", qwen_moe::mellum),
    ("mimo", dense::mimo),
    ("mimo_v2_flash", mimo_flash::spec),
    ("minicpm", dense::minicpm),
    ("minicpm3", deepseek::minicpm3),
    ("minimax", moe::minimax),
    ("minimax_m2", moe::minimax),
    ("minimax_m3_vl", minimax_m3::multimodal),
    ("ministral3", dense::ministral3),
    ("mistral", llama::spec),
    ("mistral3", mistral3::spec),
    ("mistral4", deepseek::mistral4),
    ("mixtral", moe::mixtral),
    ("muse_glimmer", muse::glimmer),
    ("muse_spark", muse_spark::spec),
    ("nanbeige", nanbeige::spec),
    ("nanochat", nanochat::spec),
    ("nemotron", dense::nemotron),
    ("nemotron-nas", nemotron_nas::spec),
    ("nemotron_h", nemotron_h::spec),
    ("olmo", olmo::spec),
    ("olmo2", olmo2::spec),
    ("olmo3", olmo2::third),
    ("olmo_hybrid", olmo_hybrid::spec),
    ("olmoe", olmo2::moe),
    ("openelm", openelm::spec),
    ("phi", phi::phi),
    ("phi-msft", phixtral::spec),
    ("phi3", phi3::spec),
    ("phi3small", phi3small::spec),
    ("phimoe", moe::phimoe),
    ("phixtral", phixtral::spec),
    ("pixtral", mistral3::pixtral),
    ("plamo", plamo::first),
    ("plamo2", plamo::second),
    ("plamo3", plamo::third),
    ("prism_hadamard_qwen35", prism::hadamard),
    ("qwen", qwen::spec),
    ("qwen2", qwen2::spec),
    ("qwen2_5_vl", |config| wrapper::optional_text_part(config, qwen2::spec)),
    ("qwen2_moe", qwen_moe::second),
    ("qwen2_vl", |config| wrapper::optional_text_part(config, qwen2::spec)),
    ("qwen3", qwen3::spec),
    ("qwen3_5", qwen_next::third_and_a_half),
    ("qwen3_5_moe", qwen_next::third_and_a_half),
    ("qwen3_moe", qwen_moe::third),
    ("qwen3_next", qwen_next::next),
    ("qwen3_vl", |config| wrapper::optional_text_part(config, qwen3::spec)),
    ("qwen3_vl_moe", |config| wrapper::optional_text_part(config, qwen_moe::third)),
    ("recurrent_gemma", recurrent_gemma::spec),
    ("rwkv7", rwkv::seventh),
    ("seed_oss", dense::seed_oss),
    ("smollm3", smollm3::spec),
    ("solar_open", grouped::solar),
    ("spark2_5", head_gates::spark),
    ("stablelm", stablelm::spec),
    ("starcoder2", phi::starcoder2),
    ("step3p5", head_gates::step),
    ("talkie", talkie::spec),
    ("telechat3", llama::telechat),
    ("xverse", llama::spec),
    ("youtu_llm", deepseek::youtu),
];

/// The spec of a model, from its config.json.
pub(crate) fn spec(files: &ModelFiles) -> Result<Spec> {
    if let Some(gguf) = files.gguf() {
        return gguf::spec(gguf);
    }
    from_config(&config(files)?, &files.file_label(CONFIG))
}

/// The content of a model's config.json.
pub(crate) fn config(files: &ModelFiles) -> Result<Value> {
    let label = files.file_label(CONFIG);
    let Some(json) = files.read(CONFIG)? else {
        return Err(Error::new(Code::NotFound, format!("{label}: there is no such file"))
            .with_hint("every model has one; download the whole model"));
    };
    parse((*json).as_ref(), &label)
}

/// The spec of a model, from the bytes of its config.json. `label` is what messages call that file.
#[cfg(feature = "hub")]
pub(crate) fn from_json(json: &[u8], label: &str) -> Result<Spec> {
    from_config(&parse(json, label)?, label)
}

fn parse(json: &[u8], label: &str) -> Result<Value> {
    if json.len() > MAX_CONFIG {
        return Err(Error::corrupt(label, format_args!("{} bytes are more than {MAX_CONFIG}", json.len())));
    }
    // The parser gives up at a depth of 128.
    serde_json::from_slice(&finite(json)).map_err(|e| Error::corrupt(label, not_json(json, &e)))
}

/// The spec of a model, from the content of its config.json. `label` is what messages call that file.
pub(crate) fn from_config(config: &Value, label: &str) -> Result<Spec> {
    let config = Config::new(config, label)?;
    let Some(model_type) = config.string("model_type")? else {
        return Err(Error::corrupt(label, "model_type is missing").with_hint("is it the config.json of a model?"));
    };
    let Some((_, family)) = FAMILIES.iter().find(|(name, _)| *name == model_type) else {
        return Err(unknown(&config, model_type));
    };
    for key in ["model_file", "quantize_activations"] {
        match config.get(key) {
            None | Some(Value::Bool(false)) => {}
            Some(_) => return Err(config.unsupported(key, "is not supported")),
        }
    }
    family(&config)
}

fn unknown(config: &Config, model_type: &str) -> Error {
    let names = || FAMILIES.iter().map(|(name, _)| *name);
    let alike = |name: &str| strsim::jaro_winkler(name, model_type);
    let nearest = names().max_by(|a, b| alike(a).total_cmp(&alike(b))).unwrap_or_default();
    config
        .unsupported("model_type", "is not supported")
        .with_hint(format!("the nearest that is: {nearest}; all: {}", names().collect::<Vec<_>>().join(", ")))
}

/// The same with `Infinity`, which Python writes for limits that there are not, as a number that f32 takes for it.
fn finite(json: &[u8]) -> Cow<'_, [u8]> {
    const INFINITY: &[u8] = b"Infinity";
    if !json.windows(INFINITY.len()).any(|part| part == INFINITY) {
        return Cow::Borrowed(json);
    }
    let (mut out, mut rest, mut quoted) = (Vec::with_capacity(json.len()), json, false);
    while let Some(&byte) = rest.first() {
        let taken = match byte {
            b'\\' if quoted => 2.min(rest.len()),
            b'I' if !quoted && rest.starts_with(INFINITY) => {
                out.extend_from_slice(b"1e308");
                rest = &rest[INFINITY.len()..];
                continue;
            }
            _ => 1,
        };
        quoted ^= byte == b'"';
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    Cow::Owned(out)
}

/// What is wrong with JSON, and the line in question: `NaN`, which Python writes, is the usual fault.
fn not_json(json: &[u8], error: &serde_json::Error) -> String {
    let line = json.split(|&b| b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(120)]).trim().to_string();
    format!("is not JSON: {error}: {line:?}")
}
