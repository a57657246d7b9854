//! Pure Rust on the processor.
#![allow(unsafe_code)]

pub(crate) use self::pool::Pool;

mod buffer;
mod disjoint;
mod memory;
mod pool;
mod simd;
mod tensor;
