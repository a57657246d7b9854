//! The end of the process: MLX's streams and allocators are destroyed by `exit`, and a thread that uses them then
//! brings the process down with a corrupted heap.

use std::sync::OnceLock;

use mlx_rs::Array;

use super::error::Result;

static HOOK: OnceLock<fn()> = OnceLock::new();

extern "C" fn run_hook() {
    if let Some(hook) = HOOK.get() {
        // Unwinding out of an exit handler would abort.
        let _ = std::panic::catch_unwind(hook);
    }
}

/// Has `exit` call `hook` before it destroys anything of MLX's; `hook` ends all use of MLX. Only the first call counts.
pub(crate) fn before_exit(hook: fn()) -> Result<()> {
    if HOOK.get().is_some() {
        return Ok(());
    }
    // What MLX makes on first use has to exist by now: handlers run in the reverse order of their registration.
    Array::from_slice(&[0.0f32], &[1]).add(Array::from_slice(&[1.0f32], &[1]))?.eval()?;
    if HOOK.set(hook).is_ok() {
        // SAFETY: the handler takes nothing and never unwinds.
        if unsafe { libc::atexit(run_hook) } != 0 {
            tracing::warn!("no handler for the process's exit could be registered; MLX may crash there");
        }
    }
    Ok(())
}
