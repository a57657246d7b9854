//! Models.

use std::ffi::{CString, c_char, c_void};
use std::ops::ControlFlow;

use super::callback::answer;
use super::convert::{Out, array, borrowed, flag, free, options, text};
use super::engine::pmlx_engine;
use super::error::pmlx_error;
use super::guard::guard;
use super::text::{pmlx_string, pmlx_tokens};
use crate::{LoadOptions, Model, ProbeOptions, Progress, Request, Stage, probe};

/// Configuration and headers are read and checked.
pub const PMLX_STAGE_CHECK: i32 = 1;
/// Weights are taken over by the device.
pub const PMLX_STAGE_WEIGHTS: i32 = 2;
/// The tokenizer is read.
pub const PMLX_STAGE_TOKENIZER: i32 = 3;
/// Files are fetched from a hub.
pub const PMLX_STAGE_DOWNLOAD: i32 = 4;

const _: () = {
    assert!(PMLX_STAGE_CHECK == Stage::Check as i32);
    assert!(PMLX_STAGE_WEIGHTS == Stage::Weights as i32);
    assert!(PMLX_STAGE_TOKENIZER == Stage::Tokenizer as i32);
    assert!(PMLX_STAGE_DOWNLOAD == Stage::Download as i32);
};

/// How far a long operation has come. Borrowed: valid until the callback that got it returns.
#[repr(C)]
pub struct pmlx_progress {
    /// Bytes of this struct that the library filled in.
    pub struct_size: u32,
    /// `PMLX_STAGE_CHECK` and so on. Later versions may add stages.
    pub stage: i32,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 when not known.
    pub total: u64,
    /// The current rate.
    pub bytes_per_second: f64,
    /// What is being worked on, such as a file's name, with a NUL at the end. Never `NULL`.
    pub item: *const c_char,
    /// Bytes of `item`.
    pub item_len: usize,
}

/// Gets the progress of a long operation at least every 50 ms. Returns 0 to go on, 1 to cancel.
pub type pmlx_progress_fn = Option<unsafe extern "C" fn(user_data: *mut c_void, progress: *const pmlx_progress) -> i32>;

/// A loaded model. Sessions are made from it; it may be shared by any number of them.
pub struct pmlx_model(pub(super) Model);

/// Whether a model is supported and how much memory it would take, as JSON, without reading its weights. `source` is
/// what `pmlx_model_load` takes. `options` is JSON: "context_length".
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

/// Loads a model. `source` is a folder, a `.gguf` file, a hub id ("org/name" or "org/name@revision") or "demo".
/// `options` is JSON: "precision" ("default", "exact"), "context_length", "profile" (`true` measures each operation). Blocks; `progress` (`NULL` for none) is called
/// on this thread, and when it returns 1 the load fails with `PMLX_CANCELLED`.
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
        let mut refusal = None;
        let mut report = |now: &Progress| {
            let value = progress.map_or(0, |f| show(now, |shown| f(user_data, shown)));
            answer(value, "progress").unwrap_or_else(|error| {
                refusal = Some(error);
                ControlFlow::Break(())
            })
        };
        let loaded = engine.load(source, LoadOptions::from_json(json)?, &mut report);
        match refusal {
            Some(error) => Err(error),
            None => {
                out.give(pmlx_model(loaded?));
                Ok(())
            }
        }
    })
}

fn show<T>(now: &Progress, call: impl FnOnce(*const pmlx_progress) -> T) -> T {
    let item = CString::new(now.item.replace('\0', "\\0")).unwrap_or_default();
    call(&pmlx_progress {
        struct_size: size_of::<pmlx_progress>() as u32,
        stage: now.stage as i32,
        done: now.done,
        total: now.total,
        bytes_per_second: now.bytes_per_second,
        item: item.as_ptr(),
        item_len: item.as_bytes().len(),
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
