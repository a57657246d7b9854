//! Tensors of blocks: as numbers, and as the matrices that backends compute with.

use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use half::{bf16, f16};

use super::block::BlockType;
use super::unpack::{Block, Layout, layout};
use crate::arch::spec::{QuantizationFormat, QuantizationMode};
use crate::error::{Error, Result};
use crate::weights::quantize::{Quantized, quantize};
use crate::weights::{Dtype, Matrix, Storage, TensorView};

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 20;
/// Rows that [`Blocks::loss`] looks at.
const SAMPLED_ROWS: usize = 8;
/// Numbers that share a scale in what blocks become.
const GROUP: usize = 32;

/// A tensor of blocks, checked: its rows are whole blocks.
#[derive(Clone)]
pub(crate) struct Blocks {
    /// The name in the file.
    pub name: String,
    /// Row-major.
    pub shape: Vec<usize>,
    /// Number format.
    pub block: BlockType,
    storage: Storage,
    range: Range<usize>,
}

/// What blocks become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// The format of the codes.
    pub format: QuantizationFormat,
    /// Whether every number stays what it is.
    pub exact: bool,
    /// Whether the codes stay what they are.
    keeps_codes: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuantizationFormat { bits, group_size, mode } = self.format;
        match mode {
            QuantizationMode::Affine => write!(f, "affine, {bits} bits in groups of {group_size}"),
            other => f.write_str(other.name()),
        }
    }
}

impl Blocks {
    /// `range` of `storage` was checked to hold `shape`.
    pub(crate) fn new(
        name: String,
        shape: Vec<usize>,
        block: BlockType,
        storage: Storage,
        range: Range<usize>,
    ) -> Self {
        Self { name, shape, block, storage, range }
    }

    /// Numbers of a row.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// All rows, of all leading dimensions.
    pub fn row_count(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// The blocks of some rows.
    fn row_bytes(&self, rows: Range<usize>) -> &[u8] {
        &(*self.storage).as_ref()[self.row_range(rows)]
    }

    fn row_range(&self, rows: Range<usize>) -> Range<usize> {
        let width = self.row_width();
        self.range.start + rows.start * width..self.range.start + rows.end * width
    }

    /// Bytes of a row.
    pub fn row_width(&self) -> usize {
        self.columns() / self.block.numbers() * self.block.bytes()
    }

    /// Says that nobody looks at some rows soon again.
    pub fn release(&self, rows: Range<usize>) {
        self.storage.release(self.row_range(rows));
    }

    /// The numbers of some rows, as gguf-py has them bit for bit.
    ///
    /// # Errors
    /// `Unsupported` for a number format that is not known here.
    pub fn numbers(&self, rows: Range<usize>) -> Result<Vec<f32>> {
        dequantize(self.block, self.row_bytes(rows)).ok_or_else(|| self.unsupported())
    }

    /// What the tensor becomes, if anything.
    pub fn target(&self) -> Option<Target> {
        target(self.block)
    }

    /// Bytes of what the tensor becomes; of the tensor if it becomes nothing.
    pub fn loaded_bytes(&self) -> u64 {
        let numbers = (self.row_count() * self.columns()) as u64;
        match self.target() {
            Some(Target { format, .. }) => {
                let of_scales = if format.mode == QuantizationMode::Affine { 4 } else { 1 };
                numbers / 8 * format.bits as u64 + numbers / GROUP as u64 * of_scales
            }
            None => self.range.len() as u64,
        }
    }

    /// Some rows as a matrix.
    ///
    /// # Errors
    /// `Unsupported` for a number format that is not known, or scales that f16 does not reach; `CorruptFile` for
    /// numbers that are not finite; `OutOfMemory`.
    pub fn matrix(&self, rows: Range<usize>) -> Result<Matrix> {
        let Some(target) = self.target() else { return Err(self.unsupported()) };
        let named = |error: Error| error.context(&self.name);
        let columns = self.columns();
        let count = rows.len();
        let Quantized { codes, scales, biases } = self.convert(rows, target).map_err(named)?;
        let view = |dtype: Dtype, width: usize, bytes: Vec<u8>| {
            let range = 0..bytes.len();
            TensorView::from_storage(self.name.clone(), dtype, vec![count, width], Arc::new(bytes), range)
        };
        let format = target.format;
        let (codes, groups) = (view(Dtype::U32, columns * format.bits / 32, codes), columns / GROUP);
        Ok(match format.mode {
            QuantizationMode::Affine => {
                let (scales, biases) = (view(Dtype::F16, groups, scales), view(Dtype::F16, groups, biases));
                Matrix::Affine { codes, scales, biases, format }
            }
            _ => Matrix::Float { codes, scales: view(Dtype::U8, groups, scales), format },
        })
    }

    /// Some rows as [`target`](Self::target) has them, with affine scales in f16.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub fn codes(&self, rows: Range<usize>) -> Result<Quantized> {
        let Some(target) = self.target() else { return Err(self.unsupported()) };
        convert(self.block, self.row_bytes(rows), target)
    }

