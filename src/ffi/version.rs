//! Versions of this interface and of the library.

use std::ffi::{CStr, c_char};

/// Grows when a function or struct of this header changes its meaning; additions leave it.
pub const PMLX_ABI_VERSION: u32 = 1;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// The `PMLX_ABI_VERSION` of the library that is loaded. A host compares it with that of the header it was compiled
/// with, once at its start.
#[unsafe(no_mangle)]
pub extern "C" fn pmlx_abi_version() -> u32 {
    PMLX_ABI_VERSION
}

/// The version of the library that is loaded, such as "0.1.0". Static; not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn pmlx_version() -> *const c_char {
    VERSION.as_ptr()
}
