//! Models of the catalogue, those first that suit this device best.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::fit::{Device, Fit, FitOptions};
use super::model::{Catalog, CatalogModel, ModelTask, Seen};
use crate::arch;
use crate::error::Result;
use crate::object;

/// Slower than this, tokens a second, people read faster than it writes.
const PLEASANT: f64 = 8.0;

/// What a model is wanted for, and what it must fit into.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecommendOptions {
    /// Default: any.
    pub task: Option<ModelTask>,
    /// The most bytes that a model may take. Default: what engines allow by default on this machine.
    pub memory_bytes: Option<u64>,
    /// The context that must fit, in tokens. Default: 4,096, or a model's own if that is shorter.
    pub context_length: Option<usize>,
    /// The most models to name. Default: all.
    pub limit: Option<usize>,
}
object::from_json!(RecommendOptions: "recommend");

/// A model of the catalogue on this device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    /// `owner/name`.
    pub id: String,
    /// What it is good for.
    pub tasks: Vec<ModelTask>,
    /// Numbers in its weights, where its shape is known.
    pub parameters: Option<u64>,
    /// The context that it was trained for, in tokens.
    pub context_length: Option<usize>,
    /// Whether it runs. What of it does not is in `reason`.
    pub supported: bool,
    /// What it takes and how fast it is, where its shape is known.
    pub fit: Option<Fit>,
    /// Why it stands where it does.
    pub reason: String,
    /// Where the name was looked up: a public repository and a path in it.
    pub source: String,
    /// Whether a hub was seen to have it; otherwise its sizes are computed from its shape.
    pub verified: bool,
    /// What the hub told.
    pub seen: Option<Seen>,
}

/// Models of the catalogue: first those that fit and write fast enough to read along, the largest first; then slower
/// ones; then those that do not fit, by what is missing; then those that this version does not run. Measures the speed of
/// the memory, once a process.
///
/// # Errors
/// `InvalidArgument` for a memory or context of 0.
pub fn recommend(options: &RecommendOptions) -> Result<Vec<Recommendation>> {
    let fit = FitOptions {
        memory_bytes: options.memory_bytes,
        context_length: options.context_length,
        ..FitOptions::default()
    };
    let device = Device::here(&fit)?;
    let mut found = ranked(Catalog::get()?, &device, options.task)?;
    found.truncate(options.limit.unwrap_or(usize::MAX));
    Ok(found)
}

fn ranked(catalog: &Catalog, device: &Device, task: Option<ModelTask>) -> Result<Vec<Recommendation>> {
    let wanted = catalog.models.iter().filter(|model| task.is_none_or(|task| model.tasks.contains(&task)));
    let mut found = wanted.map(|model| judge(catalog, device, model)).collect::<Result<Vec<_>>>()?;
    // Stable: the catalogue's order decides between equals.
    found.sort_by_key(|model| {
        let fit = model.fit.as_ref().filter(|_| model.supported);
        let class = fit.map_or(0, Fit::class);
        let missing = fit.map_or(0, |fit| fit.missing_bytes);
        (Reverse(class), missing, Reverse(model.parameters))
    });
    Ok(found)
}

fn judge(catalog: &Catalog, device: &Device, model: &CatalogModel) -> Result<Recommendation> {
    let spec = catalog.spec(model);
    let refused = spec.as_ref().err().map(|error| error.message().to_owned());
    let spec = spec.ok().flatten();
    let fit = spec.as_ref().map(|spec| device.fit(spec, model.seen.as_ref().map(|seen| seen.weight_bytes)));
    let missing = model.unsupported.clone().or(refused);
    let reason = [missing, fit.as_ref().map(|fit| fit.reason.clone())];
    Ok(Recommendation {
        id: model.id.clone(),
        tasks: model.tasks.clone(),
        parameters: spec.as_ref().map(|spec| arch::weights(spec).parameters),
        context_length: spec.as_ref().map(|spec| spec.context_length),
        supported: spec.is_some(),
        fit,
        reason: reason.into_iter().flatten().collect::<Vec<_>>().join("; "),
        source: model.source.clone(),
        verified: model.verified,
        seen: model.seen.clone(),
    })
}

impl Fit {
    /// How well it does: 3 when it fits and is fast enough (or its speed is not known), 2 when it is slow, 1 when it does
    /// not fit.
    pub(super) fn class(&self) -> u8 {
        match self.tokens_per_second {
            _ if !self.fits => 1,
            Some(speed) if speed < PLEASANT => 2,
            _ => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit::tests::device;
    use super::*;

    fn of(memory: u64, speed: f64, task: Option<ModelTask>) -> Vec<Recommendation> {
        ranked(Catalog::get().unwrap(), &device(memory, speed, None), task).unwrap()
    }

    #[test]
    fn more_memory_brings_larger_models_and_slow_ones_stand_behind() {
        let first = |memory, speed| of(memory, speed, Some(ModelTask::Chat)).remove(0);
        let (phone, laptop, large) =
            (first(3_000_000_000, 50e9), first(16_000_000_000, 100e9), first(400_000_000_000, 800e9));
        assert!(phone.parameters < laptop.parameters && laptop.parameters < large.parameters, "{phone:?} {laptop:?}");
        let slow = first(400_000_000_000, 20e9);
        let speed = slow.fit.unwrap().tokens_per_second.unwrap();
        assert!(slow.parameters < large.parameters && speed >= PLEASANT, "{speed}");
    }

    #[test]
    fn the_order_is_what_fits_what_is_slow_what_is_too_large_what_does_not_run() {
        let all = of(10_000_000_000, 30e9, None);
        assert_eq!(all.len(), Catalog::get().unwrap().models.len());
        let classes: Vec<_> =
            all.iter().map(|m| m.fit.as_ref().filter(|_| m.supported).map_or(0, Fit::class)).collect();
        assert!(classes.is_sorted_by(|a, b| a >= b), "{classes:?}");
        for class in 0..=3 {
            assert!(classes.contains(&class), "nothing of class {class}");
        }
        let missing: Vec<_> =
            all.iter().filter_map(|m| m.fit.as_ref()).map(|fit| fit.missing_bytes).filter(|m| *m > 0).collect();
        assert!(missing.is_sorted(), "{missing:?}");
        for model in &all {
            assert!(!model.reason.is_empty(), "{}", model.id);
            assert!(model.fit.is_some() || !model.supported, "{}", model.id);
        }
        let code = of(10_000_000_000, 30e9, Some(ModelTask::Code));
        assert!(code.len() >= 5 && code.iter().all(|model| model.tasks.contains(&ModelTask::Code)));
    }

    #[test]
    fn options_are_read_from_json() {
        let options =
            RecommendOptions::from_json(br#"{"task": "code", "memory_bytes": 8000000000, "limit": 3}"#).unwrap();
        assert_eq!(recommend(&options).unwrap().len(), 3);
        assert!(RecommendOptions::from_json(br#"{"task": "cooking"}"#).is_err());
        assert!(recommend(&RecommendOptions { memory_bytes: Some(0), ..RecommendOptions::default() }).is_err());
    }
}
