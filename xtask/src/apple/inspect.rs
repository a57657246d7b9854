//! What is inside of the things that were built, as LLVM's tools see it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::cargo::{self, INSTALL_NAME};
use super::framework::NAME;
use super::link::{LIBRARIES, Linked};
use super::table::Table;
use super::target::{MACOS, Target};
use crate::sh::{self, Result};

/// What a linked library may need: the system's libraries, and MLX beside it.
const DEPENDENCIES: [&str; 3] = ["/usr/lib/", "/System/Library/Frameworks/", "@rpath/libmlx.dylib"];

/// The keys that the App Store asks of a framework.
const KEYS: [&str; 9] = [
    "CFBundleDevelopmentRegion",
    "CFBundleExecutable",
    "CFBundleIdentifier",
    "CFBundleInfoDictionaryVersion",
    "CFBundleName",
    "CFBundlePackageType",
    "CFBundleShortVersionString",
    "CFBundleSupportedPlatforms",
    "CFBundleVersion",
];

/// The linked library.
pub fn dylib(table: &mut Table, target: &Target, linked: &Linked) -> Result<()> {
    let (name, dylib) = (target.triple, &linked.resolved);
    let headers = sh::read(Command::new("llvm-objdump").args(["--macho", "--private-headers"]).arg(dylib))?;
    let commands = load_commands(&headers);
    table.expect(
        format!("{name}: platform and minimum version"),
        &format!("{} {}", target.platform, target.minimum),
        &version(&commands),
    );
    let first = |command: &str, key: &str| values(&commands, command, key).first().cloned().unwrap_or_default();
    table.expect(format!("{name}: install name"), INSTALL_NAME, &first("LC_ID_DYLIB", "name"));
    let libraries = values(&commands, "LC_LOAD_DYLIB", "name");
    let foreign: Vec<_> =
        libraries.iter().filter(|name| !DEPENDENCIES.iter().any(|allowed| name.starts_with(allowed))).collect();
    table.check(
        format!("{name}: dependencies"),
        if foreign.is_empty() { Ok(libraries.join(", ")) } else { Err(format!("{foreign:?}")) },
    );
    table.expect(format!("{name}: looks for libmlx beside it"), LIBRARIES, &first("LC_RPATH", "path"));
    table.expect(format!("{name}: no undefined symbol"), "NOUNDEFS", flag(&headers, "NOUNDEFS"));
    let exported = symbols(&["--extern-only", "--defined-only"], &linked.hidden)?;
    check_exports(table, &format!("{name}: exported symbols"), &exported, true)?;
    check_paths(table, &format!("{name}: no path of this machine"), dylib)?;
    let sizes = sh::read(Command::new("llvm-size").args(["-m"]).arg(dylib))?;
    let text = sizes.lines().find_map(|line| line.strip_prefix("Segment __TEXT: ")?.parse::<u64>().ok()).unwrap_or(0);
    let (code, limit) = (text as f64 / 1e6, 25.0);
    table.check(
        format!("{name}: code and constants, the demo model among them"),
        if text > 0 && code < limit { Ok(format!("{code:.1} MB")) } else { Err(format!("{code:.1} MB")) },
    );
    Ok(())
}

/// An archive: what its members were compiled for, and what they define.
pub fn archive(table: &mut Table, target: &Target, archive: &Path) -> Result<()> {
    let name = target.triple;
    let headers = sh::read(Command::new("llvm-objdump").args(["--macho", "--private-headers"]).arg(archive))?;
    let versions: BTreeSet<String> = headers
        .split("Mach header")
        .skip(1)
        .map(|member| version(&load_commands(member)))
        .filter(|found| found != " ")
        .collect();
    table.expect(
        format!("{name}: platform and minimum version of all members"),
        &format!("{} {}", target.platform, target.minimum),
        &versions.into_iter().collect::<Vec<_>>().join(" and "),
    );
    let defined = symbols(&["--extern-only", "--defined-only"], archive)?;
    check_exports(table, &format!("{name}: defines what the header declares"), &defined, false)
}

/// The folder as it is shipped.
pub fn xcframework(table: &mut Table, xcframework: &Path) -> Result<()> {
    let slices = plist(&xcframework.join("Info.plist"))?;
    let libraries = slices["AvailableLibraries"].as_array().cloned().unwrap_or_default();
    for library in &libraries {
        let text = |key: &str| library[key].as_str().unwrap_or_default().to_owned();
        let slice = xcframework.join(text("LibraryIdentifier"));
        let binary = slice.join(text("BinaryPath"));
        table.check(
            format!("xcframework: binary of {}", text("LibraryIdentifier")),
            if binary.is_file() { Ok(text("BinaryPath")) } else { Err(format!("no {}", binary.display())) },
        );
        let framework = slice.join(text("LibraryPath"));
        let info = plist(&framework.join("Resources/Info.plist"))?;
        let missing: Vec<_> = KEYS.iter().filter(|key| info.get(**key).is_none()).collect();
        table.check(
            "Info.plist: keys",
            if missing.is_empty() { Ok(format!("{} keys", KEYS.len())) } else { Err(format!("no {missing:?}")) },
        );
        let minimum = info["LSMinimumSystemVersion"].as_str().unwrap_or_default().to_owned();
        table.expect("Info.plist: minimum version is the library's", MACOS.minimum, &minimum);
        table.expect("Info.plist: executable", NAME, info["CFBundleExecutable"].as_str().unwrap_or_default());
        check_module(table, &framework)?;
        let privacy = plist(&framework.join("Resources/PrivacyInfo.xcprivacy"))?;
        table.expect("privacy manifest: tracks", "false", &privacy["NSPrivacyTracking"].to_string());
        let kernels = framework.join("Libraries/mlx.metallib");
        let magic = fs::read(&kernels).map(|bytes| bytes.starts_with(b"MTLB")).unwrap_or(false);
        table.expect("mlx.metallib beside libmlx.dylib", "true", &magic.to_string());
        let mlx = framework.join("Libraries/libmlx.dylib");
        let headers = sh::read(Command::new("llvm-objdump").args(["--macho", "--private-headers"]).arg(mlx))?;
        table.expect(
            "libmlx.dylib: platform and minimum version",
            &format!("{} {}", MACOS.platform, MACOS.minimum),
            &version(&load_commands(&headers)),
        );
    }
    table.expect("xcframework: slices", "1", &libraries.len().to_string());
    Ok(())
}

