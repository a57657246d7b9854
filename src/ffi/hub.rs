//! Models of a hub and the cache on this device.

#[cfg(any(test, not(feature = "hub")))]
mod absent;
#[cfg(feature = "hub")]
mod calls;

use std::ffi::{c_char, c_void};

#[cfg(not(feature = "hub"))]
use absent as calls;

use super::convert::{Out, options, text};
use super::error::pmlx_error;
use super::guard::guard;
use super::progress::{pmlx_progress_fn, reported};
use super::text::pmlx_string;

/// Fetches what a run needs of a model into the cache, unless it is there, and gives the folder or GGUF file, which
/// `pmlx_model_load` takes (it takes the name, too). `source` is "owner/name" or "owner/name@revision"; of a repository
/// with GGUF files also "owner/name:Q4_K_M" or "owner/name/FILE.gguf". `options`, as
/// for all functions of the hub, is JSON: "endpoints" (a list of addresses, tried in order), "token", "cache" (a
/// folder), "offline"; what is left out comes from `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE` and
/// `HF_HUB_OFFLINE`. Blocks; `progress` (`NULL` for none) is called on this thread, and when it returns 1 the download
/// fails with `PMLX_CANCELLED` and goes on where it was when it is asked for again.
///
/// Builds without downloads fail with `PMLX_UNSUPPORTED` in all functions of the hub.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_hub_download(
    source: *const c_char,
    source_len: usize,
    options: *const c_char,
    options_len: usize,
    progress: pmlx_progress_fn,
    user_data: *mut c_void,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let source = text(source, source_len, "source")?;
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        out.give(reported(progress, user_data, |report| calls::download(source, json, report))?);
        Ok(())
    })
}

/// The models in the cache, as JSON: `[{"id", "bytes", "revisions": [{"commit", "references": [], "complete", "gguf": [], "path"}],
/// "last_used", "path"}]`, with the last use in seconds since 1970.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_hub_list(
    options: *const c_char,
    options_len: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        out.give(calls::list(json)?);
        Ok(())
    })
}

/// Removes a model, all of its revisions, from the cache, and says what the file system has back, as JSON: `{"id",
/// "bytes", "whole"}`. `PMLX_NOT_FOUND` when it is not there, `PMLX_BUSY` while it is being fetched.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_hub_remove(
    source: *const c_char,
    source_len: usize,
    options: *const c_char,
    options_len: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let source = text(source, source_len, "source")?;
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        out.give(calls::remove(source, json)?);
        Ok(())
    })
}

/// What the hub tells of a model, or the cache when the hub is not to be asked, as JSON: "id", "commit", "license", "gated"
/// ("no", "auto", "manual") with "access_hint", "base_models", "model_type", "quantization", "download_bytes", "cached",
/// "versions" and more; "supported" with "reason" and "hint", by its config.json alone; "fit", what it takes on this
/// device. Unknown values are null. `request` is JSON: "memory_bytes", "context_length". May wait for the network.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_hub_info(
    source: *const c_char,
    source_len: usize,
    request: *const c_char,
    request_len: usize,
    options: *const c_char,
    options_len: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let source = text(source, source_len, "source")?;
        let request = self::options(request, request_len, "request")?;
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        out.give(calls::info(source, request, json)?);
        Ok(())
    })
}

/// The models that the hub finds, as a JSON list of what `pmlx_hub_info` gives: first what runs and fits this device.
/// `request` is JSON: "query", "author", "tags", "sort" ("downloads", "likes", "trending", "modified"), "limit",
/// "memory_bytes", "context_length". Waits for the network.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_hub_search(
    request: *const c_char,
    request_len: usize,
    options: *const c_char,
    options_len: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let request = self::options(request, request_len, "request")?;
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        out.give(calls::search(request, json)?);
        Ok(())
    })
}

/// Models of the library's own catalogue, those first that suit this device best, as JSON: `[{"id", "tasks",
/// "supported", "parameters", "context_length", "fit", "reason", "source", "verified", "seen"}]`. `request` is JSON: "task"
/// ("chat", "code", "reasoning", "vision", "embedding", "small"), "memory_bytes", "context_length", "limit". Asks no hub.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_hub_recommend(
    request: *const c_char,
    request_len: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let request = self::options(request, request_len, "request")?;
        let out = Out::new(out, "out")?;
        out.give(calls::recommend(request)?);
        Ok(())
    })
}
