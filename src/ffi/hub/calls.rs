//! The calls of the hub.

use std::path::Path;

use crate::ffi::text::pmlx_string;
use crate::{Error, FitOptions, Hub, HubOptions, HubProgress, RecommendOptions, Result, SearchOptions, probe_config};

pub fn download(source: &str, options: &[u8], report: &mut HubProgress<'_>) -> Result<pmlx_string> {
    let check = |folder: &Path| probe_config(&folder.to_string_lossy());
    let folder = hub(options)?.download(source, &check, report)?;
    let text = folder.into_os_string().into_string();
    text.map(pmlx_string::new).map_err(|folder| Error::invalid(format!("the cache's path is not UTF-8: {folder:?}")))
}

pub fn list(options: &[u8]) -> Result<pmlx_string> {
    pmlx_string::json(&hub(options)?.list()?)
}

pub fn remove(source: &str, options: &[u8]) -> Result<pmlx_string> {
    pmlx_string::json(&hub(options)?.remove(source)?)
}

pub fn info(source: &str, request: &[u8], options: &[u8]) -> Result<pmlx_string> {
    pmlx_string::json(&hub(options)?.info(source, &FitOptions::from_json(request)?)?)
}

pub fn search(request: &[u8], options: &[u8]) -> Result<pmlx_string> {
    pmlx_string::json(&hub(options)?.search(&SearchOptions::from_json(request)?)?)
}

pub fn recommend(request: &[u8]) -> Result<pmlx_string> {
    pmlx_string::json(&crate::recommend(&RecommendOptions::from_json(request)?)?)
}

fn hub(options: &[u8]) -> Result<Hub> {
    Hub::new(HubOptions::from_json(options)?)
}
