//! A config.json beside weights that there are none of.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    pocketmlx_fuzz::open(&[("config.json", data), ("model.safetensors", b"\x02\0\0\0\0\0\0\0{}")], false);
});
