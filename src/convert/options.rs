//! What a conversion is asked for, and which format each matrix gets.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::arch::spec::{Ffn, Mixer, QuantizationFormat, QuantizationMode, Spec};
use crate::error::{Error, Result};
use crate::weights::Dtype;

/// What [`convert`](super::convert) makes of a model. Without `bits`, `group_size`, `mode` and `recipe` nothing is
/// quantized; the blocks of a GGUF file stay as near as can be to what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConvertOptions {
    /// Bits a code: 2, 3, 4, 5, 6 or 8. 4 by default.
    pub bits: Option<usize>,
    /// Numbers that share a scale: 32, 64 or 128. 64 by default; the other modes have sizes of their own.
    pub group_size: Option<usize>,
    /// What codes mean. Affine by default.
    pub mode: Option<QuantizationMode>,
    /// More bits for some matrices.
    pub recipe: Option<Recipe>,
    /// The format of floats, which is also that of affine scales. By default what config.json calls `torch_dtype`, else
    /// each tensor keeps its own. By default of a GGUF file: that of its matrices, f16 beside blocks, bf16 of a Gemma.
    pub dtype: Option<Dtype>,
    /// Make floats of a model that is quantized, as MLX or in a GGUF file. `dtype` is then also the format that its codes
    /// are turned into.
    pub dequantize: bool,
}

/// mlx-lm's recipes: values and down projections of some layers, and the head, get more bits than the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// 2 and 6 bits.
    Mixed2And6,
    /// 3 and 4 bits.
    Mixed3And4,
    /// 3 and 6 bits.
    Mixed3And6,
    /// 4 and 6 bits.
    Mixed4And6,
}

impl Recipe {
    const ALL: [Self; 4] = [Self::Mixed2And6, Self::Mixed3And4, Self::Mixed3And6, Self::Mixed4And6];

    /// The name in mlx-lm.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed2And6 => "mixed_2_6",
            Self::Mixed3And4 => "mixed_3_4",
            Self::Mixed3And6 => "mixed_3_6",
            Self::Mixed4And6 => "mixed_4_6",
        }
    }

    /// Bits of most matrices and of the chosen ones.
    fn bits(self) -> (usize, usize) {
        match self {
            Self::Mixed2And6 => (2, 6),
            Self::Mixed3And4 => (3, 4),
            Self::Mixed3And6 => (3, 6),
            Self::Mixed4And6 => (4, 6),
        }
    }
}

impl FromStr for Recipe {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|recipe| recipe.name()).collect();
            Error::invalid(format!("{name:?} is not a recipe")).with_hint(format!("known are {}", known.join(", ")))
        })
    }
}

impl ConvertOptions {
    /// The format of most matrices, if they are quantized at all.
    pub(super) fn format(&self) -> Result<Option<QuantizationFormat>> {
        if let Some(dtype) = self.dtype.filter(|dtype| !dtype.is_float()) {
            return Err(
                Error::invalid(format!("{dtype} is not a format of weights")).with_hint("choose f32, f16 or bf16")
            );
        }
        let Self { bits, group_size, mode, recipe, .. } = *self;
        if bits.is_none() && group_size.is_none() && mode.is_none() && recipe.is_none() {
            return Ok(None);
        }
        if self.dequantize {
            return Err(Error::invalid("the model is to be quantized and to be made of floats")
                .with_hint("leave out dequantize, or bits, group, mode and recipe"));
        }
        let mode = mode.unwrap_or(QuantizationMode::Affine);
        if let Some(recipe) = recipe {
            if mode != QuantizationMode::Affine {
                let message = format!("{} is a recipe of affine codes, not of {}", recipe.name(), mode.name());
                return Err(Error::invalid(message).with_hint("leave out the mode, or the recipe"));
            }
            if let Some(bits) = bits {
                let message = format!("{bits} bits and the recipe {}, which has its own", recipe.name());
                return Err(Error::invalid(message).with_hint("leave out one of the two"));
            }
        }
        let usual = QuantizationFormat::usual(mode);
        let bits = recipe.map_or(bits.unwrap_or(usual.bits), |recipe| recipe.bits().0);
        let format = QuantizationFormat { bits, group_size: group_size.unwrap_or(usual.group_size), mode };
        if !format.is_known() {
            let message = format!("{} of {bits} bits in groups of {}", mode.name(), format.group_size);
            return Err(Error::invalid(message).with_hint(format!("there are {}", QuantizationFormat::KNOWN)));
        }
        Ok(Some(format))
    }
}

