//! Typed, bounded access to `config.json`. Every error names the key and its value.
//!
//! A key whose value is `null` counts as absent, as in the configurations that transformers writes.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};

/// How much of a value a message shows.
const SHOWN: usize = 80;

/// An object of the configuration.
#[derive(Clone)]
pub(super) struct Config<'a> {
    map: &'a Map<String, Value>,
    /// What messages call the file.
    file: &'a str,
    /// The path of this object in the file: empty, or ending with a dot.
    path: String,
}

impl<'a> Config<'a> {
    pub fn new(config: &'a Value, file: &'a str) -> Result<Self> {
        match config {
            Value::Object(map) => Ok(Self { map, file, path: String::new() }),
            other => Err(Error::corrupt(file, format_args!("is {}, not an object", shown(other)))),
        }
    }

    /// Reads the same object with other values for some keys: `defaults` where it has none, `forced` whatever it has.
    /// Messages name keys as before.
    pub fn with<T>(&self, defaults: Value, forced: Value, read: impl FnOnce(&Config) -> Result<T>) -> Result<T> {
        let mut map = self.map.clone();
        for (key, value) in entries(defaults) {
            map.entry(key).or_insert(value);
        }
        map.extend(entries(forced));
        read(&Config { map: &map, file: self.file, path: self.path.clone() })
    }

    /// Reads the same object with defaults for the keys that it does not have.
    pub fn with_defaults<T>(&self, defaults: Value, read: impl FnOnce(&Config) -> Result<T>) -> Result<T> {
        self.with(defaults, Value::Null, read)
    }

    /// The object under `key`.
    pub fn object(&self, key: &str) -> Result<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { map, file: self.file, path: format!("{}{key}.", self.path) })),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    /// The objects of a list; none when the key is absent.
    pub fn objects(&self, key: &str) -> Result<Vec<Self>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let object = |(index, item): (usize, &'a Value)| {
            let map = item.as_object()?;
            Some(Self { map, file: self.file, path: format!("{}{key}[{index}].", self.path) })
        };
        let objects = value.as_array().and_then(|list| list.iter().enumerate().map(object).collect());
        objects.ok_or_else(|| self.wrong(key, "a list of objects"))
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Keys and values in the order of the file, `null` ones included.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.map.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A whole number that must be there.
    pub fn usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize> {
        self.optional_usize(key, range)?.ok_or_else(|| self.missing(key))
    }

    /// A whole number, or the default where that is in range.
    pub fn usize_or(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize> {
        match self.optional_usize(key, range.clone())? {
            None if !range.contains(&default) => Err(self.out_of_range(key, default, &range)),
            number => Ok(number.unwrap_or(default)),
        }
    }

    pub fn optional_usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n));
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.wrong(key, expected()))
    }

    /// A number that must be there.
    pub fn f64(&self, key: &str, range: RangeInclusive<f64>) -> Result<f64> {
        self.optional_f64(key, range)?.ok_or_else(|| self.missing(key))
    }

    /// A number, or the default where that is in range.
    pub fn f64_or(&self, key: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64> {
        match self.optional_f64(key, range.clone())? {
            None if !range.contains(&default) => Err(self.out_of_range(key, default, &range)),
            number => Ok(number.unwrap_or(default)),
        }
    }

    pub fn optional_f64(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_f64().filter(|n| range.contains(n));
        let expected = || format!("a number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.wrong(key, expected()))
    }

    /// Whole numbers of a list.
    pub fn usizes(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<Vec<usize>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let whole = |item: &Value| item.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n));
        let numbers = value.as_array().and_then(|list| list.iter().map(whole).collect());
        let expected = || format!("a list of whole numbers from {} to {}", range.start(), range.end());
        numbers.map(Some).ok_or_else(|| self.wrong(key, expected()))
    }

    /// Whole numbers of a list, or a single one.
    pub fn usizes_or_one(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<Vec<usize>>> {
        match self.get(key) {
            Some(Value::Number(_)) => Ok(self.optional_usize(key, range)?.map(|number| vec![number])),
            _ => self.usizes(key, range),
        }
    }

    /// Numbers of a list.
    pub fn f64s(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let numbers = value.as_array().and_then(|list| {
            list.iter().map(|item| item.as_f64().filter(|n| range.contains(n))).collect::<Option<Vec<_>>>()
        });
        let expected = || format!("a list of numbers from {} to {}", range.start(), range.end());
        numbers.map(Some).ok_or_else(|| self.wrong(key, expected()))
    }

    /// Numbers of a list, or a single one.
    pub fn f64s_or_one(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<Vec<f64>>> {
        match self.get(key) {
            Some(Value::Number(_)) => Ok(self.optional_f64(key, range)?.map(|number| vec![number])),
            _ => self.f64s(key, range),
        }
    }

    /// A truth value that must be there.
    pub fn bool(&self, key: &str) -> Result<bool> {
        self.get(key).ok_or_else(|| self.missing(key))?;
        self.bool_or(key, false)
    }

    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    pub fn string(&self, key: &str) -> Result<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    /// Strings of a list.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let strings = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        strings.map(Some).ok_or_else(|| self.wrong(key, "a list of strings"))
    }

    /// A value that isn't what its key asks for.
    pub fn wrong(&self, key: &str, expected: impl Display) -> Error {
        self.corrupt(key, format_args!("must be {expected}"))
    }

    /// A value that contradicts others.
    pub fn corrupt(&self, key: &str, message: impl Display) -> Error {
        Error::corrupt(self.file, format_args!("{} {message}", self.named(key)))
    }

    /// A value that means something we can't do.
    pub fn unsupported(&self, key: &str, message: impl Display) -> Error {
        Error::new(Code::Unsupported, format!("{}: {} {message}", self.file, self.named(key)))
    }

    /// A default that other values do not go with.
    fn out_of_range<T: Display>(&self, key: &str, default: T, range: &RangeInclusive<T>) -> Error {
        let (least, most) = (range.start(), range.end());
        let message =
            format!("{}{key} is missing and would be {default}, which is not from {least} to {most}", self.path);
        Error::corrupt(self.file, message)
    }

    fn missing(&self, key: &str) -> Error {
        Error::corrupt(self.file, format_args!("{}{key} is missing", self.path))
    }

    /// `path.key = value`.
    fn named(&self, key: &str) -> String {
        match self.get(key) {
            Some(value) => format!("{}{} = {}", self.path, cut(key), shown(value)),
            None => format!("{}{}", self.path, cut(key)),
        }
    }
}

fn entries(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        // Not written out: a value may be megabytes long.
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) => format!("an object of {}", map.len()),
        Value::String(text) => format!("{:?}", cut(text)),
        other => other.to_string(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