/// The module map's header is there and compiles as C for the target.
fn check_module(table: &mut Table, framework: &Path) -> Result<()> {
    let map = fs::read_to_string(framework.join("Modules/module.modulemap"))?;
    let header = map.split_once("header \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
    let found =
        map.starts_with(&format!("framework module {NAME} ")) && framework.join("Headers").join(header).is_file();
    table.check("module map", if found { Ok(format!("{NAME} of {header}")) } else { Err(map) });
    Ok(())
}

/// Exactly what the header declares, or at least that.
fn check_exports(table: &mut Table, what: &str, found: &BTreeSet<String>, only: bool) -> Result<()> {
    let declared: BTreeSet<String> = cargo::exported()?.into_iter().collect();
    let missing: Vec<_> = declared.difference(found).cloned().collect();
    let foreign: Vec<_> = found.difference(&declared).take(5).cloned().collect();
    let outcome = if !missing.is_empty() {
        Err(format!("missing {}", missing.join(", ")))
    } else if only && !foreign.is_empty() {
        Err(format!("also {}", foreign.join(", ")))
    } else {
        Ok(format!("{} functions{}", declared.len(), if only { ", nothing else" } else { "" }))
    };
    table.check(what, outcome);
    Ok(())
}

/// Nothing tells where the crate was built. A standard library from source names its own files: on a Mac it comes built.
fn check_paths(table: &mut Table, what: &str, file: &Path) -> Result<()> {
    let bytes = fs::read(file)?;
    let mut places = vec![sh::root()];
    places.extend(cargo::home());
    let found: Vec<_> = places
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .filter(|path| bytes.windows(path.len()).any(|window| window == path.as_bytes()))
        .collect();
    table.check(what, if found.is_empty() { Ok("none".to_owned()) } else { Err(found.join(", ")) });
    Ok(())
}

/// A property list as JSON.
fn plist(path: &Path) -> Result<serde_json::Value> {
    const READ: &str = "import json, plistlib, sys\njson.dump(plistlib.load(open(sys.argv[1], 'rb')), sys.stdout)";
    Ok(serde_json::from_str(&sh::read(Command::new("python3").args(["-c", READ]).arg(path))?)?)
}

/// Names of symbols, as llvm-nm gives them.
fn symbols(args: &[&str], file: &Path) -> Result<BTreeSet<String>> {
    let text = sh::read(Command::new("llvm-nm").args(["--format=just-symbols", "--quiet"]).args(args).arg(file))?;
    Ok(text.lines().map(str::trim).filter(|name| !name.is_empty() && !name.ends_with(':')).map(str::to_owned).collect())
}

/// A load command: its fields, by name.
type Fields = Vec<(String, String)>;

/// The load commands that `llvm-objdump --private-headers` prints, each as the lines after `Load command`.
fn load_commands(headers: &str) -> Vec<Fields> {
    let field = |line: &str| {
        let (name, value) = line.trim().split_once(' ')?;
        // `name /usr/lib/libSystem.B.dylib (offset 24)`
        Some((name.to_owned(), value.trim().split(" (offset").next().unwrap_or_default().to_owned()))
    };
    headers.split("Load command").skip(1).map(|text| text.lines().filter_map(field).collect()).collect()
}

/// A field of all load commands of a kind.
fn values(commands: &[Fields], command: &str, key: &str) -> Vec<String> {
    let get = |fields: &Fields, key: &str| fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let of_kind = commands.iter().filter(|fields| get(fields, "cmd").is_some_and(|cmd| cmd == command));
    of_kind.filter_map(|fields| get(fields, key)).collect()
}

/// Platform and minimum version; old tools write the platform's name.
fn version(commands: &[Fields]) -> String {
    let first = |key: &str| values(commands, "LC_BUILD_VERSION", key).first().cloned().unwrap_or_default();
    let platform = match first("platform").as_str() {
        "macos" => "1".to_owned(),
        "ios" => "2".to_owned(),
        "iossimulator" | "iossim" => "7".to_owned(),
        other => other.to_owned(),
    };
    format!("{platform} {}", first("minos"))
}

fn flag<'a>(headers: &str, flag: &'a str) -> &'a str {
    if headers.split_whitespace().any(|word| word == flag) { flag } else { "" }
}

#[cfg(test)]
mod tests {
    use super::{load_commands, values, version};

    #[test]
    fn load_commands_are_read() {
        let text = "Mach header\n\nLoad command 0\n      cmd LC_ID_DYLIB\n  cmdsize 64\n\
                    \x20        name @rpath/x (offset 24)\nLoad command 1\n  cmd LC_BUILD_VERSION\n platform macos\n    minos 14.0\n";
        let commands = load_commands(text);
        assert_eq!(values(&commands, "LC_ID_DYLIB", "name"), ["@rpath/x"]);
        assert_eq!(version(&commands), "1 14.0");
    }
}
