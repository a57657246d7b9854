//! Rotary frequencies: every known scaling ends up as one inverse frequency a pair and one magnitude.
//!
//! Follows mlx-lm's `rope_utils.py`, whose frequencies are the reciprocals of ours. Computed in f64 and rounded once;
//! mlx-lm's f32 steps differ from that by rounding only.

use std::f64::consts::PI;

use super::blocks::MAX_CONTEXT;
use super::config::Config;
use super::spec::Rope;
use crate::error::Result;

/// Scaling factors and the like.
const FACTOR: std::ops::RangeInclusive<f64> = 1e-6..=1e6;
/// Bases; a base of 1 would leave all pairs at the same frequency.
const BASE: std::ops::RangeInclusive<f64> = 1.001..=1e15;
/// What `original_max_position_embeddings` is where neither the file nor a rule of the scaling says.
const ORIGINAL_CONTEXT: usize = 4096;

const PARTIAL: &str = "partial_rotary_factor";
const SCALING: &str = "rope_scaling";
const PARAMETERS: &str = "rope_parameters";

/// What a family knows about its rotary embedding before the scaling.
pub(super) struct Base {
    /// Rotated dimensions of each head.
    pub dims: usize,
    /// Pairs are neighbours.
    pub traditional: bool,
    /// `rope_theta` where the file has none; required there when absent.
    pub theta: Option<f64>,
    /// The positions that the scaled model is for.
    pub context: usize,
}

/// The rotary embedding of a decoder whose heads are all alike.
pub(super) fn rope(config: &Config, base: &Base) -> Result<Rope> {
    let theta = theta(config, base)?;
    scaled(config, scaling(config)?.as_ref(), base, theta)
}

/// The rotary embedding of a family that has no scaling.
pub(super) fn plain(config: &Config, dims: usize, traditional: bool, theta: f64) -> Result<Rope> {
    refuse_scaling(config)?;
    local(config, dims, traditional, theta)
}

/// Fails for a family without scaling if the file asks for one. mlx-lm runs such a file without it, transformers with
/// it: better refused than answered otherwise than it was meant.
pub(super) fn refuse_scaling(config: &Config) -> Result<()> {
    refuse(config, scaling(config)?, if config.object(SCALING)?.is_some() { SCALING } else { PARAMETERS })
}

/// Fails for a family that reads `rope_parameters` only if `rope_scaling` asks for something, too.
pub(super) fn refuse_rope_scaling(config: &Config) -> Result<()> {
    refuse(config, config.object(SCALING)?, SCALING)
}

fn refuse(config: &Config, scaling: Option<Config>, key: &str) -> Result<()> {
    match scaling.as_ref().map_or(Ok("default"), kind_of)? {
        kind if changes_nothing(kind) => Ok(()),
        _ => {
            let hint = "remove it to run the model in the context that it was trained for";
            Err(config.unsupported(key, "is not supported for this model_type").with_hint(hint))
        }
    }
}

/// A rotary embedding that no scaling of the file touches, as that of layers with a window often is.
pub(super) fn local(config: &Config, dims: usize, traditional: bool, theta: f64) -> Result<Rope> {
    scaled(config, None, &Base { dims, traditional, theta: None, context: 0 }, theta)
}

/// Whether a scaling leaves the frequencies as they are: the three parts of an mrope position are alike for text, and a
/// dynamic base only differs beyond the context.
fn changes_nothing(kind: &str) -> bool {
    matches!(kind, "default" | "mrope" | "dynamic")
}

/// `key` of a configuration as the base of a rotary embedding.
pub(super) fn theta_or(config: &Config, key: &str, default: f64) -> Result<f64> {
    config.f64_or(key, default, BASE)
}

/// A rotary embedding with the given scaling. `config` is where `longrope` looks for the original context, and what
/// messages name.
pub(super) fn scaled(config: &Config, scaling: Option<&Config>, base: &Base, theta: f64) -> Result<Rope> {
    let dims = base.dims;
    if dims < 2 || !dims.is_multiple_of(2) {
        return Err(config.corrupt("head_dim", format_args!("leaves {dims} dimensions to rotate; pairs are needed")));
    }
    let plain: Vec<f64> = (0..dims / 2).map(|i| theta.powf(-2.0 * i as f64 / dims as f64)).collect();
    let kind = scaling.map_or(Ok("default"), kind_of)?;
    let (inverse, magnitude) = match (kind, scaling) {
        (kind, _) if changes_nothing(kind) => (plain, 1.0),
        (_, None) => (plain, 1.0),
        ("linear", Some(scaling)) => {
            let factor = scaling.f64("factor", FACTOR)?;
            (plain.into_iter().map(|f| f / factor).collect(), 1.0)
        }
        ("llama3", Some(scaling)) => (llama3(scaling, plain)?, 1.0),
        ("yarn" | "deepseek_yarn", Some(scaling)) => yarn(scaling, base, theta, plain)?,
        ("longrope" | "su", Some(scaling)) => longrope(config, scaling, base, plain)?,
        ("proportional", Some(scaling)) => (proportional(scaling, dims, plain)?, 1.0),
        (_, Some(scaling)) => {
            let key = if scaling.get("type").is_some() { "type" } else { "rope_type" };
            let known = "default, linear, dynamic, llama3, yarn, longrope, proportional and mrope";
            return Err(scaling.unsupported(key, format_args!("is not supported; {known} are")));
        }
    };
    let traditional = base.traditional && !matches!(kind, "longrope" | "su");
    Ok(Rope {
        dims,
        traditional,
        inverse_frequencies: inverse.into_iter().map(|f| f as f32).collect(),
        magnitude: magnitude as f32,
    })
}

