//! Models.

use std::ffi::{c_char, c_void};

use super::convert::{Out, array, borrowed, flag, free, options, text};
use super::engine::pmlx_engine;
use super::error::pmlx_error;
use super::guard::guard;
use super::progress::{pmlx_progress_fn, reported};
use super::text::{pmlx_string, pmlx_tokens};
use crate::{LoadOptions, Model, ProbeOptions, Request, probe};

/// A loaded model. Sessions are made from it; it may be shared by any number of them.
pub struct pmlx_model(pub(super) Model);

/// Whether a model is supported and how much memory it would take, as JSON, without reading its weights. `source` is
/// what `pmlx_model_load` takes. `options` is JSON: "context_length", "kv_bits" (as for loading).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_model_probe(
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
        out.give(pmlx_string::json(&probe(source, &ProbeOptions::from_json(json)?)?)?);
        Ok(())
    })
}

/// Loads a model. `source` is a folder, a `.gguf` file, a hub id (what `pmlx_hub_download` takes) or "demo".
/// `options` is JSON: "precision" ("default", "exact"), "kv_bits" (4, 8 or 16: bits of a number in the caches of keys
/// and values), "context_length", "profile" (`true` measures each operation). Blocks; `progress` (`NULL` for none) is
/// called on this thread, and when it returns 1 the load fails with `PMLX_CANCELLED`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_model_load(
    engine: *mut pmlx_engine,
    source: *const c_char,
    source_len: usize,
    options: *const c_char,
    options_len: usize,
    progress: pmlx_progress_fn,
    user_data: *mut c_void,
    out: *mut *mut pmlx_model,
) -> *mut pmlx_error {
    guard(|| unsafe {
        // A clone, because the callback may free the handle.
        let engine = borrowed(engine, "engine")?.0.clone();
        let source = text(source, source_len, "source")?;
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        let options = LoadOptions::from_json(json)?;
        let model = reported(progress, user_data, |report| engine.load(source, options, report))?;
        out.give(pmlx_model(model));
        Ok(())
    })
}

/// What the model is, what it can do and what it takes, as JSON.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_model_info(model: *mut pmlx_model, out: *mut *mut pmlx_string) -> *mut pmlx_error {
    guard(|| unsafe {
        let model = borrowed(model, "model")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_string::json(&model.0.info()?)?);
        Ok(())
    })
}

/// The token ids of a text; `add_special` is 1 to add special tokens such as BOS as the tokenizer says, else 0.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_model_tokenize(
    model: *mut pmlx_model,
    text: *const c_char,
    text_len: usize,
    add_special: i32,
    out: *mut *mut pmlx_tokens,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let model = borrowed(model, "model")?;
        let text = self::text(text, text_len, "text")?;
        let add_special = flag(add_special, "add_special")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_tokens(model.0.text().tokenize(text, add_special)?));
        Ok(())
    })
}

/// The text of `n` token ids.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_model_detokenize(
    model: *mut pmlx_model,
    ids: *const u32,
    n: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let model = borrowed(model, "model")?;
        let ids = array(ids, n, "ids")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_string::new(model.0.text().detokenize(ids)?));
        Ok(())
    })
}

/// The prompt that the chat template makes of a request, as plain text.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_model_render(
    model: *mut pmlx_model,
    request: *const c_char,
    request_len: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let model = borrowed(model, "model")?;
        let request = text(request, request_len, "request")?;
        let out = Out::new(out, "out")?;
        let request = Request::from_json(request.as_bytes())?;
        out.give(pmlx_string::new(model.0.text().render(&request)?));
        Ok(())
    })
}

/// The log-probabilities of the tokens of a given text, with the request's "top_logprobs" most likely alternatives, as
/// JSON: `{"tokens": [id, ...], "logprobs": [null, number, ...], "top": [[[id, number], ...], ...], "perplexity":
/// number}`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_model_score(
    model: *mut pmlx_model,
    request: *const c_char,
    request_len: usize,
    out: *mut *mut pmlx_string,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let model = borrowed(model, "model")?;
        let request = text(request, request_len, "request")?;
        let out = Out::new(out, "out")?;
        let request = Request::from_json(request.as_bytes())?;
        out.give(pmlx_string::json(&model.0.score(&request)?)?);
        Ok(())
    })
}

/// Frees the handle; `NULL` is allowed. Sessions made from it keep working; its memory goes back with the last of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_model_free(model: *mut pmlx_model) {
    unsafe { free(model) }
}
