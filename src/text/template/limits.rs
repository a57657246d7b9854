//! Limits on the size of values. Fuel counts steps, but a step may double a text: thirty of them would fill the memory.
//!
//! Sizes grow where values are kept (`set`, macro arguments), which [`source`](super::source) sends through the filter
//! [`BOUNDED`], and in the few filters and methods whose result may be much longer than what goes in.

use minijinja::value::{Kwargs, StringInput as Text, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};
use minijinja_contrib::pycompat;

/// The filter that refuses values that are too large.
pub(super) const BOUNDED: &str = "__bounded";

/// Bytes of text, and items counted like bytes, that a kept value may have in all.
const LIMIT: usize = 16 << 20;
/// Digits that a width in a format text may have.
const WIDTH_DIGITS: usize = 4;

/// Adds the filters and methods.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter(BOUNDED, |value: Value| check(&value).map(|()| value));
    environment.add_filter("replace", |state: &mut State, text: Text<'_>, old: Text<'_>, new: Text<'_>| {
        check_replace(text.as_str(), old.as_str(), new.as_str())?;
        filters::replace(state, text, old, new)
    });
    environment.add_filter(
        "join",
        |state: &mut State, value: &Value, joiner: Option<Text<'_>>, attribute: Option<&str>, kwargs: Kwargs| {
            check_join(value, joiner.as_ref().map_or("", |joiner| joiner.as_str()))?;
            filters::join(state, value, joiner, attribute, kwargs)
        },
    );
    environment.add_filter("indent", indent);
    environment.remove_filter("center");
    environment.remove_filter("format");
    environment.set_unknown_method_callback(|state, value, method, args| {
        match (method, args) {
            ("replace", [old, new, ..]) => {
                let (text, old, new) = (value.as_str(), old.as_str(), new.as_str());
                check_replace(text.unwrap_or(""), old.unwrap_or(""), new.unwrap_or(""))?;
            }
            ("join", [items]) => check_join(items, value.as_str().unwrap_or(""))?,
            ("format", _) => check_format(value.as_str().unwrap_or(""))?,
            _ => {}
        }
        pycompat::unknown_method_callback(state, value, method, args)
    });
}

/// Jinja's `indent`, which keeps a line end at the end of the text.
fn indent(
    text: Text<'_>,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let width = width.or(kwargs.get("width")?);
    let first = first.or(kwargs.get("first")?).unwrap_or(false);
    let blank = blank.or(kwargs.get("blank")?).unwrap_or(false);
    kwargs.assert_all_used()?;
    let lines = text.as_str().split('\n');
    let indention = match &width {
        Some(width) if width.as_str().is_some() => width.to_string(),
        width => {
            let spaces = width.as_ref().map_or(Some(4), Value::as_usize).unwrap_or(usize::MAX);
            check_size(spaces)?;
            " ".repeat(spaces)
        }
    };
    check_size(lines.clone().count().saturating_mul(indention.len()).saturating_add(text.as_str().len()))?;
    let line = |(at, line): (usize, &str)| match at {
        0 if !first => line.to_owned(),
        _ if line.is_empty() && !blank && at > 0 => String::new(),
        _ => format!("{indention}{line}"),
    };
    Ok(lines.enumerate().map(line).collect::<Vec<_>>().join("\n"))
}

fn check(value: &Value) -> Result<(), Error> {
    let mut left = LIMIT;
    weigh(value, &mut left, 0)
}

/// Takes a value's size off `left`.
fn weigh(value: &Value, left: &mut usize, depth: usize) -> Result<(), Error> {
    let own = value.as_str().map_or(1, str::len).max(1);
    *left = left.checked_sub(own).ok_or_else(too_large)?;
    if depth > 100 {
        return Err(too_large());
    }
    match value.kind() {
        ValueKind::Seq => {
            for item in value.try_iter()? {
                weigh(&item, left, depth + 1)?;
            }
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                weigh(&value.get_item(&key)?, left, depth + 1)?;
                weigh(&key, left, depth + 1)?;
            }
        }
        // Iterators of unknown length cost fuel where they are used.
        _ => {}
    }
    Ok(())
}

fn check_replace(text: &str, old: &str, new: &str) -> Result<(), Error> {
    if new.len() <= old.len() {
        return Ok(());
    }
    let found = if old.is_empty() { text.len() + 1 } else { text.matches(old).count() };
    check_size(text.len().saturating_add(found.saturating_mul(new.len())))
}

fn check_join(items: &Value, joiner: &str) -> Result<(), Error> {
    check(items)?;
    check_size(items.len().unwrap_or(0).saturating_mul(joiner.len()))
}

/// Widths are numbers inside of the format text.
fn check_format(format: &str) -> Result<(), Error> {
    let longest = format.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    if longest > WIDTH_DIGITS { Err(too_large()) } else { Ok(()) }
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > LIMIT { Err(too_large()) } else { Ok(()) }
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("makes a value of more than {LIMIT} bytes"))
}