/// The name of the scaling: `type`, else `rope_type`, else `default`.
pub(super) fn kind<'a>(config: &Config<'a>) -> Result<&'a str> {
    scaling(config)?.as_ref().map_or(Ok("default"), kind_of)
}

fn kind_of<'a>(scaling: &Config<'a>) -> Result<&'a str> {
    let kind = scaling.string("type")?.filter(|kind| !kind.is_empty());
    Ok(match kind {
        Some(kind) => kind,
        None => scaling.string("rope_type")?.unwrap_or("default"),
    })
}

/// `rope_scaling`, or `rope_parameters` as transformers 5 writes it with the base inside.
pub(super) fn scaling<'a>(config: &Config<'a>) -> Result<Option<Config<'a>>> {
    if let Some(scaling) = config.object(SCALING)? {
        return Ok(Some(scaling));
    }
    let parameters = config.object(PARAMETERS)?;
    if let Some(nested) = &parameters
        && let Some((key, _)) = nested.entries().find(|(_, value)| value.is_object())
    {
        return Err(nested.unsupported(key, "is not supported: one rotary embedding for all layers is"));
    }
    Ok(parameters)
}

/// The base, from the configuration or its `rope_parameters`.
pub(super) fn theta(config: &Config, base: &Base) -> Result<f64> {
    const KEY: &str = "rope_theta";
    if let Some(theta) = config.optional_f64(KEY, BASE)? {
        return Ok(theta);
    }
    if let Some(parameters) = config.object(PARAMETERS)?
        && let Some(theta) = parameters.optional_f64(KEY, BASE)?
    {
        return Ok(theta);
    }
    match base.theta {
        Some(theta) => Ok(theta),
        None => config.f64(KEY, BASE),
    }
}

/// Llama 3.1: long wavelengths are stretched, short ones kept, those between interpolated.
fn llama3(scaling: &Config, plain: Vec<f64>) -> Result<Vec<f64>> {
    let factor = scaling.f64("factor", FACTOR)?;
    let low = scaling.f64_or("low_freq_factor", 1.0, FACTOR)?;
    let high = scaling.f64_or("high_freq_factor", 4.0, FACTOR)?;
    let original = scaling.usize_or("original_max_position_embeddings", 8192, 1..=MAX_CONTEXT)? as f64;
    let stretch = |inverse: f64| {
        let wavelength = 2.0 * PI / inverse;
        if wavelength > original / high && wavelength < original / low {
            let smooth = (original / wavelength - low) / (high - low);
            inverse * ((1.0 - smooth) / factor + smooth)
        } else if wavelength > original / low {
            inverse / factor
        } else {
            inverse
        }
    };
    Ok(plain.into_iter().map(stretch).collect())
}

