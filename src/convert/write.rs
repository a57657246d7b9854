//! Writes a file of tensors, block by block of rows, so that memory is bounded however large a tensor is.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::part::Part;
use super::plan::{Entry, Output, Shard};
use crate::error::{Error, Result};
use crate::weights::{Dtype, Matrix, Quantized, quantize};

/// Bytes of the source that are worked on at a time.
const BLOCK: usize = 8 << 20;

/// Writes a shard. `advance` hears how many bytes of the source are done since the last call, and may cancel.
pub(super) fn shard(path: &Path, shard: &Shard, advance: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
    let mut entries: Vec<Entry> = shard.outputs.iter().flat_map(Output::entries).collect();
    // Wider numbers first, so that all are aligned.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.dtype.width()));
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "mlx" }));
    let mut end = 0;
    for entry in &entries {
        let start = end;
        end += entry.bytes();
        let value = json!({ "dtype": entry.dtype.to_string(), "shape": entry.shape, "data_offsets": [start, end] });
        header.insert(entry.name.clone(), value);
    }
    let mut json = Value::Object(header.clone()).to_string();
    json.extend(std::iter::repeat_n(' ', json.len().next_multiple_of(8) - json.len()));

    let mut file = Target::create(path, &json, end)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for output in &shard.outputs {
        let start = |entry: Entry| header[&entry.name]["data_offsets"][0].as_u64().unwrap_or(0);
        let mut positions: Vec<u64> = output.entries().into_iter().map(start).collect();
        for part in &output.parts {
            for rows in blocks(part, output) {
                let block = Block { output, part, rows };
                let bytes = block.convert(threads).map_err(|e| e.context(&output.name))?;
                for (position, bytes) in positions.iter_mut().zip([&bytes.codes, &bytes.scales, &bytes.biases]) {
                    file.write(*position, bytes)?;
                    *position += bytes.len() as u64;
                }
                let columns = output.columns();
                part.release(block.rows.clone(), columns);
                let rows = part.row_count(columns).max(1) as u64;
                advance(part.bytes() * block.rows.len() as u64 / rows)?;
            }
        }
    }
    file.finish()
}

/// A file that is written at several places.
struct Target<'a> {
    path: &'a Path,
    file: File,
    /// Where the tensors begin.
    start: u64,
}

impl<'a> Target<'a> {
    fn create(path: &'a Path, header: &str, bytes: u64) -> Result<Self> {
        let file = File::create(path).map_err(|e| Error::io(path, &e))?;
        let start = 8 + header.len() as u64;
        let mut output = Self { path, file, start: 0 };
        output.file.set_len(start + bytes).map_err(|e| Error::io(path, &e))?;
        output.write(0, &(header.len() as u64).to_le_bytes())?;
        output.write(8, header.as_bytes())?;
        Ok(Self { start, ..output })
    }

    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<()> {
        let io = |e: std::io::Error| Error::io(self.path, &e);
        self.file.seek(SeekFrom::Start(self.start + position)).map_err(io)?;
        self.file.write_all(bytes).map_err(io)
    }

    fn finish(self) -> Result<()> {
        self.file.sync_all().map_err(|e| Error::io(self.path, &e))
    }
}

/// Rows that are worked on together: those of a head that are put into another order.
fn unit(output: &Output) -> usize {
    output.interleaved.filter(|_| output.shape.len() > 1).unwrap_or(1)
}

/// Consecutive rows that together are about [`BLOCK`] bytes, and at least one.
fn blocks(part: &Part, output: &Output) -> impl Iterator<Item = Range<usize>> {
    let rows = part.row_count(output.columns());
    // What is no float yet becomes some.
    let width = if let Part::View(view) = part { view.dtype.width() } else { Dtype::F32.width() };
    let step = (BLOCK / (output.columns() * width).max(1)).max(1).next_multiple_of(unit(output));
    (0..rows).step_by(step).map(move |first| first..(first + step).min(rows))
}

/// Some rows of a tensor.
struct Block<'a> {
    output: &'a Output,
    part: &'a Part,
    rows: Range<usize>,
}

