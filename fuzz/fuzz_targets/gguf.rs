//! A GGUF file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pocketmlx_fuzz::open(&[("model.gguf", data)], true));
