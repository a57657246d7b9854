//! What a GGUF file says about its model: values by key. Values stay in the file's bytes and are read when asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use super::cursor::Cursor;
use crate::error::{Code, Error, Result};
use crate::weights::{Storage, shown};

/// The most keys; real files have about 40.
const MAX_KEYS: u64 = 1 << 16;
/// The longest key, as the format has it.
const MAX_KEY: usize = 65_535;

/// The type of a value, or of what an array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    /// By their numbers in the file.
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let number = cursor.u32("a type")?;
        Self::ALL.get(number as usize).copied().ok_or_else(|| {
            Error::new(
                Code::CorruptFile,
                format!("its type is {}; known are 0 to {}", number as i32, Self::ALL.len() - 1),
            )
        })
    }

    /// Bytes of a value; at least that many of a string or array, which say their length first.
    fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::String | Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Array => 12,
        }
    }
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// A whole number of any type.
    Integer(i128),
    /// f32 or f64.
    Float(f64),
    Bool(bool),
    /// Usually UTF-8, which nothing promises.
    String(&'a [u8]),
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// A value that is neither string nor array, from exactly its bytes.
    fn scalar(kind: Kind, bytes: &[u8]) -> Self {
        let mut wide = [0; 8];
        let length = bytes.len().min(8);
        wide[..length].copy_from_slice(&bytes[..length]);
        let number = u64::from_le_bytes(wide);
        match kind {
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => Self::Integer(number.into()),
            Kind::I8 => Self::Integer((number as i8).into()),
            Kind::I16 => Self::Integer((number as i16).into()),
            Kind::I32 => Self::Integer((number as i32).into()),
            Kind::I64 => Self::Integer((number as i64).into()),
            Kind::F32 => Self::Float(f32::from_bits(number as u32).into()),
            Kind::F64 => Self::Float(f64::from_bits(number)),
            Kind::Bool => Self::Bool(number != 0),
            Kind::String | Kind::Array => Self::String(&[]),
        }
    }
}

/// Values of one type; never arrays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Array<'a> {
    /// What it holds.
    pub kind: Kind,
    /// How many of them.
    pub len: usize,
    /// Without type and count; checked to hold `len` values.
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// All values in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut rest = self.bytes;
        (0..self.len).map_while(move |_| {
            if self.kind != Kind::String {
                let (value, after) = rest.split_at_checked(self.kind.width())?;
                rest = after;
                return Some(Value::scalar(self.kind, value));
            }
            let (length, after) = rest.split_first_chunk::<8>()?;
            let (text, after) = after.split_at_checked(u64::from_le_bytes(*length) as usize)?;
            rest = after;
            Some(Value::String(text))
        })
    }

    /// The strings, if it holds strings.
    pub fn strings(self) -> Option<impl Iterator<Item = &'a [u8]>> {
        let text = |value| if let Value::String(text) = value { Some(text) } else { None };
        (self.kind == Kind::String).then(|| self.iter().filter_map(text))
    }

    /// The whole numbers, if it holds such.
    pub fn integers(self) -> Option<impl Iterator<Item = i128>> {
        let number = |value| if let Value::Integer(number) = value { Some(number) } else { None };
        let whole = !matches!(self.kind, Kind::F32 | Kind::F64 | Kind::Bool | Kind::String | Kind::Array);
        whole.then(|| self.iter().filter_map(number))
    }

    /// The numbers, if it holds floats.
    pub fn floats(self) -> Option<impl Iterator<Item = f64>> {
        let number = |value| if let Value::Float(number) = value { Some(number) } else { None };
        matches!(self.kind, Kind::F32 | Kind::F64).then(|| self.iter().filter_map(number))
    }

    /// The truth values, if it holds such.
    #[cfg(test)]
    pub fn bools(self) -> Option<impl Iterator<Item = bool>> {
        let truth = |value| if let Value::Bool(truth) = value { Some(truth) } else { None };
        (self.kind == Kind::Bool).then(|| self.iter().filter_map(truth))
    }
}

/// The values of a file by key.
///
/// Getters give nothing for an absent key, and [`Code::CorruptFile`] naming the key for a value of another type.
#[derive(Clone)]
pub(crate) struct Metadata {
    label: String,
    storage: Storage,
    values: BTreeMap<String, Stored>,
}

