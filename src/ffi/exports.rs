//! The dynamic library shows `pmlx_` symbols and nothing else.
//!
//! rustc exports every `no_mangle` function of every crate it links and leaves no way to take one back: GNU ld refuses a
//! second version script. But a symbol that any object file calls hidden is hidden in the result, with GNU ld and lld
//! alike. `cargo xtask c-test` looks at what is left; on Apple the framework's list of exports does this job.

#[cfg(all(feature = "mlx", target_os = "linux"))]
std::arch::global_asm!(".hidden default_mlx_error_handler"); // of mlx-rs