/// YaRN (Peng et al. 2023): pairs that turn seldom within the original context are stretched, the others kept, with a
/// ramp between.
fn yarn(scaling: &Config, base: &Base, theta: f64, plain: Vec<f64>) -> Result<(Vec<f64>, f64)> {
    let factor = scaling.f64("factor", FACTOR)?;
    let original = scaling.usize_or("original_max_position_embeddings", ORIGINAL_CONTEXT, 1..=MAX_CONTEXT)? as f64;
    let dims = base.dims as f64;
    // The pair that turns `rotations` times within the original context.
    let pair = |rotations: f64| dims * (original / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let low = pair(scaling.f64_or("beta_fast", 32.0, FACTOR)?).floor().max(0.0);
    let mut high = pair(scaling.f64_or("beta_slow", 1.0, FACTOR)?).ceil().min(dims - 1.0);
    if low == high {
        high += 0.001;
    }
    // GPT-OSS says no. mlx-lm rounds the ends of the ramp all the same, and MLX checkpoints were tried with that.
    if !scaling.bool_or("truncate", true)? {
        tracing::debug!("{}, as by mlx-lm", scaling.corrupt("truncate", "is not applied"));
    }
    let blend = |(i, inverse): (usize, f64)| {
        let stretched = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
        inverse * (1.0 - stretched) + inverse / factor * stretched
    };

    let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let numerator = magnitude(scaling.f64_or("mscale", 1.0, 0.0..=1e6)?);
    let magnitude = numerator / magnitude(scaling.f64_or("mscale_all_dim", 0.0, 0.0..=1e6)?);
    check_attention_factor(scaling, magnitude)?;
    Ok((plain.into_iter().enumerate().map(blend).collect(), magnitude))
}

/// LongRoPE (Ding et al. 2024). As in mlx-lm the long factors hold at every length: a cache whose keys were rotated by
/// the short ones could not go on past the original context.
fn longrope(config: &Config, scaling: &Config, base: &Base, plain: Vec<f64>) -> Result<(Vec<f64>, f64)> {
    const KEY: &str = "long_factor";
    const ORIGINAL: &str = "original_max_position_embeddings";
    let Some(factors) = scaling.f64s(KEY, FACTOR)? else {
        return Err(scaling.corrupt(KEY, "is missing"));
    };
    if factors.len() != plain.len() {
        return Err(scaling.corrupt(KEY, format_args!("must have {} factors, one a pair", plain.len())));
    }
    let original = match config.optional_usize(ORIGINAL, 2..=MAX_CONTEXT)? {
        Some(original) => original,
        None => scaling.usize_or(ORIGINAL, ORIGINAL_CONTEXT, 2..=MAX_CONTEXT)?,
    };
    let growth = base.context as f64 / original as f64;
    let magnitude = if growth <= 1.0 { 1.0 } else { (1.0 + growth.ln() / (original as f64).ln()).sqrt() };
    check_attention_factor(scaling, magnitude)?;
    Ok((plain.into_iter().zip(factors).map(|(inverse, factor)| inverse / factor).collect(), magnitude))
}

/// Gemma 4: frequencies as if the whole head turned, of which only the first pairs do.
fn proportional(scaling: &Config, dims: usize, plain: Vec<f64>) -> Result<Vec<f64>> {
    let rotated = (dims as f64 * scaling.f64_or(PARTIAL, 1.0, 0.0..=1.0)?) as usize;
    let factor = scaling.f64_or("factor", 1.0, FACTOR)?;
    let turned = |(i, inverse): (usize, f64)| if i < rotated.div_ceil(2) { inverse / factor } else { 0.0 };
    Ok(plain.into_iter().enumerate().map(turned).collect())
}

/// LongRoPE whose magnitude a file must give (Phi 3.5 MoE).
pub(super) fn longrope_with_own_magnitude(
    config: &Config,
    scaling: Option<&Config>,
    base: &Base,
    theta: f64,
) -> Result<Rope> {
    let Some(scaling) = scaling else { return scaled(config, None, base, theta) };
    let magnitude = scaling.f64("long_mscale", FACTOR)?;
    Ok(Rope { magnitude: magnitude as f32, ..scaled(config, Some(scaling), base, theta)? })
}

/// transformers lets a file set the magnitude; mlx-lm always computes it. Files where the two differ are refused.
fn check_attention_factor(scaling: &Config, magnitude: f64) -> Result<()> {
    const KEY: &str = "attention_factor";
    match scaling.optional_f64(KEY, 0.0..=1e6)? {
        Some(given) if (given - magnitude).abs() > 1e-4 * magnitude => {
            Err(scaling.unsupported(KEY, format_args!("is not supported: the other values amount to {magnitude:.6}")))
        }
        _ => Ok(()),
    }
}

/// The rotated dimensions of a head, of which `partial_rotary_factor` may leave out some at its end.
pub(super) fn partial(config: &Config, head_dim: usize) -> Result<usize> {
    let factor = partial_factor(config)?.unwrap_or(1.0);
    Ok((head_dim as f64 * factor) as usize)
}

/// Fails for a family that always rotates whole heads if the file says otherwise.
pub(super) fn refuse_partial(config: &Config) -> Result<()> {
    match partial_factor(config)? {
        Some(factor) if factor != 1.0 => Err(config.unsupported(PARTIAL, "is not supported for this model_type")),
        _ => Ok(()),
    }
}

fn partial_factor(config: &Config) -> Result<Option<f64>> {
    if let Some(factor) = config.optional_f64(PARTIAL, 0.0..=1.0)? {
        return Ok(Some(factor));
    }
    match config.object(PARAMETERS)? {
        Some(parameters) => parameters.optional_f64(PARTIAL, 0.0..=1.0),
        None => Ok(None),
    }
}