#[derive(Clone)]
struct Stored {
    kind: Kind,
    /// What an array holds, and how much.
    items: (Kind, usize),
    range: Range<usize>,
}

impl Metadata {
    /// Reads `count` entries, each of them checked. `storage` is what the cursor reads.
    pub(super) fn read(label: &str, storage: &Storage, cursor: &mut Cursor<'_>, count: usize) -> Result<Self> {
        let mut values = BTreeMap::new();
        let bytes = (**storage).as_ref();
        for _ in 0..count {
            let key = &bytes[cursor.string("a key")?];
            let named = |error: Error| error.context(shown(&String::from_utf8_lossy(key)));
            let corrupt = |message: &str| named(Error::new(Code::CorruptFile, message));
            let text = std::str::from_utf8(key).map_err(|_| corrupt("the key is not UTF-8"))?;
            if !(1..=MAX_KEY).contains(&key.len()) {
                return Err(corrupt("the key is empty or too long"));
            }
            let value = Stored::read(cursor).map_err(named)?;
            if values.insert(text.to_owned(), value).is_some() {
                return Err(corrupt("the key is there twice"));
            }
        }
        Ok(Self { label: label.to_owned(), storage: storage.clone(), values })
    }

    /// The number of entries, as the header has it.
    pub(super) fn count(cursor: &mut Cursor<'_>) -> Result<usize> {
        // A key's length and one byte of it, a type, one byte of a value.
        cursor.count(MAX_KEYS, 8 + 1 + 4 + 1, "the number of keys")
    }

    /// The value of a key, whatever its type.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        let stored = self.values.get(key)?;
        let bytes = &(*self.storage).as_ref()[stored.range.clone()];
        Some(match stored.kind {
            Kind::String => Value::String(bytes),
            Kind::Array => Value::Array(Array { kind: stored.items.0, len: stored.items.1, bytes }),
            kind => Value::scalar(kind, bytes),
        })
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Text, which must be UTF-8.
    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(bytes)) => {
                std::str::from_utf8(bytes).map(Some).map_err(|e| self.corrupt(key, format_args!("is not UTF-8: {e}")))
            }
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    /// A whole number that is not below zero.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => {
                u64::try_from(number).map(Some).map_err(|_| self.corrupt(key, format_args!("is {number}")))
            }
            Some(_) => Err(self.wrong(key, "a whole number")),
        }
    }

    /// A finite number, whole ones included.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => Ok(Some(number as f64)),
            Some(Value::Float(number)) if number.is_finite() => Ok(Some(number)),
            Some(Value::Float(number)) => Err(self.corrupt(key, format_args!("is {number}"))),
            Some(_) => Err(self.wrong(key, "a number")),
        }
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(_) => Err(self.wrong(key, "a truth value")),
        }
    }

    /// Values of one type.
    pub fn array(&self, key: &str) -> Result<Option<Array<'_>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(array)),
            Some(_) => Err(self.wrong(key, "an array")),
        }
    }

    /// [`Code::CorruptFile`] about the value of a key.
    pub fn corrupt(&self, key: &str, message: impl std::fmt::Display) -> Error {
        Error::corrupt(&self.label, format_args!("{key} {message}"))
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        let kind = self.values.get(key).map(|stored| stored.kind);
        self.corrupt(key, format_args!("must be {expected}, but is of the type {kind:?}"))
    }
}

impl Stored {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let kind = Kind::read(cursor)?;
        let (items, range) = match kind {
            Kind::String => ((kind, 0), cursor.string("a string")?),
            Kind::Array => {
                let kind = Kind::read(cursor)?;
                if kind == Kind::Array {
                    return Err(Error::unsupported("arrays of arrays are not supported"));
                }
                let count = cursor.count(u64::MAX, kind.width(), "the length of an array")?;
                let start = cursor.position();
                if kind == Kind::String {
                    for _ in 0..count {
                        cursor.string("a string")?;
                    }
                } else {
                    // `count` made sure that this can't overflow.
                    cursor.skip((count * kind.width()) as u64, "an array")?;
                }
                ((kind, count), start..cursor.position())
            }
            kind => ((kind, 0), cursor.skip(kind.width() as u64, "a value")?),
        };
        Ok(Self { kind, items, range })
    }
}
