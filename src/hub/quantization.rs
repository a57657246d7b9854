//! What the ecosystem calls quantization, under one name.

use serde::Serialize;
use serde_json::Value;

/// How a model's weights are stored, as far as its configuration, tags or name tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelQuantization {
    /// The common name: `4bit` for `q4`, `q4_0`, `q4_k_m`, `int4`, 4 bits in groups of 64 and the like; `mxfp4`, `nvfp4`,
    /// `mxfp8`, `fp8`; `bf16`, `f16`, `f32` for numbers that are not quantized.
    pub name: String,
    /// Bits of a code or number.
    pub bits: u32,
    /// Numbers that share a scale.
    pub group_size: Option<u32>,
    /// The method where it is not MLX's own: `gptq`, `awq`, `bitsandbytes`, `q4_k_m`, …
    pub method: Option<String>,
    /// Whether layers differ.
    pub mixed: bool,
}

impl ModelQuantization {
    fn of_bits(bits: u32) -> Self {
        Self { name: format!("{bits}bit"), bits, group_size: None, method: None, mixed: false }
    }

    fn named(name: &str, bits: u32) -> Self {
        Self { name: name.to_owned(), bits, group_size: None, method: None, mixed: false }
    }

    /// From a config.json, else the tags, else the name of a repository.
    pub(super) fn detect(config: Option<&Value>, tags: &[String], id: &str) -> Option<Self> {
        let stored = config.and_then(of_config);
        let named = || of_name(id.rsplit('/').next().unwrap_or(id));
        let tagged = || tags.iter().find_map(|tag| of_name(tag));
        stored.or_else(named).or_else(tagged).or_else(|| config.and_then(of_dtype))
    }
}

/// MLX's `quantization`, or others' `quantization_config`.
fn of_config(config: &Value) -> Option<ModelQuantization> {
    let own = config.get("quantization").filter(|value| value.is_object());
    let found = own.or_else(|| config.get("quantization_config").filter(|value| value.is_object()))?;
    let number = |key: &str| found.get(key).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let method = found.get("quant_method").and_then(Value::as_str).map(str::to_lowercase);
    let mode = found.get("mode").and_then(Value::as_str).or(method.as_deref()).unwrap_or("affine");
    let bits = number("bits").or_else(|| match mode {
        "mxfp4" | "nvfp4" => Some(4),
        "mxfp8" | "fp8" => Some(8),
        _ if found.get("load_in_4bit").and_then(Value::as_bool) == Some(true) => Some(4),
        _ if found.get("load_in_8bit").and_then(Value::as_bool) == Some(true) => Some(8),
        _ => None,
    })?;
    let mut result = match mode {
        "mxfp4" | "mxfp8" | "nvfp4" | "fp8" => ModelQuantization::named(mode, bits),
        _ => ModelQuantization::of_bits(bits),
    };
    result.group_size = number("group_size").filter(|size| *size > 0);
    result.method = method.filter(|method| *method != result.name);
    result.mixed = found.as_object().is_some_and(|entries| {
        entries.values().any(|layer| layer.get("bits").is_some_and(|other| other.as_u64() != Some(bits.into())))
    });
    Some(result)
}

/// The type of numbers that are not quantized.
fn of_dtype(config: &Value) -> Option<ModelQuantization> {
    let inner = config.get("text_config").unwrap_or(config);
    let dtype = ["torch_dtype", "dtype"].iter().find_map(|key| config.get(key).or_else(|| inner.get(key)));
    of_word(dtype?.as_str()?)
}

/// From words such as `4bit`, `q4_k_m`, `int8` in a name or tag. The last one counts: `Qwen3-4B-bf16-4bit` is the 4-bit
/// conversion.
fn of_name(name: &str) -> Option<ModelQuantization> {
    let name = name.to_lowercase();
    let words: Vec<_> =
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    let pair = |pair: &[&str]| match pair {
        [bits, "bit" | "bits"] => of_word(&format!("{bits}bit")),
        _ => None,
    };
    let single = words.iter().rev().find_map(|word| of_word(word).or_else(|| word.split('_').rev().find_map(of_word)));
    single.or_else(|| words.windows(2).rev().find_map(pair))
}

