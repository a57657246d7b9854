//! The tensors of a GGUF file: names, shapes, number formats and where their bytes are.

use std::collections::BTreeMap;
use std::ops::Range;

use super::block::BlockType;
use super::cursor::Cursor;
use crate::error::{Code, Error, Result};
use crate::weights::shown;

/// The most tensors; the largest real models have a few thousand.
const MAX_TENSORS: u64 = 1 << 20;
/// The most dimensions of a tensor, as in ggml.
const MAX_RANK: u32 = 4;

/// A tensor as the file describes it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Number format.
    pub block: BlockType,
    /// Row-major: the last dimension is that of a row, whose blocks are whole.
    pub shape: Vec<usize>,
    /// Which of the model's files it is in.
    pub(super) file: usize,
    /// Where its bytes are in the file.
    pub range: Range<usize>,
}

/// The number of tensors, as the header has it.
pub(super) fn count(cursor: &mut Cursor<'_>) -> Result<usize> {
    // The length of a name and one byte of it, rank, one dimension, type, offset.
    cursor.count(MAX_TENSORS, 8 + 1 + 4 + 8 + 4 + 8, "the number of tensors")
}

/// Reads and checks `count` tensors. Their bytes begin at the next multiple of `alignment`.
pub(super) fn read(
    bytes: &[u8],
    cursor: &mut Cursor<'_>,
    count: usize,
    alignment: usize,
) -> Result<BTreeMap<String, Entry>> {
    let mut raw = BTreeMap::new();
    for _ in 0..count {
        let name = &bytes[cursor.string("the name of a tensor")?];
        let named = |error: Error| error.context(shown(&String::from_utf8_lossy(name)));
        let corrupt = |message: &str| named(Error::new(Code::CorruptFile, message));
        let text = std::str::from_utf8(name).map_err(|_| corrupt("the name is not UTF-8"))?;
        let tensor = Raw::read(cursor).map_err(named)?;
        if raw.insert(text, tensor).is_some() {
            return Err(corrupt("there are two tensors of this name"));
        }
    }
    let start = cursor.position().next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, raw) in raw {
        let entry = raw.entry(start, bytes.len(), alignment).map_err(|error| error.context(shown(name)))?;
        tensors.insert(name.to_owned(), entry);
    }
    check_overlaps(&tensors)?;
    Ok(tensors)
}

fn check_overlaps(tensors: &BTreeMap<String, Entry>) -> Result<()> {
    let mut sorted: Vec<_> = tensors.iter().map(|(name, entry)| (entry.range.clone(), name)).collect();
    sorted.sort_by_key(|(range, _)| (range.start, range.end));
    match sorted.array_windows().find(|[(first, _), (second, _)]| second.start < first.end) {
        Some([(_, first), (_, second)]) => {
            Err(Error::new(Code::CorruptFile, format!("{} and {} share bytes", shown(first), shown(second))))
        }
        None => Ok(()),
    }
}

/// The numbers of a tensor, not checked against each other.
struct Raw {
    /// The row first.
    dimensions: Vec<u64>,
    block: BlockType,
    offset: u64,
}

impl Raw {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let rank = cursor.u32("a number of dimensions")?;
        if !(1..=MAX_RANK).contains(&rank) {
            return Err(Error::new(
                Code::CorruptFile,
                format!("it has {rank} dimensions; 1 to {MAX_RANK} are allowed"),
            ));
        }
        let dimensions = (0..rank).map(|_| cursor.u64("a dimension")).collect::<Result<_>>()?;
        let number = cursor.u32("a number format")?;
        let block = BlockType::new(number)
            .ok_or_else(|| Error::unsupported(format!("its number format {} is not known", number as i32)))?;
        Ok(Self { dimensions, block, offset: cursor.u64("an offset")? })
    }

    fn entry(&self, start: usize, end: usize, alignment: usize) -> Result<Entry> {
        let Self { dimensions, block, offset } = self;
        let corrupt = |message: String| Error::new(Code::CorruptFile, message);
        let numbers = dimensions.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
        let (Some(numbers), false) = (numbers, dimensions.contains(&0)) else {
            return Err(corrupt(format!("its dimensions {dimensions:?} overflow or are 0")));
        };
        if !dimensions[0].is_multiple_of(block.numbers() as u64) {
            let message =
                format!("its rows of {} are not whole blocks of {} ({block})", dimensions[0], block.numbers());
            return Err(corrupt(message));
        }
        if !offset.is_multiple_of(alignment as u64) {
            return Err(corrupt(format!("its offset {offset} is not a multiple of {alignment}")));
        }
        let length = (numbers / block.numbers() as u64).checked_mul(block.bytes() as u64);
        let range = length.and_then(|length| {
            let first = (start as u64).checked_add(*offset)?;
            let last = first.checked_add(length).filter(|&last| last <= end as u64)?;
            Some(usize::try_from(first).ok()?..usize::try_from(last).ok()?)
        });
        let Some(range) = range else {
            let message = format!(
                "{dimensions:?} of {block} at {offset} end behind the file, which holds {} bytes of tensors",
                end.saturating_sub(start)
            );
            return Err(corrupt(message).with_hint("the file is cut short; download it again"));
        };
        // Dimensions are factors of what fits into the file.
        let shape = dimensions.iter().rev().map(|&size| size as usize).collect();
        Ok(Entry { block: *block, shape, file: 0, range })
    }
}
