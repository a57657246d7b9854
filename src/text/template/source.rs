//! Changes a template's source before it is compiled: transformers' `generation` tags become plain ones, and values
//! that are kept go through [`BOUNDED`](super::limits::BOUNDED).

use super::limits::BOUNDED;

/// The prepared source. What is no well-formed tag stays as it is, for the compiler to complain about.
pub(super) fn prepare(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + source.len() / 8);
    let mut block_sets: Vec<Option<String>> = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        let length = match &tag[..2] {
            "{#" => tag.find("#}").map(|end| end + 2),
            "{{" => end_of(tag, "}}"),
            _ => end_of(tag, "%}"),
        };
        let Some(length) = length else {
            out.push_str(tag);
            return out;
        };
        let (tag, after) = tag.split_at(length);
        rest = after;
        if !tag.starts_with("{%") {
            out.push_str(tag);
            continue;
        }
        let tag = Tag::parse(tag);
        if tag.word == "raw" {
            let end = rest.match_indices("{%").find(|(at, _)| {
                end_of(&rest[*at..], "%}").is_some_and(|length| Tag::parse(&rest[*at..at + length]).word == "endraw")
            });
            let (raw, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
            tag.write(tag.body, &mut out);
            out.push_str(raw);
            rest = after;
            continue;
        }
        rewrite(&tag, &mut block_sets, &mut out);
    }
    out.push_str(rest);
    out
}

fn rewrite(tag: &Tag<'_>, block_sets: &mut Vec<Option<String>>, out: &mut String) {
    match tag.word {
        "generation" => tag.write("if true", out),
        "endgeneration" => tag.write("endif", out),
        "set" => match tag.body.find('=') {
            Some(at) => {
                let (target, value) = (&tag.body[..at], &tag.body[at + 1..]);
                tag.write(&format!("{target}= ({value})|{BOUNDED}"), out);
            }
            None => {
                block_sets.push(identifier(tag.body["set".len()..].trim_start()).map(str::to_owned));
                tag.write(tag.body, out);
            }
        },
        "endset" => {
            tag.write(tag.body, out);
            if let Some(Some(name)) = block_sets.pop() {
                tag.write_after(&format!("set {name} = {name}|{BOUNDED}"), out);
            }
        }
        "macro" => {
            tag.write(tag.body, out);
            for name in parameters(tag.body) {
                tag.write_after(&format!("set {name} = {name}|{BOUNDED}"), out);
            }
        }
        _ => tag.write(tag.body, out),
    }
}

/// A block tag: `{%`, white space control, body, white space control, `%}`.
struct Tag<'a> {
    open: &'a str,
    body: &'a str,
    close: &'a str,
    /// The first word of the body.
    word: &'a str,
}

impl<'a> Tag<'a> {
    fn parse(tag: &'a str) -> Self {
        let control = |byte: Option<&u8>| matches!(byte, Some(b'-' | b'+'));
        let bytes = tag.as_bytes();
        let open = if control(bytes.get(2)) { 3 } else { 2 };
        let close = if tag.len() > open + 2 && control(bytes.get(tag.len() - 3)) { 3 } else { 2 };
        let body = tag[open..tag.len() - close].trim();
        let word = body.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        Self { open: &tag[..open], body, close: &tag[tag.len() - close..], word }
    }

    fn write(&self, body: &str, out: &mut String) {
        out.extend([self.open, " ", body, " ", self.close]);
    }

    /// Writes a tag right behind this one that controls white space as this one does.
    fn write_after(&self, body: &str, out: &mut String) {
        out.extend(["{% ", body, " ", self.close]);
    }
}

/// The length of a tag up to and with `close`, which may stand inside of quotes without ending it.
fn end_of(tag: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut chars = tag.char_indices().skip(2);
    while let Some((at, char)) = chars.next() {
        match (quote, char) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(open), char) if char == open => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, _) if tag[at..].starts_with(close) => return Some(at + close.len()),
            _ => {}
        }
    }
    None
}

/// The names of a macro's parameters.
fn parameters(body: &str) -> Vec<&str> {
    let Some(list) = body.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map(|(list, _)| list) else {
        return Vec::new();
    };
    let (mut names, mut depth, mut quote, mut begin) = (Vec::new(), 0, None, 0);
    for (at, char) in list.char_indices().chain([(list.len(), ',')]) {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(char),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 || at == list.len() => {
                names.extend(identifier(list[begin..at].trim_start()));
                begin = at + 1;
            }
            _ => {}
        }
    }
    names
}

/// The identifier that a text begins with.
fn identifier(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    Some(&text[..end]).filter(|name| !name.is_empty())
}
