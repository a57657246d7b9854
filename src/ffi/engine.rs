//! Engines.

use std::ffi::c_char;
use std::time::Duration;

use super::convert::{Out, borrowed, free, options};
use super::error::pmlx_error;
use super::guard::guard;
use super::text::pmlx_string;
use crate::{Engine, EngineOptions};

/// What computes, with its memory budget. Models live in it.
pub struct pmlx_engine(pub(super) Engine);

/// Makes an engine. `options` is JSON: "device" ("auto", "mlx-gpu", "mlx-cpu", "cpu"), "memory_limit_bytes", "threads",
/// "idle_unload_seconds", "prefix_cache_bytes".
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_engine_new(
    options: *const c_char,
    options_len: usize,
    out: *mut *mut pmlx_engine,
) -> *mut pmlx_error {
    guard(|| unsafe {
        let json = self::options(options, options_len, "options")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_engine(Engine::new(EngineOptions::from_json(json)?)?));
        Ok(())
    })
}

/// Device, memory in use, versions, loaded models and health, as JSON.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_engine_info(engine: *mut pmlx_engine, out: *mut *mut pmlx_string) -> *mut pmlx_error {
    guard(|| unsafe {
        let engine = borrowed(engine, "engine")?;
        let out = Out::new(out, "out")?;
        out.give(pmlx_string::json(&engine.0.info()?)?);
        Ok(())
    })
}

/// Finishes the step that is computing and starts no other: running generations pause, and until
/// `pmlx_engine_resume` new ones fail with `PMLX_SUSPENDED`. Returns when the device is idle; call it before the app
/// goes to the background. When the device is still not idle after `timeout_ms`, it fails and the engine stays
/// suspended.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_engine_suspend(engine: *mut pmlx_engine, timeout_ms: u32) -> *mut pmlx_error {
    guard(|| unsafe { borrowed(engine, "engine")?.0.suspend(Duration::from_millis(timeout_ms.into())) })
}

/// Goes on after `pmlx_engine_suspend`; does nothing when the engine is not suspended.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_engine_resume(engine: *mut pmlx_engine) -> *mut pmlx_error {
    guard(|| unsafe { borrowed(engine, "engine")?.0.resume() })
}

/// Gives back the memory that no running generation needs, such as states kept for later prompts; call it on a memory
/// warning.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn pmlx_engine_trim(engine: *mut pmlx_engine, freed_bytes: *mut u64) -> *mut pmlx_error {
    guard(|| unsafe {
        let engine = borrowed(engine, "engine")?;
        let out = Out::new(freed_bytes, "freed_bytes")?;
        out.set(engine.0.trim()?);
        Ok(())
    })
}

/// Frees the handle; `NULL` is allowed. Models made from it keep working.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_engine_free(engine: *mut pmlx_engine) {
    unsafe { free(engine) }
}
