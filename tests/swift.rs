//! What the Swift package handles is what the C header names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The macros that the header defines in one of its sections, by a common prefix.
fn defined(section: &str, prefix: &str) -> BTreeSet<String> {
    let header = read("include/pocketmlx.h");
    let (_, rest) = header.split_once(&format!("@defgroup {section} ")).expect("the section");
    let (section, _) = rest.split_once("/** @} */").expect("its end");
    let names = section.lines().filter_map(|line| line.strip_prefix("#define ")?.split(' ').next());
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// The words of a Swift file that begin with a prefix.
fn used(path: &str, prefix: &str) -> BTreeSet<String> {
    let source = read(path);
    let words = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn swift_handles_the_error_codes_of_the_header() {
    let codes = defined("error", "PMLX_");
    assert!(codes.contains("PMLX_OK") && codes.contains("PMLX_INTERNAL"), "{codes:?}");
    assert_eq!(used("swift/Sources/PocketMLX/PocketMLXError.swift", "PMLX_"), codes);
}

#[test]
fn swift_handles_the_event_kinds_of_the_header() {
    let kinds = defined("event", "PMLX_EVENT_");
    assert!(kinds.contains("PMLX_EVENT_TEXT") && kinds.len() > 4, "{kinds:?}");
    assert_eq!(used("swift/Sources/PocketMLX/GenerationEvent.swift", "PMLX_EVENT_"), kinds);
}

#[test]
fn swift_handles_the_stages_of_the_header() {
    let stages = defined("progress", "PMLX_STAGE_");
    assert!(stages.contains("PMLX_STAGE_WEIGHTS"), "{stages:?}");
    assert_eq!(used("swift/Sources/PocketMLX/Progress.swift", "PMLX_STAGE_"), stages);
}
