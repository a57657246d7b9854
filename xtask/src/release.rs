//! `cargo xtask release`: Package.swift names the framework of a release.

use std::fs;

use crate::sh::{self, Result};

/// Writes the URL and the checksum that `cargo xtask xcframework` left.
pub fn run(args: &[String]) -> Result<()> {
    let [url] = args else { return Err("usage: cargo xtask release URL".into()) };
    let root = sh::root();
    let checksum = fs::read_to_string(root.join("target/xcframework/checksum"))
        .map_err(|error| format!("target/xcframework/checksum: {error}; run `cargo xtask xcframework` first"))?;
    let path = root.join("Package.swift");
    let manifest = rewritten(&fs::read_to_string(&path)?, url, checksum.trim())?;
    Ok(fs::write(path, manifest)?)
}

/// The manifest with another release in it.
fn rewritten(manifest: &str, url: &str, checksum: &str) -> Result<String> {
    if !url.starts_with("https://") || !url.ends_with(".zip") || url.contains(['"', '\\', '\n']) {
        return Err(format!("{url:?} is no address of a zip file").into());
    }
    if checksum.len() != 64 || !checksum.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(format!("{checksum:?} is no SHA-256").into());
    }
    let lines: Vec<_> = manifest.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("let release = "));
    let at = at.ok_or("Package.swift has no line `let release = …`")?;
    let mut lines: Vec<_> = lines.into_iter().map(str::to_owned).collect();
    lines[at] = format!("let release = (\n    url: \"{url}\",\n    checksum: \"{checksum}\"\n)");
    // What a release before wrote in its place.
    if lines.get(at + 1).is_some_and(|line| line.trim_start().starts_with("url: ")) {
        lines.drain(at + 1..at + 4);
    }
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::rewritten;
    use crate::sh;

    #[test]
    fn a_release_replaces_the_one_before() {
        let manifest = std::fs::read_to_string(sh::root().join("Package.swift")).unwrap();
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        let first = rewritten(&manifest, "https://example.org/1.zip", &one).unwrap();
        let second = rewritten(&first, "https://example.org/2.zip", &two).unwrap();
        assert!(first.contains("1.zip") && first.contains(&one));
        assert!(second.contains("2.zip") && !second.contains("1.zip") && !second.contains(&one));
        let rest =
            |text: &str| text.lines().filter(|line| line.contains("Target")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rest(&second), rest(&manifest));
        assert!(rewritten(&manifest, "https://example.org/1.zip", "short").is_err());
        assert!(rewritten(&manifest, "1.zip", &one).is_err());
    }
}
