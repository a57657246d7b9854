//! Pure Rust on the processor.
#![allow(unsafe_code)]

pub(crate) use self::pool::Pool;

mod pool;