fn of_word(word: &str) -> Option<ModelQuantization> {
    let width = |text: &str| text.parse().ok().filter(|bits| (1..=8).contains(bits));
    match word {
        "bf16" | "bfloat16" => return Some(ModelQuantization::named("bf16", 16)),
        "f16" | "fp16" | "float16" => return Some(ModelQuantization::named("f16", 16)),
        "f32" | "fp32" | "float32" => return Some(ModelQuantization::named("f32", 32)),
        "mxfp4" | "nvfp4" => return Some(ModelQuantization::named(word, 4)),
        "mxfp8" | "fp8" => return Some(ModelQuantization::named(word, 8)),
        _ => {}
    }
    // w4a16: weights and activations.
    if let Some((weights, activations)) = word.strip_prefix('w').and_then(|rest| rest.split_once('a')) {
        activations.parse::<u32>().ok()?;
        return width(weights).map(ModelQuantization::of_bits);
    }
    if let Some(bits) = word.strip_suffix("bits").or_else(|| word.strip_suffix("bit")) {
        return width(bits).map(ModelQuantization::of_bits);
    }
    let gguf = word.strip_prefix("iq").or_else(|| word.strip_prefix("tq")).or_else(|| word.strip_prefix('q'));
    let rest = gguf.or_else(|| word.strip_prefix("int"))?;
    let (bits, kind) = rest.split_once('_').unwrap_or((rest, ""));
    let kinds = ["", "0", "1", "k", "k_s", "k_m", "k_l", "k_xl", "xxs", "xs", "s", "m", "nl"];
    let mut result = width(bits).filter(|_| kinds.contains(&kind)).map(ModelQuantization::of_bits)?;
    result.method = gguf.filter(|_| !kind.is_empty()).map(|_| word.to_owned());
    Some(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name_of(config: Value, tags: &[&str], id: &str) -> Option<String> {
        let tags: Vec<_> = tags.iter().map(|&tag| tag.to_owned()).collect();
        ModelQuantization::detect(Some(&config), &tags, id).map(|found| found.name)
    }

    #[test]
    fn names_of_one_thing_become_one_name() {
        for (id, expected) in [
            ("mlx-community/Qwen3-4B-4bit", "4bit"),
            ("mlx-community/Qwen3-4B-4-bit", "4bit"),
            ("x/Llama-3-8B-Q4_K_M-GGUF", "4bit"),
            ("x/Llama-3-8B-q4_0", "4bit"),
            ("x/Llama-3-8B-q4", "4bit"),
            ("x/Llama-3-8B-IQ3_XXS", "3bit"),
            ("x/Llama-3-8B-int8", "8bit"),
            ("x/Llama-3-8B-w4a16", "4bit"),
            ("x/gpt-oss-20b-MXFP4-Q8", "8bit"),
            ("x/gpt-oss-20b-mxfp4", "mxfp4"),
            ("x/Qwen3-4B-FP8", "fp8"),
            ("x/Qwen3-4B-bf16", "bf16"),
            ("x/Qwen3-4B-Instruct-2507-4bit-DWQ", "4bit"),
            ("x/Mistral-7B-Instruct-v0.3-8bits", "8bit"),
            ("x/ERNIE-4.5-0.3B-PT-bf16-ft", "bf16"),
            ("x/CodeLlama-13b-Instruct-hf-4bit-MLX", "4bit"),
        ] {
            assert_eq!(name_of(json!({}), &[], id).as_deref(), Some(expected), "{id}");
        }
        for id in
            ["x/Qwen3-4B", "x/phi-2", "x/w2ab", "x/q4ever", "x/interesting-8B", "x/Qwen2.5-VL-7B-Instruct", "x/9bit"]
        {
            assert_eq!(name_of(json!({}), &[], id), None, "{id}");
        }
    }

    #[test]
    fn the_configuration_comes_first_then_the_name_then_tags() {
        let affine = json!({"quantization": {"bits": 4, "group_size": 64, "lm_head": {"bits": 6, "group_size": 64}}});
        let found = ModelQuantization::detect(Some(&affine), &[], "x/y-8bit").unwrap();
        assert_eq!((found.name.as_str(), found.group_size, found.mixed), ("4bit", Some(64), true));
        let gptq = json!({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}});
        let found = ModelQuantization::detect(Some(&gptq), &[], "x/y").unwrap();
        assert_eq!((found.name.as_str(), found.method.as_deref()), ("4bit", Some("gptq")));
        let fp8 = json!({"quantization_config": {"quant_method": "fp8"}});
        assert_eq!(name_of(fp8, &[], "x/y").as_deref(), Some("fp8"));
        let mxfp4 = json!({"quantization": {"bits": 4, "group_size": 32, "mode": "mxfp4"}});
        assert_eq!(name_of(mxfp4, &[], "x/y").as_deref(), Some("mxfp4"));
        assert_eq!(name_of(json!({}), &["text-generation", "8-bit"], "x/y-4bit").as_deref(), Some("4bit"));
        assert_eq!(name_of(json!({}), &["text-generation", "8-bit"], "x/y").as_deref(), Some("8bit"));
        assert_eq!(name_of(json!({"torch_dtype": "bfloat16"}), &["4-bit"], "x/y").as_deref(), Some("4bit"));
        assert_eq!(name_of(json!({"torch_dtype": "bfloat16"}), &[], "x/y").as_deref(), Some("bf16"));
        // No list, number or text is taken for a set of settings.
        for wrong in [json!([]), json!(4), json!("4bit"), json!({"bits": "four"}), json!({"bits": 1u64 << 40})] {
            assert_eq!(name_of(json!({"quantization": wrong}), &[], "x/y"), None);
        }
    }
}
