//! `cargo xtask xcframework`: the framework for all of Apple's systems, on a Mac.
//!
//! mlx-sys can't build MLX for iOS, so MLX and mlx-c are built here with CMake, one static library a system, and cargo
//! gets them in place of mlx-sys's build script, as on Linux. The simulator gets the CPU backend, which runs real models
//! there. The whole is a list of steps, so that Linux can hold it against what is expected (`xtask/apple/xcframework.txt`).

use std::path::{Path, PathBuf};

use super::cargo;
use super::framework::{self, NAME};
use super::plan::{Places, Step, owned, run, run_with};
use super::target::{IOS, IOS_SIMULATOR, MACOS, Target};
use crate::sh::{self, Result};

const OUT: &str = "target/xcframework";
const MLX_VERSION: &str = "v0.32.2";
/// The simulator on a Mac with an Intel processor; it shares its slice with the one on Apple silicon.
const IOS_SIMULATOR_INTEL: Target = Target { triple: "x86_64-apple-ios", architecture: "x86_64", ..IOS_SIMULATOR };

/// Runs the verb with the arguments after it.
pub fn run_verb(args: &[String]) -> Result<()> {
    let dry = match args {
        [] => false,
        [flag] if flag == "--dry-run" => true,
        _ => return Err("usage: cargo xtask xcframework [--dry-run]".into()),
    };
    if dry {
        print!("{}", text()?);
        return Ok(());
    }
    if !cfg!(target_os = "macos") {
        return Err(
            "this needs a Mac with Xcode; --dry-run shows what it does, `cargo xtask apple-check` checks what \
                    can be checked elsewhere"
                .into(),
        );
    }
    let cargo_home = cargo::home().ok_or("neither CARGO_HOME nor HOME is set")?;
    let places = Places { root: sh::root(), mlx_c: crate::mlx::source()?, cargo_home };
    for step in steps()? {
        println!("{}", step.to_string().lines().next().unwrap_or_default());
        step.take(&places)?;
    }
    Ok(())
}

/// All steps as text.
pub fn text() -> Result<String> {
    Ok(steps()?.iter().map(|step| format!("{step}\n")).collect())
}

fn steps() -> Result<Vec<Step>> {
    let out = Path::new(OUT);
    let mut steps = vec![Step::Remove(out.join(format!("{NAME}.xcframework")))];
    steps.extend(sources());
    steps.push(Step::Write { path: out.join("exports.txt"), text: cargo::exported()?.join("\n") + "\n" });
    for target in [&MACOS, &IOS] {
        steps.extend(mlx(target));
        steps.push(crate_archive(target));
        steps.push(run(&["mkdir", "-p", &format!("{OUT}/{}", target.triple)]));
        steps.push(link(target));
    }
    for target in [&IOS_SIMULATOR, &IOS_SIMULATOR_INTEL] {
        steps.push(crate_archive(target));
        steps.push(run(&["mkdir", "-p", &format!("{OUT}/{}", target.triple)]));
        steps.push(link(target));
    }
    let fat = library(&IOS_SIMULATOR).with_file_name(format!("{NAME}-both"));
    steps.push(run(&[
        "lipo",
        "-create",
        &show(&library(&IOS_SIMULATOR)),
        &show(&library(&IOS_SIMULATOR_INTEL)),
        "-output",
        &show(&fat),
    ]));
    for (target, binary) in [(&MACOS, library(&MACOS)), (&IOS, library(&IOS)), (&IOS_SIMULATOR, fat)] {
        steps.extend(slice(target, &binary)?);
    }
    let plist = framework::xcframework_plist(&[&MACOS, &IOS, &IOS_SIMULATOR], true);
    steps.push(Step::Write { path: out.join(format!("{NAME}.xcframework/Info.plist")), text: plist });
    // Zip keeps the links of the Mac's framework; without dates and owners the same content gives the same checksum.
    let zip = format!("{OUT}/{NAME}.xcframework.zip");
    steps.push(run(&[
        "sh",
        "-c",
        &format!("cd {OUT} && find {NAME}.xcframework -exec touch -h -t 202001010000 {{}} +"),
    ]));
    steps.push(run(&[
        "sh",
        "-c",
        &format!("cd {OUT} && find {NAME}.xcframework | LC_ALL=C sort | zip -X -q -y -@ {NAME}.xcframework.zip"),
    ]));
    steps.push(Step::Capture {
        words: owned(&["swift", "package", "compute-checksum", &zip]),
        into: out.join("checksum"),
    });
    Ok(steps)
}

