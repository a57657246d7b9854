//! Writing GGUF, version 3 (ggml's docs/gguf.md), as far as a model without a tokenizer needs it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::sh::Result;

/// ggml's numbers of tensor types.
pub const F32: u32 = 0;
pub const Q4_0: u32 = 2;
pub const Q8_0: u32 = 8;
pub const BF16: u32 = 30;

const ALIGNMENT: usize = 32;

/// A value of the metadata.
pub enum Value {
    U32(u32),
    F32(f32),
    Text(&'static str),
}

/// A tensor. `shape` has the slowest dimension first; the file has it last.
pub struct Tensor<'a> {
    pub name: String,
    pub shape: &'a [usize],
    pub kind: u32,
    pub bytes: &'a [u8],
}

/// Writes a file.
pub fn write(path: &Path, metadata: &[(&str, Value)], tensors: &[Tensor<'_>]) -> Result<()> {
    let mut header = Vec::new();
    header.extend(b"GGUF");
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(&mut header, key);
        match value {
            Value::U32(number) => {
                header.extend(4u32.to_le_bytes());
                header.extend(number.to_le_bytes());
            }
            Value::F32(number) => {
                header.extend(6u32.to_le_bytes());
                header.extend(number.to_le_bytes());
            }
            Value::Text(value) => {
                header.extend(8u32.to_le_bytes());
                text(&mut header, value);
            }
        }
    }
    let mut offset = 0;
    for tensor in tensors {
        text(&mut header, &tensor.name);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|size| header.extend((*size as u64).to_le_bytes()));
        header.extend(tensor.kind.to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes.len().next_multiple_of(ALIGNMENT);
    }
    let mut file = BufWriter::new(File::create(path)?);
    let padding = [0; ALIGNMENT];
    for bytes in std::iter::once(&header[..]).chain(tensors.iter().map(|tensor| tensor.bytes)) {
        file.write_all(bytes)?;
        file.write_all(&padding[..bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])?;
    }
    Ok(file.flush()?)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
