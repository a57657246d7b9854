//! The framework as it is shipped: files, folders and property lists.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::target::{MACOS, Target};
use crate::sh::{self, Result};

/// The framework's and its module's name.
pub const NAME: &str = "CPocketMLX";
/// The crate's version, from its manifest.
fn version() -> Result<String> {
    let manifest = fs::read_to_string(sh::root().join("Cargo.toml"))?;
    let (_, rest) = manifest.split_once("\nversion = \"").ok_or("Cargo.toml names no version")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// Lays out an xcframework with the slice of macOS, which is all that can be linked on Linux.
pub fn lay_out(home: &Path, dylib: &Path, mlx: &Path) -> Result<PathBuf> {
    let xcframework = home.join(format!("{NAME}.xcframework"));
    if xcframework.exists() {
        fs::remove_dir_all(&xcframework)?;
    }
    let framework = xcframework.join(MACOS.slice).join(format!("{NAME}.framework"));
    // A framework of macOS has versions, and links that lead to the current one.
    let current = framework.join("Versions/A");
    let resources = current.join("Resources");
    for folder in ["Headers", "Modules", "Resources", "Libraries"] {
        fs::create_dir_all(current.join(folder))?;
    }
    fs::copy(dylib, current.join(NAME))?;
    fs::copy(sh::root().join("include/pocketmlx.h"), current.join("Headers/pocketmlx.h"))?;
    fs::write(current.join("Modules/module.modulemap"), module_map())?;
    fs::write(resources.join("Info.plist"), info_plist(&MACOS)?)?;
    fs::copy(privacy_manifest(), resources.join("PrivacyInfo.xcprivacy"))?;
    for file in ["libmlx.dylib", "mlx.metallib"] {
        // MLX looks for its kernels beside itself.
        fs::copy(mlx.join(file), current.join("Libraries").join(file))?;
    }
    symlink("A", framework.join("Versions/Current"))?;
    for link in [NAME, "Headers", "Modules", "Resources", "Libraries"] {
        symlink(Path::new("Versions/Current").join(link), framework.join(link))?;
    }
    fs::write(xcframework.join("Info.plist"), xcframework_plist(&[&MACOS], false))?;
    Ok(xcframework)
}

/// The module map inside of a framework.
pub fn module_map() -> String {
    format!("framework module {NAME} {{\n    header \"pocketmlx.h\"\n    export *\n}}\n")
}

/// What the library does that Apple wants to be told.
pub fn privacy_manifest() -> PathBuf {
    sh::root().join("swift/PrivacyInfo.xcprivacy")
}

/// A framework's Info.plist, with the keys that the App Store asks for.
pub fn info_plist(target: &Target) -> Result<String> {
    let version = version()?;
    let minimum = if target.platform == MACOS.platform { "LSMinimumSystemVersion" } else { "MinimumOSVersion" };
    let keys = [
        ("CFBundleDevelopmentRegion", "en"),
        ("CFBundleExecutable", NAME),
        ("CFBundleIdentifier", "org.pocketmlx.CPocketMLX"),
        ("CFBundleInfoDictionaryVersion", "6.0"),
        ("CFBundleName", NAME),
        ("CFBundlePackageType", "FMWK"),
        ("CFBundleShortVersionString", &version),
        ("CFBundleVersion", &version),
        (minimum, target.minimum),
    ];
    let mut body: String =
        keys.iter().map(|(key, value)| format!("\t<key>{key}</key>\n\t<string>{value}</string>\n")).collect();
    body += "\t<key>CFBundleSupportedPlatforms</key>\n\t<array>\n";
    body += &format!("\t\t<string>{}</string>\n\t</array>\n", target.supported_platform);
    Ok(plist(&body))
}

/// The xcframework's Info.plist, its slices in a fixed order: Xcode's own order changes from run to run, and the
/// checksum with it. `symbols` says that there are symbols for debuggers beside the frameworks.
pub fn xcframework_plist(targets: &[&Target], symbols: bool) -> String {
    let mut slices: Vec<_> = targets.iter().map(|target| slice(target, symbols)).collect();
    slices.sort();
    plist(&format!(
        "\t<key>AvailableLibraries</key>\n\t<array>\n{}\t</array>\n\
         \t<key>CFBundlePackageType</key>\n\t<string>XFWK</string>\n\
         \t<key>XCFrameworkFormatVersion</key>\n\t<string>1.0</string>\n",
        slices.concat()
    ))
}

fn slice(target: &Target, symbols: bool) -> String {
    let framework = format!("{NAME}.framework");
    let binary = match target.platform == MACOS.platform {
        true => format!("{framework}/Versions/A/{NAME}"),
        false => format!("{framework}/{NAME}"),
    };
    let (platform, variant) = match target.supported_platform {
        "MacOSX" => ("macos", None),
        "iPhoneOS" => ("ios", None),
        _ => ("ios", Some("simulator")),
    };
    let architectures: &[&str] = if variant.is_some() { &["arm64", "x86_64"] } else { &["arm64"] };
    let mut text = String::from("\t\t<dict>\n");
    let mut key = |name: &str, value: &str| {
        text += &format!("\t\t\t<key>{name}</key>\n\t\t\t<string>{value}</string>\n");
    };
    key("BinaryPath", &binary);
    if symbols {
        key("DebugSymbolsPath", "dSYMs");
    }
    key("LibraryIdentifier", target.slice);
    key("LibraryPath", &framework);
    key("SupportedPlatform", platform);
    if let Some(variant) = variant {
        key("SupportedPlatformVariant", variant);
    }
    text += "\t\t\t<key>SupportedArchitectures</key>\n\t\t\t<array>\n";
    for architecture in architectures {
        text += &format!("\t\t\t\t<string>{architecture}</string>\n");
    }
    text + "\t\t\t</array>\n\t\t</dict>\n"
}

fn plist(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n{body}</dict>\n</plist>\n"
    )
}