/// What a matrix is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Floats.
    Dense,
    /// In the format of most matrices.
    Usual(QuantizationFormat),
    /// In a format that config.json has to name.
    Own(QuantizationFormat),
}

/// The families whose routers mlx-lm keeps as floats.
const DENSE_ROUTERS: &[&str] = &[
    "bailing_moe_v3",
    "deepseek",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "deepseek_v41",
    "deepseek_v41_text",
    "dots1",
    "exaone_moe",
    "glm4_moe",
    "glm4_moe_lite",
    "glm_moe_dsa",
    "joyai_llm_flash",
    "kimi_k2",
    "kimi_k25",
    "kimi_vl",
    "mimo_v2_flash",
    "muse_spark",
    "nemotron_h",
    "solar_open",
];
/// The families whose routers are quantized like all else; others have 8 bits.
const USUAL_ROUTERS: &[&str] = &[
    "dbrx",
    "ernie4_5_moe",
    "hunyuan",
    "llama4",
    "llama4_text",
    "mistral4",
    "mixtral",
    "olmoe",
    "phimoe",
    "phixtral",
    "qwen2_moe",
];
/// Other matrices that mlx-lm keeps as floats, by family and end of name.
const DENSE: &[(&str, &[&str])] = &[
    ("bailing_hybrid", &["attention.embed_q", "attention.unembed_out"]),
    (
        "bailing_moe_v3",
        &[
            "model.word_embeddings",
            "lm_head",
            "attention.b_proj",
            "attention.embed_q",
            "attention.kv_a_proj_with_mqa",
            "attention.q_a_proj",
            "attention.q_b_proj",
            "attention.unembed_out",
        ],
    ),
    ("spark2_5", &["self_attn.g_proj"]),
];

/// The same, but of layers with latent attention alone.
const DENSE_OF_LATENT: &[(&str, &[&str])] = &[("bailing_moe_v3", &["attention.g_proj", "attention.q_proj"])];

/// Decides the format of each matrix, as mlx-lm's `quantize_model` does it.
pub(super) struct Rule<'a> {
    spec: &'a Spec,
    format: QuantizationFormat,
    recipe: Option<Recipe>,
    /// Names of the matrices that choose experts.
    routers: BTreeSet<&'a str>,
    /// Names of the matrices that weigh shared experts.
    shared_gates: BTreeSet<&'a str>,
    /// Which part of a matrix's name is the number of its layer.
    layer_part: usize,
}

impl<'a> Rule<'a> {
    pub fn new(spec: &'a Spec, format: QuantizationFormat, recipe: Option<Recipe>) -> Result<Self> {
        let moes = || {
            spec.layers.iter().flat_map(|layer| layer.ffns()).filter_map(|ffn| match ffn {
                Ffn::Moe(moe) => Some(moe),
                _ => None,
            })
        };
        let gates = moes().filter_map(|moe| moe.shared.as_ref()?.gate.as_ref());
        let down = spec.linears().find(|linear| linear.name.contains("down_proj"));
        if let (Some(recipe), None) = (recipe, down) {
            let message = format!("{} for {}, which has no down_proj", recipe.name(), spec.model_type);
            return Err(Error::unsupported(message).with_hint("choose bits for all matrices instead"));
        }
        // mlx-lm's recipes take a part of each name for a layer's number, which the names of these tables don't have.
        if let (Some(recipe), Some(_)) = (recipe, &spec.ngrams) {
            let message = format!("{} for {}, which has tables of n-grams", recipe.name(), spec.model_type);
            return Err(Error::unsupported(message).with_hint("choose bits for all matrices instead"));
        }
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let layer_part = down.and_then(|down| down.name.split('.').position(is_number)).unwrap_or(0);
        Ok(Self {
            spec,
            format,
            recipe,
            routers: moes().map(|moe| moe.router.name.as_str()).collect(),
            shared_gates: gates.map(|gate| gate.name.as_str()).collect(),
            layer_part,
        })
    }

