//! The header of a safetensors file: 8 bytes of length, JSON, then the tensors' bytes without gaps.
//!
//! Everything is checked here, because what follows slices by these numbers. The `safetensors` crate's own parser is
//! not enough: it keeps the last of two equal keys, and its sum of the tensors' sizes can wrap around.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::value::{Error as DtypeError, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, SeqAccess, Visitor};

use super::unique::UniqueMap;
use super::{Dtype, shown};
use crate::error::{Code, Error, Result};

/// The most bytes of JSON, the same as the format's other readers allow.
const MAX_HEADER: usize = 100_000_000;
/// The most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// A tensor as the header describes it.
pub(super) struct Entry {
    pub dtype: StoredDtype,
    pub shape: Vec<usize>,
    /// Where its bytes are in the file.
    pub range: Range<usize>,
}

/// The number format of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredDtype {
    /// One that models can be made of.
    Known(Dtype),
    /// Any other of the file format. A tensor that nobody needs may have it.
    Other(safetensors::Dtype),
}

impl StoredDtype {
    fn parse(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, DtypeError> = name.into_deserializer();
        Some(match safetensors::Dtype::deserialize(name).ok()? {
            safetensors::Dtype::F32 => Self::Known(Dtype::F32),
            safetensors::Dtype::F16 => Self::Known(Dtype::F16),
            safetensors::Dtype::BF16 => Self::Known(Dtype::Bf16),
            safetensors::Dtype::U32 => Self::Known(Dtype::U32),
            safetensors::Dtype::U8 => Self::Known(Dtype::U8),
            other => Self::Other(other),
        })
    }

    fn bits(self) -> usize {
        match self {
            Self::Known(dtype) => dtype.width() * 8,
            Self::Other(dtype) => dtype.bitsize(),
        }
    }
}

/// The tensors of a safetensors file by name. `file` is what messages call it.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let json = json(file, bytes)?;
    let start = 8 + json.len();
    let UniqueMap(raw) = serde_json::from_str::<UniqueMap<Raw>>(json)
        .map_err(|e| Error::corrupt(file, format_args!("the header is not what safetensors asks for: {e}")))?;

    let mut tensors = BTreeMap::new();
    for (name, raw) in raw {
        let entry = entry(&raw, start, bytes.len()).map_err(|e| e.context(shown(&name)).context(file))?;
        tensors.insert(name, entry);
    }
    check_coverage(file, &tensors, start, bytes.len())?;
    Ok(tensors)
}

/// The JSON text of the header.
fn json<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str> {
    let corrupt = |message: String| Error::corrupt(file, message);
    if bytes.is_empty() {
        return Err(corrupt("is empty".into()).with_hint("download it again"));
    }
    if bytes.starts_with(b"version https://git-lfs") {
        let hint = "run `git lfs pull` in the model's folder, or download the file itself";
        return Err(corrupt("is a Git LFS pointer, not the weights".into()).with_hint(hint));
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(corrupt(format!("is only {} bytes long", bytes.len())).with_hint("download it again"));
    };
    let claimed = u64::from_le_bytes(*length);
    let length = usize::try_from(claimed)
        .ok()
        .filter(|&n| n <= MAX_HEADER)
        .ok_or_else(|| corrupt(format!("its header claims {claimed} bytes, more than the {MAX_HEADER} allowed")))?;
    let json = rest.get(..length).ok_or_else(|| {
        corrupt(format!("its header claims {length} bytes, but only {} follow", rest.len()))
            .with_hint("the file is cut short; download it again")
    })?;
    std::str::from_utf8(json).map_err(|e| corrupt(format!("its header is not UTF-8: {e}")))
}

/// Checks one tensor's numbers against each other and against the file's length.
fn entry(raw: &Raw, start: usize, end: usize) -> Result<Entry> {
    let Raw { dtype, shape: Shape(shape), data_offsets: (first, last) } = raw;
    let corrupt = |message: String| Error::new(Code::CorruptFile, message);
    let stored = StoredDtype::parse(dtype)
        .ok_or_else(|| Error::unsupported(format!("{} is not a known number format", shown(dtype))))?;
    let too_large = || corrupt(format!("its shape {shape:?} overflows"));
    let shape = shape.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>().ok_or_else(too_large)?;
    let bits = shape.iter().try_fold(stored.bits(), |bits, &n| bits.checked_mul(n)).ok_or_else(too_large)?;
    if !bits.is_multiple_of(8) {
        return Err(corrupt(format!("its shape {shape:?} of {dtype} does not end at a whole byte")));
    }

    if last < first {
        return Err(corrupt(format!("its offsets are reversed: {first} to {last}")));
    }
    let data = end - start;
    let range = usize::try_from(*first).ok().zip(usize::try_from(*last).ok()).filter(|&(_, last)| last <= data);
    let Some((first, last)) = range else {
        return Err(corrupt(format!("its bytes are {first} to {last}, but the file holds {data} after its header"))
            .with_hint("the file is cut short; download it again"));
    };
    if last - first != bits / 8 {
        let message = format!("its shape {shape:?} of {dtype} takes {} bytes, but it has {}", bits / 8, last - first);
        return Err(corrupt(message));
    }
    Ok(Entry { dtype: stored, shape, range: start + first..start + last })
}

/// Every byte after the header must belong to exactly one tensor.
fn check_coverage(file: &str, tensors: &BTreeMap<String, Entry>, start: usize, end: usize) -> Result<()> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
    let mut position = start;
    for (name, Entry { range, .. }) in sorted {
        if range.start != position {
            let what = if range.start < position { "overlaps the tensor before it" } else { "leaves a gap before it" };
            let message = format!("{} {what}: it starts at byte {}, not {position}", shown(name), range.start);
            return Err(Error::corrupt(file, message));
        }
        position = range.end;
    }
    if position != end {
        return Err(Error::corrupt(file, format!("its last {} bytes belong to no tensor", end - position)));
    }
    Ok(())
}

/// An entry of the header as it stands there.
#[derive(serde::Deserialize)]
struct Raw {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

/// A list of sizes that is never longer in memory than it may be.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;

        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
                let mut sizes = Vec::new();
                while let Some(size) = access.next_element()? {
                    if sizes.len() == MAX_RANK {
                        return Err(A::Error::custom(format!("the shape has more than {MAX_RANK} dimensions")));
                    }
                    sizes.push(size);
                }
                Ok(Shape(sizes))
            }
        }

        deserializer.deserialize_seq(Sizes)
    }
}
