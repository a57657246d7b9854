//! Text and token ids that the caller owns.

use std::ffi::c_char;
use std::ptr;

use serde::Serialize;

use super::convert::free;
use super::guard::guard_or;
use crate::{Error, Result};

/// UTF-8 with a NUL after its last byte. Immutable.
pub struct pmlx_string(Vec<u8>);

impl pmlx_string {
    pub(super) fn new(text: String) -> Self {
        let mut bytes = text.into_bytes();
        bytes.push(0);
        Self(bytes)
    }

    pub(super) fn json(value: &impl Serialize) -> Result<Self> {
        serde_json::to_string(value).map(Self::new).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
    }
}

/// The text, with a NUL after its last byte (it may also hold NUL); "" for `NULL`. Lives as long as the string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_string_data(string: *const pmlx_string) -> *const c_char {
    guard_or(c"".as_ptr(), || unsafe { string.as_ref() }.map_or(c"".as_ptr(), |s| s.0.as_ptr().cast()))
}

/// Its length in bytes, without the NUL at the end; 0 for `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_string_len(string: *const pmlx_string) -> usize {
    guard_or(0, || unsafe { string.as_ref() }.map_or(0, |s| s.0.len() - 1))
}

/// Frees a string; `NULL` is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_string_free(string: *mut pmlx_string) {
    unsafe { free(string) }
}

/// Token ids. Immutable.
pub struct pmlx_tokens(pub(super) Vec<u32>);

/// The ids; `NULL` when there are none. Lives as long as the tokens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_tokens_data(tokens: *const pmlx_tokens) -> *const u32 {
    guard_or(ptr::null(), || match unsafe { tokens.as_ref() } {
        Some(tokens) if !tokens.0.is_empty() => tokens.0.as_ptr(),
        _ => ptr::null(),
    })
}

/// The number of ids; 0 for `NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_tokens_len(tokens: *const pmlx_tokens) -> usize {
    guard_or(0, || unsafe { tokens.as_ref() }.map_or(0, |t| t.0.len()))
}

/// Frees tokens; `NULL` is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmlx_tokens_free(tokens: *mut pmlx_tokens) {
    unsafe { free(tokens) }
}
