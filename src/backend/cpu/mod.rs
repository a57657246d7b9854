//! Pure Rust on the processor.