    /// Converts rows, in pieces on all cores where there are many.
    fn convert(&self, rows: Range<usize>, target: Target) -> Result<Quantized> {
        let columns = self.columns();
        let numbers = rows.len() * columns;
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(numbers / CHUNK + 1);
        let step = (CHUNK / columns.max(1)).max(1);
        let mut all = Quantized::default();
        let groups = numbers / GROUP * if target.format.mode == QuantizationMode::Affine { 2 } else { 1 };
        reserve(&mut all.codes, numbers / 8 * target.format.bits)?;
        reserve(&mut all.scales, groups)?;
        reserve(&mut all.biases, if target.format.mode == QuantizationMode::Affine { groups } else { 0 })?;
        let pieces: Vec<_> =
            rows.clone().step_by(step).map(|first| first..first.saturating_add(step).min(rows.end)).collect();
        for pieces in pieces.chunks(threads) {
            let convert = |rows: &Range<usize>| convert(self.block, self.row_bytes(rows.clone()), target);
            let converted = match pieces {
                [only] => vec![convert(only)],
                pieces => thread::scope(|scope| {
                    let running: Vec<_> = pieces.iter().map(|rows| scope.spawn(move || convert(rows))).collect();
                    let panicked = |_| Err(Error::internal("a thread that converts weights panicked"));
                    running.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
                }),
            };
            for piece in converted {
                let Quantized { codes, scales, biases } = piece?;
                all.codes.extend_from_slice(&codes);
                all.scales.extend_from_slice(&scales);
                all.biases.extend_from_slice(&biases);
            }
        }
        Ok(all)
    }

    /// What some rows lose when they are converted, with affine scales in `dtype`: the sum of the squares of the
    /// differences, and that of the numbers.
    pub(super) fn loss(&self, dtype: Dtype) -> Result<[f64; 2]> {
        match self.target() {
            None => Err(self.unsupported()),
            Some(target)
                if target.exact && !(dtype == Dtype::Bf16 && target.format.mode == QuantizationMode::Affine) =>
            {
                Ok([0.0; 2])
            }
            Some(target) => {
                let rows = self.row_count();
                let (mut error, mut power) = (0.0, 0.0);
                for row in (0..rows).step_by(rows.div_ceil(SAMPLED_ROWS).max(1)) {
                    let numbers = self.numbers(row..row + 1)?;
                    let converted = convert(self.block, self.row_bytes(row..row + 1), target)
                        .map_err(|error| error.context(&self.name))?;
                    for (number, after) in numbers.iter().zip(affine_numbers(&converted, target.format.bits, dtype)) {
                        error += f64::from(number - after).powi(2);
                        power += f64::from(*number).powi(2);
                    }
                }
                Ok([error, power])
            }
        }
    }

    fn unsupported(&self) -> Error {
        Error::unsupported(format!("{} is stored as {}", self.name, self.block))
            .with_hint("take a file of another quantization, such as Q4_K_M or Q8_0")
    }
}

fn reserve(bytes: &mut Vec<u8>, length: usize) -> Result<()> {
    bytes
        .try_reserve_exact(length)
        .map_err(|_| Error::out_of_memory(format!("no memory for {length} bytes of weights")))
}

/// What blocks of a format become.
///
/// Groups of 32 keep their codes. Scales become f16: they are f16 in the formats of 32 numbers, while products of two
/// scales in those of 256 are rounded. Groups of 16 share a scale with their neighbours and get more bits instead, so
/// that what this adds to the error of the blocks themselves is small.
fn target(block: BlockType) -> Option<Target> {
    let layout = layout(block)?;
    Some(match block {
        BlockType::MXFP4 => {
            let format = QuantizationFormat { bits: 4, group_size: GROUP, mode: QuantizationMode::Mxfp4 };
            Target { format, exact: true, keeps_codes: true }
        }
        BlockType::Q2_K => requantized(4),
        BlockType::Q3_K => requantized(5),
        BlockType::Q6_K => requantized(8),
        _ => {
            let format = QuantizationFormat::affine(layout.bits, GROUP);
            Target { format, exact: block.numbers() == GROUP, keeps_codes: true }
        }
    })
}