/// MLX's source, once as it is and once changed for iOS.
fn sources() -> Vec<Step> {
    let source = PathBuf::from(OUT).join("mlx-macos");
    let clone = owned(&[
        "git",
        "clone",
        "--quiet",
        "--depth=1",
        "--branch",
        MLX_VERSION,
        "https://github.com/ml-explore/mlx",
        &show(&source),
    ]);
    let ios = PathBuf::from(OUT).join("mlx-ios");
    let kernels = ios.join("mlx/backend/metal/kernels/CMakeLists.txt");
    let replace = |path: PathBuf, from: &str, to: &str| Step::Replace { path, from: from.into(), to: to.into() };
    vec![
        Step::Remove(source.clone()),
        Step::Remove(ios.clone()),
        Step::Run { variables: Vec::new(), words: clone },
        // MLX looks for its kernels beside the library first; the path of this machine must not be the second place.
        replace(source.join("mlx/backend/metal/CMakeLists.txt"), "METAL_PATH=\"${MLX_METAL_PATH}/", "METAL_PATH=\""),
        Step::Copy { from: source, to: ios },
        replace(kernels.clone(), "-sdk macosx", "-sdk iphoneos"),
        replace(kernels, "-mmacosx-version-min", "-mios-version-min"),
    ]
}

/// libmlx.a, libmlxc.a, mlx.metallib and the bindings for a system, and cargo's configuration that names them.
fn mlx(target: &Target) -> Vec<Step> {
    let (system, sdk) = if target.platform == MACOS.platform { ("macos", "macosx") } else { ("ios", "iphoneos") };
    let build = format!("{OUT}/build-{system}");
    let mut configure = owned(&["cmake", "-S", "$MLX_C", "-B", &build, "-DCMAKE_BUILD_TYPE=Release"]);
    configure.extend(owned(&[
        &format!("-DFETCHCONTENT_SOURCE_DIR_MLX=$ROOT/{OUT}/mlx-{system}"),
        "-DBUILD_SHARED_LIBS=OFF",
        "-DMLX_C_BUILD_EXAMPLES=OFF",
        // We read checkpoints ourselves.
        "-DMLX_BUILD_GGUF=OFF",
        "-DMLX_BUILD_SAFETENSORS=OFF",
        &format!("-DCMAKE_OSX_SYSROOT={sdk}"),
        &format!("-DCMAKE_OSX_ARCHITECTURES={}", target.architecture),
        &format!("-DCMAKE_OSX_DEPLOYMENT_TARGET={}", target.minimum),
        &format!("-DMLX_METAL_PATH=$ROOT/{build}/metal"),
        "-DCMAKE_CXX_FLAGS=-fvisibility=hidden",
    ]));
    if system == "ios" {
        configure.push("-DCMAKE_SYSTEM_NAME=iOS".to_owned());
    }
    let bindings = format!(
        "cargo run --quiet --profile xtask --package xtask --features bindgen --bin mlx-bindings -- \
         \"$MLX_C\" {build}/bindings.rs -target {} -isysroot \"$(xcrun --sdk {sdk} --show-sdk-path)\"",
        clang_target(target)
    );
    let config = format!(
        "[target.{}.mlx]\n\
         rustc-link-search = [\"native=$ROOT/{build}\", \"native=$ROOT/{build}/_deps/mlx-build\"]\n\
         rustc-link-lib = [\"static=mlxc\", \"static=mlx\"]\n\
         rustc-env = {{ OUT_DIR = \"$ROOT/{build}\" }}\n",
        target.triple
    );
    vec![
        run(&configure.iter().map(String::as_str).collect::<Vec<_>>()),
        run(&["cmake", "--build", &build, "--parallel"]),
        run(&["sh", "-c", &bindings]),
        Step::Write { path: config_file(target), text: config },
    ]
}

/// The crate with all that it needs, as an archive. Only the linker's own list can hide what other crates export.
fn crate_archive(target: &Target) -> Step {
    let config = show(&config_file(target));
    let out = format!("{OUT}/cargo");
    let mut words = vec!["cargo", "rustc", "--quiet", "--lib", "--crate-type=staticlib", "--release"];
    words.extend(["--no-default-features", "--features", target.features, "--target", target.triple]);
    words.extend(["--target-dir", &out]);
    if target.features.contains("mlx") {
        words.extend(["--config", &config]);
    }
    let flags = "--remap-path-prefix=$ROOT=pocketmlx --remap-path-prefix=$CARGO_HOME=cargo -Cdebuginfo=1";
    run_with(&[(target.deployment, target.minimum), ("RUSTFLAGS", flags)], &words)
}

