//! Reads which paths of the crate a file names: a small part of Rust's grammar, enough for this repository.

use std::collections::BTreeSet;

/// The tokens of a file without comments, texts, characters, and items under `#[cfg(test)]`: words, `::`, and single
/// other characters.
pub struct Code(Vec<String>);

impl Code {
    /// All tokens in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The tokens of a file.
pub fn code(source: &str) -> Code {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(len) = raw_text(rest) {
            len
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && (rest[1..].starts_with('\\') || rest[1..].chars().nth(1) == Some('\'')) {
            quoted(rest, '\'')
        } else if word > 0 {
            tokens.push(rest[..word].to_owned());
            word
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    Code(without_tests(tokens))
}

/// The length of a raw text, if one begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or(rest.strip_prefix("cr")).or(rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !after[hashes..].starts_with('"') {
        return None;
    }
    let begin = rest.len() - after.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len()))
}

/// The length of a quoted text with escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = &tokens[..];
    while let Some(first) = rest.first() {
        if rest.len() >= mark.len() && rest.iter().zip(mark).all(|(token, mark)| token == mark) {
            // Up to the end of the item: its semicolon or its last brace.
            let mut depth = 0;
            let end = rest.iter().position(|token| {
                depth += i32::from(token == "{") - i32::from(token == "}");
                depth == 0 && (token == ";" || token == "}")
            });
            rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
        } else {
            kept.push(first.clone());
            rest = &rest[1..];
        }
    }
    kept
}

/// The module that a file of `src` is: `["arch", "llama"]`.
pub fn module_of(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|part| *part != "mod").collect()
}

/// The paths that a module names, from the root of the crate on and without `crate::`.
pub fn names(code: &Code, module: &[&str]) -> BTreeSet<String> {
    let tokens = &code.0;
    let mut names = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = at == 0 || tokens[at - 1] != "::";
        let Some(rest) = tokens.get(at + 1..).filter(|rest| begins && rest.first().is_some_and(|t| t == "::")) else {
            continue;
        };
        let mut rest = &rest[1..];
        let prefix: Vec<&str> = match token.as_str() {
            "crate" => Vec::new(),
            "super" => {
                let mut parents = 1;
                while rest.len() > 1 && rest[0] == "super" && rest[1] == "::" {
                    parents += 1;
                    rest = &rest[2..];
                }
                module[..module.len().saturating_sub(parents)].to_vec()
            }
            _ => continue,
        };
        tree(rest, &prefix, &mut names);
    }
    names
}

/// Reads `a::b`, `a::{b, c::d as e}` or `a::*`; gives what follows.
fn tree<'a>(mut rest: &'a [String], prefix: &[&'a str], names: &mut BTreeSet<String>) -> &'a [String] {
    let mut path = prefix.to_vec();
    loop {
        match rest.first().map(String::as_str) {
            Some("{") => {
                rest = &rest[1..];
                while let Some(token) = rest.first() {
                    match token.as_str() {
                        "}" => return &rest[1..],
                        "," => rest = &rest[1..],
                        _ => rest = tree(rest, &path, names),
                    }
                }
                return rest;
            }
            Some("self") if !path.is_empty() => rest = &rest[1..],
            Some(word) if word.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                path.push(word);
                rest = &rest[1..];
            }
            // `*`, or the end of the file.
            _ => rest = rest.get(1..).unwrap_or_default(),
        }
        if rest.first().is_some_and(|token| token == "::") {
            rest = &rest[1..];
        } else {
            names.insert(path.join("::"));
            let renamed = rest.first().is_some_and(|token| token == "as");
            return if renamed { rest.get(2..).unwrap_or_default() } else { rest };
        }
    }
}

/// What a file re-exports with `pub use`, and its public constants.
pub fn exports(code: &Code) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (at, window) in code.0.windows(2).enumerate() {
        if window[0] == "pub" && (window[1] == "use" || window[1] == "const") {
            tree(&code.0[at + 2..], &[], &mut paths);
        }
    }
    paths.iter().filter_map(|path| path.rsplit("::").next()).map(str::to_owned).collect()
}
