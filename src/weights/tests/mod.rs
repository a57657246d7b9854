//! Bad checkpoints, and a few good ones.

mod header;
mod linear;
mod quantize;
mod shards;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ModelFiles, Storage};

/// A safetensors file of a JSON header and `body` zero bytes.
fn file(header: &str, body: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + body, 0);
    bytes
}

/// A safetensors file of zeros: `(name, dtype, shape)` with the bytes a tensor takes.
fn tensors(list: &[(&str, &str, &[usize])]) -> Vec<u8> {
    let mut position = 0;
    let entries: Vec<_> = list
        .iter()
        .map(|(name, dtype, shape)| {
            let width = match *dtype {
                "F32" | "U32" => 4,
                "F16" | "BF16" => 2,
                "I64" => 8,
                _ => 1,
            };
            let start = position;
            position += width * shape.iter().product::<usize>();
            format!("{name:?}:{{\"dtype\":{dtype:?},\"shape\":{shape:?},\"data_offsets\":[{start},{position}]}}")
        })
        .collect();
    file(&format!("{{{}}}", entries.join(",")), position)
}

/// A model in memory.
fn model<const N: usize>(files: [(&str, Vec<u8>); N]) -> ModelFiles {
    let files = files.into_iter().map(|(name, bytes)| (name.to_string(), Arc::new(bytes) as Storage));
    ModelFiles::Memory(files.collect::<BTreeMap<_, _>>())
}