fn requantized(bits: usize) -> Target {
    Target { format: QuantizationFormat::affine(bits, GROUP), exact: false, keeps_codes: false }
}

/// All numbers of blocks, bit for bit as gguf-py has them.
pub(super) fn dequantize(block: BlockType, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match block {
        BlockType::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        BlockType::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        BlockType::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        _ => {
            let Layout { group, zero, unpack, .. } = layout(block)?;
            let mut numbers = Vec::with_capacity(bytes.len() / block.bytes() * block.numbers());
            let mut parts = Block::new();
            for bytes in bytes.chunks_exact(block.bytes()) {
                unpack(bytes, &mut parts);
                for (index, code) in parts.codes[..block.numbers()].iter().enumerate() {
                    let scale = parts.scales[index / group];
                    numbers.push(match zero {
                        Some(zero) => scale * f32::from(i16::from(*code) - i16::from(zero)),
                        None => scale * f32::from(*code) + parts.minima[index / group],
                    });
                }
            }
            numbers
        }
    })
}

/// Blocks as `target` has them.
fn convert(block: BlockType, bytes: &[u8], target: Target) -> Result<Quantized> {
    if target.format.mode == QuantizationMode::Mxfp4 {
        return Ok(mxfp4(bytes));
    }
    let unknown = || Error::internal(format!("{block} can't be converted"));
    if !target.keeps_codes {
        let numbers = dequantize(block, bytes).ok_or_else(unknown)?;
        return quantize(&numbers, Dtype::F16, target.format);
    }
    let Layout { zero, bits, unpack, .. } = layout(block).ok_or_else(unknown)?;
    let mut out = Quantized::default();
    let mut parts = Block::new();
    for bytes in bytes.chunks_exact(block.bytes()) {
        unpack(bytes, &mut parts);
        for (index, codes) in parts.codes[..block.numbers()].chunks_exact(GROUP).enumerate() {
            let scale = f16::from_f32(parts.scales[index]);
            let bias = match zero {
                Some(zero) => f16::from_f32(scale.to_f32() * -f32::from(zero)),
                None => f16::from_f32(parts.minima[index]),
            };
            if !scale.is_finite() || !bias.is_finite() {
                let message = format!("a block's scale {} or its offset is not finite in f16", parts.scales[index]);
                return Err(Error::unsupported(message).with_hint("the weights are damaged; download them again"));
            }
            out.scales.extend_from_slice(&scale.to_le_bytes());
            out.biases.extend_from_slice(&bias.to_le_bytes());
            pack(codes, bits, &mut out.codes);
        }
    }
    Ok(out)
}

/// Codes into the bits of bytes, lowest first. 8 of them fill whole bytes.
fn pack(codes: &[u8], bits: usize, out: &mut Vec<u8>) {
    for codes in codes.as_chunks::<8>().0 {
        let word = codes.iter().rev().fold(0u64, |word, &code| word << bits | u64::from(code));
        out.extend_from_slice(&word.to_le_bytes()[..bits]);
    }
}

/// The same numbers in the order of MLX: codes of neighbours lie beside each other.
fn mxfp4(bytes: &[u8]) -> Quantized {
    let mut out = Quantized::default();
    for block in bytes.chunks_exact(BlockType::MXFP4.bytes()) {
        out.scales.push(block[0]);
        let shifts = [0, 4];
        let mut codes = shifts.into_iter().flat_map(|shift| block[1..].iter().map(move |byte| byte >> shift & 15));
        while let (Some(low), Some(high)) = (codes.next(), codes.next()) {
            out.codes.push(low | high << 4);
        }
    }
    out
}

/// The numbers of affine codes with scales in f16, which are rounded to `dtype`.
fn affine_numbers(quantized: &Quantized, bits: usize, dtype: Dtype) -> impl Iterator<Item = f32> {
    let number = move |bytes: &[u8; 2]| dtype.round(f16::from_le_bytes(*bytes).to_f32());
    let scales = quantized.scales.as_chunks().0.iter().map(number);
    let biases = quantized.biases.as_chunks().0.iter().map(number);
    let groups = quantized.codes.chunks_exact(GROUP / 8 * bits);
    scales.zip(biases).zip(groups).flat_map(move |((scale, bias), codes)| {
        (0..GROUP).map(move |index| {
            let mut word = [0; 8];
            word[..bits].copy_from_slice(&codes[index / 8 * bits..][..bits]);
            let code = u64::from_le_bytes(word) >> (index % 8 * bits) & ((1 << bits) - 1);
            code as f32 * scale + bias
        })
    })
}