/// The archive as a dynamic library that exports what the header declares.
fn link(target: &Target) -> Step {
    let archive = format!("{OUT}/cargo/{}/release/libpocketmlx.a", target.triple);
    let sdk = match target.supported_platform {
        "MacOSX" => "macosx",
        "iPhoneOS" => "iphoneos",
        _ => "iphonesimulator",
    };
    let mut words = vec!["xcrun", "--sdk", sdk, "clang++", "-dynamiclib", "-target"];
    let (triple, output) = (clang_target(target), show(&library(target)));
    let (load, exports) = (format!("-Wl,-force_load,{archive}"), format!("{OUT}/exports.txt"));
    words.extend([triple.as_str(), &load, "-Wl,-dead_strip", "-Wl,-exported_symbols_list", &exports]);
    let name = install_name(target);
    words.extend(["-install_name", &name, "-framework", "CoreFoundation"]);
    if target.features.contains("mlx") {
        for framework in ["Accelerate", "Foundation", "Metal", "QuartzCore"] {
            words.extend(["-framework", framework]);
        }
    }
    if target.platform == MACOS.platform {
        words.extend(["-framework", "IOKit"]);
    }
    words.extend(["-lobjc", "-liconv", "-o", &output]);
    run(&words)
}

/// A framework around a library, with its symbols for debuggers beside it.
fn slice(target: &Target, binary: &Path) -> Result<Vec<Step>> {
    let folder = PathBuf::from(OUT).join(format!("{NAME}.xcframework")).join(target.slice);
    let framework = folder.join(format!("{NAME}.framework"));
    let is_mac = target.platform == MACOS.platform;
    // A Mac's framework has versions; the others are flat.
    let (content, resources) = match is_mac {
        true => (framework.join("Versions/A"), framework.join("Versions/A/Resources")),
        false => (framework.clone(), framework.clone()),
    };
    let program = content.join(NAME);
    let symbols = folder.join(format!("dSYMs/{NAME}.framework.dSYM"));
    let mut steps = vec![
        Step::Copy { from: binary.to_owned(), to: program.clone() },
        Step::Copy { from: "include/pocketmlx.h".into(), to: content.join("Headers/pocketmlx.h") },
        Step::Write { path: content.join("Modules/module.modulemap"), text: framework::module_map() },
        Step::Write { path: resources.join("Info.plist"), text: framework::info_plist(target)? },
        Step::Copy { from: "swift/PrivacyInfo.xcprivacy".into(), to: resources.join("PrivacyInfo.xcprivacy") },
    ];
    if target.features.contains("mlx") {
        let system = if is_mac { "macos" } else { "ios" };
        let kernels = PathBuf::from(OUT).join(format!("build-{system}/metal/mlx.metallib"));
        steps.push(Step::Copy { from: kernels, to: content.join("mlx.metallib") });
    }
    if is_mac {
        steps.push(Step::Link { path: framework.join("Versions/Current"), to: "A".into() });
        for name in [NAME, "Headers", "Modules", "Resources"] {
            steps.push(Step::Link { path: framework.join(name), to: Path::new("Versions/Current").join(name) });
        }
    }
    steps.push(run(&["dsymutil", &show(&program), "-o", &show(&symbols)]));
    steps.push(run(&["strip", "-S", "-x", &show(&program)]));
    Ok(steps)
}

fn library(target: &Target) -> PathBuf {
    PathBuf::from(OUT).join(target.triple).join(NAME)
}

fn config_file(target: &Target) -> PathBuf {
    PathBuf::from(OUT).join(format!("{}.toml", target.triple))
}

fn install_name(target: &Target) -> String {
    match target.platform == MACOS.platform {
        true => cargo::INSTALL_NAME.to_owned(),
        false => format!("@rpath/{NAME}.framework/{NAME}"),
    }
}

/// As clang calls the target.
fn clang_target(target: &Target) -> String {
    let system = match target.supported_platform {
        "MacOSX" => format!("macos{}", target.minimum),
        "iPhoneOS" => format!("ios{}", target.minimum),
        _ => format!("ios{}-simulator", target.minimum),
    };
    format!("{}-apple-{system}", target.architecture)
}

fn show(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    /// What happens on a Mac is what somebody has read.
    #[test]
    fn steps_are_those_that_were_committed() {
        let text = super::text().unwrap();
        let path = crate::sh::root().join("xtask/apple/xcframework.txt");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        let differs = text.lines().zip(committed.lines()).find(|(now, then)| now != then);
        let help = "cargo xtask xcframework --dry-run > xtask/apple/xcframework.txt";
        assert!(differs.is_none() && text.len() == committed.len(), "{differs:?}; if that is meant: {help}");
    }
}
