//! Prints the C header: what cbindgen makes of each file of `src/ffi`, a section a noun.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::process::ExitCode;

use cbindgen::{Builder, Config, ItemType};

/// The files of `src/ffi`, in an order in which every type is declared before it is used.
const NOUNS: [&str; 12] = [
    "version",
    "error",
    "text",
    "callback",
    "log",
    "progress",
    "engine",
    "model",
    "event",
    "session",
    "generation",
    "hub",
];

const MUST_USE: &str = "\
/** The result must not be ignored: it is an error to free. */
#if defined(__GNUC__)
#define PMLX_MUST_USE __attribute__((warn_unused_result))
#else
#define PMLX_MUST_USE
#endif
";

fn main() -> ExitCode {
    match header() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn header() -> Result<String, Box<dyn Error>> {
    let mut config = Config::from_file("cbindgen.toml")?;
    let preamble = config.header.take().unwrap_or_default();
    let mut text = String::new();
    writeln!(text, "{}\n\n#ifndef POCKETMLX_H\n#define POCKETMLX_H\n", preamble.trim())?;
    writeln!(text, "#include <stddef.h>\n#include <stdint.h>\n")?;
    writeln!(text, "{}", version_macros(&fs::read_to_string("Cargo.toml")?)?)?;
    writeln!(text, "{MUST_USE}\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n")?;
    writeln!(text, "{}", section(&config, &NOUNS, &[ItemType::OpaqueItems])?)?;
    for noun in NOUNS {
        let source = fs::read_to_string(path(noun))?;
        let body = section(
            &config,
            &[noun],
            &[ItemType::Constants, ItemType::Structs, ItemType::Typedefs, ItemType::Functions],
        )?;
        writeln!(text, "/**\n * @defgroup {noun} {}\n * @{{\n */\n\n{body}\n/** @}} */\n", title(&source))?;
        // cbindgen leaves out what it does not understand without a word.
        for name in functions(&source) {
            if !text.contains(&format!("{name}(")) {
                return Err(format!("{name} of src/ffi/{noun}.rs is missing in the header").into());
            }
        }
    }
    writeln!(text, "#ifdef __cplusplus\n}}\n#endif\n\n#endif /* POCKETMLX_H */")?;
    Ok(text)
}

/// The items of the given kinds in some files.
fn section(config: &Config, nouns: &[&str], kinds: &[ItemType]) -> Result<String, Box<dyn Error>> {
    let mut config = config.clone();
    config.export.item_types = kinds.to_vec();
    let mut builder = Builder::new();
    for noun in nouns {
        config.export.include.extend(types(&fs::read_to_string(path(noun))?));
        builder = builder.with_src(path(noun));
    }
    let mut bytes = Vec::new();
    builder.with_config(config).generate()?.write(&mut bytes);
    Ok(tidy(std::str::from_utf8(&bytes)?.trim()))
}

/// Comments of one line on one line, and types by their names, which are all declared at the top.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut rest = &lines[..];
    let mut tidied = String::new();
    while let [line, after @ ..] = rest {
        let indent = &line[..line.len() - line.trim_start().len()];
        rest = after;
        match after {
            [comment, end, after @ ..] if line.trim() == "/**" && end.trim() == "*/" => {
                let comment = comment.trim_start_matches([' ', '*']);
                tidied += &format!("{indent}/** {comment} */");
                rest = after;
            }
            _ if line.starts_with("typedef struct") => tidied += line,
            _ => tidied += &line.replace("struct pmlx_", "pmlx_"),
        }
        tidied.push('\n');
    }
    tidied
}

fn path(noun: &str) -> String {
    format!("src/ffi/{noun}.rs")
}

/// `PMLX_VERSION` and its numbers, from the package's manifest.
fn version_macros(manifest: &str) -> Result<String, Box<dyn Error>> {
    let version = manifest
        .split_once("[package]")
        .and_then(|(_, package)| package.lines().find_map(|line| line.strip_prefix("version = ")))
        .ok_or("Cargo.toml has no version")?
        .trim_matches('"');
    let numbers: Vec<u32> = version.split(['.', '-']).take(3).map(str::parse).collect::<Result<_, _>>()?;
    let [major, minor, patch] = numbers[..] else {
        return Err(format!("version {version} is not major.minor.patch").into());
    };
    Ok(format!(
        "/** The version of the library that this header belongs to; `pmlx_version` says which one is loaded. */\n\
         #define PMLX_VERSION \"{version}\"\n\
         #define PMLX_VERSION_MAJOR {major}\n\
         #define PMLX_VERSION_MINOR {minor}\n\
         #define PMLX_VERSION_PATCH {patch}\n"
    ))
}

/// The first line of a file's documentation, without its full stop.
fn title(source: &str) -> &str {
    source.lines().next().unwrap_or_default().trim_start_matches("//! ").trim_end_matches('.')
}

fn types(source: &str) -> impl Iterator<Item = String> + '_ {
    names(source, "pub struct ").chain(names(source, "pub type "))
}

fn functions(source: &str) -> impl Iterator<Item = String> + '_ {
    source.match_indices("extern \"C\" fn pmlx_").map(|(at, _)| word(&source[at + "extern \"C\" fn ".len()..]))
}

fn names<'a>(source: &'a str, keyword: &'a str) -> impl Iterator<Item = String> + 'a {
    source.lines().filter_map(move |line| line.strip_prefix(keyword)).map(word)
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