    /// How to store the matrix `name` of so many columns.
    pub fn stored(&self, name: &str, columns: usize) -> Result<Stored> {
        let family = self.spec.model_type.as_str();
        if !columns.is_multiple_of(self.format.group_size)
            || self.routers.contains(name) && DENSE_ROUTERS.contains(&family)
            // Not a layer of mlx-lm's, which only has formats for those.
            || family == "iquestloopcoder" && name.contains("gate_projections.")
        {
            return Ok(Stored::Dense);
        }
        if let Some(recipe) = self.recipe {
            let (low, high) = recipe.bits();
            let bits = if self.gets_more(name) { high } else { low };
            return Ok(Stored::Own(QuantizationFormat { bits, ..self.format }));
        }
        let listed = |list: &[(&str, &[&str])]| {
            let mut ends = list.iter().filter(|(of, _)| *of == family).flat_map(|(_, ends)| *ends);
            ends.any(|end| name.ends_with(end))
        };
        if listed(DENSE) || listed(DENSE_OF_LATENT) && self.is_of_latent(name) {
            return Ok(Stored::Dense);
        }
        if family == "muse_spark" && !self.is_inner_expert(name) {
            return Ok(Stored::Dense);
        }
        if !self.is_delicate(name) {
            return Ok(Stored::Usual(self.format));
        }
        let format = QuantizationFormat::affine(8, 64);
        if !columns.is_multiple_of(format.group_size) {
            let message = format!("{name} has {columns} columns, which its groups of 64 don't divide");
            return Err(Error::unsupported(message));
        }
        Ok(Stored::Own(format))
    }

    /// Whether few bits would do much harm.
    fn is_delicate(&self, name: &str) -> bool {
        let family = self.spec.model_type.as_str();
        if family == "rwkv7" && (name.contains("lora.2") || name.contains("embeddings")) {
            return true;
        }
        if matches!(family, "granite" | "granitemoe")
            && (name == "lm_head" || name.ends_with("self_attn.o_proj") || name.ends_with("mlp.down_proj"))
        {
            return true;
        }
        !USUAL_ROUTERS.contains(&family) && (self.routers.contains(name) || self.shared_gates.contains(name))
    }

    /// Whether a matrix is one of experts, in a layer that is neither the first nor the last.
    fn is_inner_expert(&self, name: &str) -> bool {
        let inner = self.spec.layers.iter().rev().skip(1).rev().skip(1).flat_map(|layer| layer.ffns());
        let mut moes = inner.filter_map(|ffn| if let Ffn::Moe(moe) = ffn { Some(moe) } else { None });
        moes.any(|moe| moe.mlp.gate_up.iter().chain([&moe.mlp.down]).any(|linear| linear.name == name))
    }

    /// Whether a matrix belongs to a layer with latent attention.
    fn is_of_latent(&self, name: &str) -> bool {
        let mut mixers = self.spec.layers.iter().flat_map(|layer| layer.mixers());
        mixers
            .any(|mixer| matches!(mixer, Mixer::Latent(_)) && mixer.linears().iter().any(|linear| linear.name == name))
    }

    /// The choice of all recipes.
    fn gets_more(&self, name: &str) -> bool {
        // mlx-lm counts its layers, of which one family has two of ours in each; ours are there as often as they run.
        let own = if self.spec.model_type == "longcat_flash" { 2 } else { 1 };
        let layers = self.spec.layers.len() / own / self.spec.loops.map_or(1, |loops| loops.times.max(1));
        let layer: usize = name.split('.').nth(self.layer_part).and_then(|part| part.parse().ok()).unwrap_or(0);
        let chosen = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
        let parts = ["v_proj", "v_a_proj", "v_b_proj", "down_proj"];
        name.contains("lm_head") || chosen && parts.iter().any(|part| name.contains(part))
    }
}