impl Block<'_> {
    /// What is written of them: codes, scales and biases, or floats in place of codes. Threads share the rows.
    fn convert(&self, threads: usize) -> Result<Quantized> {
        let share = self.rows.len().div_ceil(threads.max(1)).max(1).next_multiple_of(unit(self.output));
        let end = self.rows.end;
        let shares: Vec<_> = self.rows.clone().step_by(share).map(|first| first..(first + share).min(end)).collect();
        let results: Vec<Result<Quantized>> = std::thread::scope(|scope| {
            let start = |range: Range<usize>| scope.spawn(move || self.some(range));
            let running: Vec<_> = shares.into_iter().map(start).collect();
            let join = |running: std::thread::ScopedJoinHandle<'_, _>| {
                running.join().unwrap_or_else(|_| Err(Error::internal("a thread of a conversion panicked")))
            };
            running.into_iter().map(join).collect()
        });
        let mut whole = Quantized::default();
        for result in results {
            let Quantized { codes, scales, biases } = result?;
            whole.codes.extend(codes);
            whole.scales.extend(scales);
            whole.biases.extend(biases);
        }
        Ok(whole)
    }

    /// Some of the rows, in the order that MLX wants.
    fn some(&self, rows: Range<usize>) -> Result<Quantized> {
        let count = if self.output.shape.len() > 1 { rows.len() } else { self.output.columns() };
        let mut made = self.made(rows)?;
        if let Some(head) = self.output.interleaved {
            for bytes in [&mut made.codes, &mut made.scales, &mut made.biases] {
                *bytes = in_halves(bytes, head, bytes.len() / count.max(1));
            }
        }
        Ok(made)
    }

    fn made(&self, rows: Range<usize>) -> Result<Quantized> {
        let Output { offset, dtype, format, keeps_blocks, .. } = *self.output;
        let columns = self.output.columns();
        if keeps_blocks && let Part::Blocks(blocks) = self.part {
            let Quantized { codes, scales, biases } = blocks.codes(rows)?;
            // Scales of floats of few bits are bytes.
            let scales = if biases.is_empty() { scales } else { rescaled(&scales, dtype) };
            return Ok(Quantized { codes, scales, biases: rescaled(&biases, dtype) });
        }
        if keeps_blocks
            && let Part::Codes(data) = self.part
            && let Matrix::Float { codes, scales, .. } = data.rows(rows.clone()).matrix
        {
            let (codes, scales) = (codes.bytes().to_vec(), scales.bytes().to_vec());
            return Ok(Quantized { codes, scales, biases: Vec::new() });
        }
        if format.is_none()
            && offset == 0.0
            && let Some(codes) = self.part.stored(rows.clone(), columns, dtype)
        {
            return Ok(Quantized { codes, ..Quantized::default() });
        }
        let own = self.part.dtype();
        let mut numbers = self.part.numbers(rows, columns, dtype)?;
        if offset != 0.0 {
            numbers.iter_mut().for_each(|number| *number = own.round(*number + offset));
        }
        match format {
            Some(format) => {
                if dtype != own {
                    numbers.iter_mut().for_each(|number| *number = dtype.round(*number));
                }
                quantize(&numbers, dtype, format)
            }
            None => Ok(Quantized { codes: bytes_of(&numbers, dtype), ..Quantized::default() }),
        }
    }
}

/// Rows of each head, of which the first of all pairs come before the second ones.
fn in_halves(bytes: &[u8], head: usize, width: usize) -> Vec<u8> {
    let mut ordered = Vec::with_capacity(bytes.len());
    for rows in bytes.chunks_exact((head * width).max(1)) {
        for half in 0..2 {
            rows.chunks_exact(width).skip(half).step_by(2).for_each(|row| ordered.extend_from_slice(row));
        }
    }
    ordered
}

/// Numbers of f16 in another format of floats.
fn rescaled(bytes: &[u8], dtype: Dtype) -> Vec<u8> {
    if dtype == Dtype::F16 {
        return bytes.to_vec();
    }
    let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect();
    bytes_of(&numbers, dtype)
}

fn bytes_of(numbers: &[f32], dtype: Dtype) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(numbers.len() * dtype.width());
    numbers.iter().for_each(|&number| dtype.push(number, &mut bytes));
    bytes
}
