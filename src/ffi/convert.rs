//! What crosses the boundary: pointers and numbers to checked Rust values and back.

use std::ffi::c_char;
use std::slice;

use super::guard::guard_or;
use crate::{Error, Result};

/// A handle or struct that the caller lends for the call.
pub(super) unsafe fn borrowed<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    check(pointer, name)?;
    Ok(unsafe { &*pointer })
}

/// An array that the caller lends for the call.
pub(super) unsafe fn array<'a, T>(pointer: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    check(pointer, name)?;
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Error::invalid(format!("the length of {name} is {len}, more than memory can hold")));
    }
    Ok(unsafe { slice::from_raw_parts(pointer, len) })
}

/// UTF-8 that the caller lends for the call.
pub(super) unsafe fn text<'a>(pointer: *const c_char, len: usize, name: &str) -> Result<&'a str> {
    let bytes = unsafe { array(pointer.cast::<u8>(), len, name) }?;
    std::str::from_utf8(bytes)
        .map_err(|e| Error::invalid(format!("{name} is not UTF-8: invalid byte at offset {}", e.valid_up_to())))
}

/// Options as JSON; `NULL` with length 0 gives `""`, which means all defaults.
pub(super) unsafe fn options<'a>(pointer: *const c_char, len: usize, name: &str) -> Result<&'a [u8]> {
    if pointer.is_null() && len == 0 {
        return Ok(&[]);
    }
    unsafe { text(pointer, len, name) }.map(str::as_bytes)
}

/// A yes or no of the caller.
pub(super) fn flag(value: i32, name: &str) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::invalid(format!("{name} is {value}; it must be 0 or 1"))),
    }
}

/// Where a result goes: checked before the work is done, written after it.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(super) unsafe fn new(pointer: *mut T, name: &str) -> Result<Self> {
        check(pointer, name)?;
        Ok(Self(pointer))
    }

    pub(super) fn set(self, value: T) {
        // Not an assignment: what is there may be uninitialised.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// Moves the value to the heap and its ownership to the caller.
    pub(super) fn give(self, value: T) {
        self.set(Box::into_raw(Box::new(value)));
    }
}

/// Takes back what [`Out::give`] gave; `NULL` is nothing.
pub(super) unsafe fn free<T>(pointer: *mut T) {
    guard_or((), || {
        if !pointer.is_null() {
            drop(unsafe { Box::from_raw(pointer) });
        }
    });
}

fn check<T>(pointer: *const T, name: &str) -> Result<()> {
    if pointer.is_null() {
        return Err(Error::invalid(format!("{name} is NULL")));
    }
    if !pointer.is_aligned() {
        return Err(Error::invalid(format!("{name} is {pointer:p}, which is not aligned to {}", align_of::<T>())));
    }
    Ok(())
}
