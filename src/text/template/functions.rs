//! What transformers adds to Jinja: `raise_exception`, `strftime_now`, and a `tojson` like Python's `json.dumps`.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Value as JinjaValue};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value;

/// Adds the functions and filters.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> Result<String, Error> {
        let mut text = String::new();
        write!(text, "{}", chrono::Local::now().format(&format)).map_err(|_| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {format:?} is no format of a time"))
        })?;
        Ok(text)
    });
    // Jinja's `none` is not iterable, its undefined is; templates ask this of `tools`.
    environment.add_test("iterable", |value: &JinjaValue| !value.is_none() && value.try_iter().is_ok());
    environment.add_filter("tojson", to_json);
    environment.add_filter("truncate", minijinja_contrib::filters::truncate);
    environment.add_filter("wordcount", |text: String| text.split_whitespace().count());
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=…, separators=…, sort_keys=…)`.
fn to_json(value: &JinjaValue, kwargs: Kwargs) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::BadSerialization, "tojson: the value is undefined"));
    }
    let json =
        serde_json::to_value(value).map_err(|e| Error::new(ErrorKind::BadSerialization, format!("tojson: {e}")))?;
    let indent: Option<usize> = kwargs.get("indent")?;
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let ensure_ascii: Option<bool> = kwargs.get("ensure_ascii")?;
    let sort_keys: Option<bool> = kwargs.get("sort_keys")?;
    kwargs.assert_all_used()?;
    let default = if indent.is_some() { "," } else { ", " };
    let (item, key) = match separators.as_deref() {
        None => (default.to_owned(), ": ".to_owned()),
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators are two texts")),
    };
    let style = Style {
        indent: indent.map(|width| width.min(64)),
        item,
        key,
        ensure_ascii: ensure_ascii == Some(true),
        sort_keys: sort_keys == Some(true),
    };
    let mut out = String::new();
    style.write(&json, 0, &mut out);
    Ok(out)
}

struct Style {
    indent: Option<usize>,
    item: String,
    key: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Style {
    fn write(&self, value: &Value, depth: usize, out: &mut String) {
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| (None, item)).collect();
                self.write_all(items, "[]", depth, out);
            }
            Value::Object(entries) => {
                let mut entries: Vec<_> = entries.iter().map(|(key, value)| (Some(key), value)).collect();
                if self.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                self.write_all(entries, "{}", depth, out);
            }
            Value::String(text) => self.write_text(text, out),
            Value::Number(number) => out.push_str(&python_number(number)),
            other => out.push_str(&other.to_string()),
        }
    }

    fn write_all(&self, items: Vec<(Option<&String>, &Value)>, brackets: &str, depth: usize, out: &mut String) {
        if items.is_empty() {
            return out.push_str(brackets);
        }
        let (open, close) = brackets.split_at(1);
        out.push_str(open);
        for (index, (key, value)) in items.into_iter().enumerate() {
            if index > 0 {
                out.push_str(&self.item);
            }
            self.new_line(depth + 1, out);
            if let Some(key) = key {
                self.write_text(key, out);
                out.push_str(&self.key);
            }
            self.write(value, depth + 1, out);
        }
        self.new_line(depth, out);
        out.push_str(close);
    }

    fn new_line(&self, depth: usize, out: &mut String) {
        if let Some(width) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    }

    fn write_text(&self, text: &str, out: &mut String) {
        out.push('"');
        for char in text.chars() {
            match char {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                char if (char as u32) < 0x20 || (self.ensure_ascii && !char.is_ascii()) => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                char => out.push(char),
            }
        }
        out.push('"');
    }
}

/// A number as Python's `repr` writes it: exponents below 1e-4 and from 1e16 on.
fn python_number(number: &serde_json::Number) -> String {
    let float = match number.as_f64() {
        Some(float) if number.is_f64() => float,
        _ => return number.to_string(),
    };
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{float:e}");
        return match text.split_once('e') {
            Some((mantissa, exponent)) => {
                let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
                format!("{mantissa}e{sign}{digits:0>2}")
            }
            None => text,
        };
    }
    if float.fract() == 0.0 { format!("{float:.1}") } else { format!("{float}") }
}
