//! What is known of a model on a hub, whether it runs, and whether it fits.

use serde::Serialize;

use super::fit::{Device, Fit, FitOptions};
use crate::arch;
use crate::arch::spec::Spec;
use crate::error::Result;
use crate::hub::{Gated, Hub, ModelMetadata, RepositoryId, SearchOptions};

/// Configurations that are fetched at the same time.
const CONNECTIONS: usize = 6;

/// Whether this version runs a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Support {
    /// `None` when that can't be told, because the configuration is not to be had.
    pub supported: Option<bool>,
    /// Why it does not run, or why that is not known; else empty.
    pub reason: String,
    /// What to do about it, or empty.
    pub hint: String,
}

/// A model on a hub or in the cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// What the hub tells.
    #[serde(flatten)]
    pub metadata: ModelMetadata,
    /// Whether it runs: by its config.json alone, before any weight is fetched.
    #[serde(flatten)]
    pub support: Support,
    /// How its terms are accepted, where that must be done; else empty.
    pub access_hint: String,
    /// Numbers in its weights, as its shapes tell.
    pub parameters: Option<u64>,
    /// The context that it was trained for, in tokens.
    pub context_length: Option<usize>,
    /// What it takes here and how fast it would be.
    pub fit: Option<Fit>,
}

impl Hub {
    /// What a hub tells of a model, or the cache when the hub is not to be asked: its card and licence, sizes, branches
    /// and tags, quantization; whether this version runs it, and whether it fits this device. Fetches no weights.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no `owner/name` or `owner/name@revision`; `NotFound`; `Network` when there is no
    /// answer and nothing in the cache.
    pub fn info(&self, source: &str, options: &FitOptions) -> Result<ModelInfo> {
        let id: RepositoryId = source.parse()?;
        let (metadata, config) = self.metadata(&id)?;
        Ok(self.judged(metadata, config.as_deref(), &Device::here(options)?))
    }

    /// Models that a hub finds: first what runs and fits this device, in the hub's order; then what is slow, what does not
    /// fit, what does not run. Their configurations are fetched, so that this is known; no weights are.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit that is not 1 to 200; `Network`.
    pub fn search(&self, options: &SearchOptions) -> Result<Vec<ModelInfo>> {
        let fit = FitOptions {
            memory_bytes: options.memory_bytes,
            context_length: options.context_length,
            ..FitOptions::default()
        };
        let device = Device::here(&fit)?;
        let models = self.find(options)?;
        let mut found = Vec::with_capacity(models.len());
        for some in models.chunks(CONNECTIONS) {
            let configs: Vec<_> = std::thread::scope(|scope| {
                let asked: Vec<_> = some.iter().map(|model| scope.spawn(|| self.remote_config(model))).collect();
                asked.into_iter().map(|asked| asked.join().ok().and_then(Result::ok).flatten()).collect()
            });
            for (model, config) in some.iter().zip(configs) {
                let mut model = model.clone();
                if let Some(config) = &config {
                    model.take_config(config);
                }
                found.push(self.judged(model, config.as_deref(), &device));
            }
        }
        // Stable: the hub's order decides between equals.
        found.sort_by_key(|model| std::cmp::Reverse(model.class()));
        Ok(found)
    }

    fn judged(&self, metadata: ModelMetadata, config: Option<&[u8]>, device: &Device) -> ModelInfo {
        let (support, spec) = support(&metadata, config);
        let access_hint = match metadata.gated {
            Gated::No => String::new(),
            _ => self.access_hint(&metadata.id),
        };
        ModelInfo {
            support,
            access_hint,
            parameters: spec.as_ref().map(|spec| arch::weights(spec).parameters),
            context_length: spec.as_ref().map(|spec| spec.context_length),
            fit: spec.as_ref().map(|spec| device.fit(spec, metadata.weight_bytes)),
            metadata,
        }
    }
}

impl ModelInfo {
    /// 4 and 3 fit and run, 2 does not fit, 1 is not known, 0 does not run.
    fn class(&self) -> u8 {
        match (self.support.supported, &self.fit) {
            (Some(false), _) => 0,
            (Some(true), Some(fit)) => 1 + fit.class(),
            _ => 1,
        }
    }
}

fn support(metadata: &ModelMetadata, config: Option<&[u8]>) -> (Support, Option<Spec>) {
    let Some(config) = config else {
        let reason = match metadata.gated {
            _ if metadata.gguf.is_some() => {
                "there is no config.json; a GGUF file says itself what it holds, and `probe` tells once it is fetched"
            }
            Gated::No => "the repository has no config.json that could be read",
            _ => "its configuration is given out after its terms were accepted",
        };
        return (Support { reason: reason.to_owned(), ..Support::default() }, None);
    };
    match arch::from_json(config, &format!("{}: config.json", metadata.id)) {
        Ok(spec) => (Support { supported: Some(true), ..Support::default() }, Some(spec)),
        Err(error) => {
            let (reason, hint) = (error.message().to_owned(), error.hint().to_owned());
            (Support { supported: Some(false), reason, hint }, None)
        }
    }
}
