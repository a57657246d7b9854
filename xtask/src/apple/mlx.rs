//! MLX for macOS on Linux: libmlx of Apple's wheel, mlx-c compiled by Zig, which is the linker, too.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::Tools;
use crate::mlx as linux;
use crate::sh::{self, Result};

const REQUIREMENTS: &str = include_str!("../../apple/requirements.txt");
const LINKER: &str = include_str!("../../apple/linker.sh");
const CLANG_TARGET: &str = "aarch64-macos.14.0";

/// What builds for macOS need.
pub struct Mlx {
    /// The folder with libmlx.dylib and mlx.metallib.
    pub library: PathBuf,
    /// Cargo's configuration that stands in for mlx-sys's build script.
    pub config: PathBuf,
    /// What rustc links with.
    pub linker: PathBuf,
}

/// Fetches and builds what is not there yet.
pub fn prepare(home: &Path, _tools: &Tools) -> Result<Mlx> {
    let linux = linux::prepare()?;
    let mut hasher = DefaultHasher::new();
    (REQUIREMENTS, LINKER, include_str!("mlx.rs"), &linux.bindings).hash(&mut hasher);
    let folder = home.join(format!("mlx-{:016x}", hasher.finish()));
    if !folder.exists() {
        let partial = home.join("mlx.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        build(&linux, &partial)?;
        fs::rename(&partial, &folder)?;
    }
    let config = folder.join("cargo.toml");
    fs::write(&config, text(&folder)?)?;
    let linker = folder.join("linker.sh");
    fs::write(&linker, LINKER.replace("@ZIG@", &folder.join("ziglang/zig").to_string_lossy()))?;
    fs::set_permissions(&linker, fs::Permissions::from_mode(0o755))?;
    Ok(Mlx { library: folder.join("mlx/lib"), config, linker })
}

fn build(linux: &linux::Prepared, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("requirements.txt"), REQUIREMENTS)?;
    for platform in [None, Some("macosx_14_0_arm64")] {
        let package = if platform.is_some() { "mlx-metal" } else { "ziglang" };
        let one = folder.join("requirement.txt");
        let line = REQUIREMENTS.lines().find(|line| line.starts_with(package)).unwrap_or_default();
        fs::write(&one, line)?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]);
        pip.args(["--only-binary=:all:", "--require-hashes", "--requirement"]).arg(&one).arg("--dest").arg(folder);
        pip.args(platform.iter().flat_map(|name| ["--platform", name]));
        sh::run(&mut pip)?;
    }
    for entry in fs::read_dir(folder)? {
        let wheel = entry?.path();
        if wheel.extension().is_some_and(|extension| extension == "whl") {
            sh::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
            fs::remove_file(&wheel)?;
        }
    }
    let zig = folder.join("ziglang/zig");
    fs::set_permissions(&zig, fs::Permissions::from_mode(0o755))?;
    fs::copy(&linux.bindings, folder.join("bindings.rs"))?;
    let compiler = |source: &Path, object: &Path| {
        let mut cxx = Command::new(&zig);
        cxx.args(["c++", "-target", CLANG_TARGET, "-std=c++20", "-O1", "-w", "-fno-sanitize=all"]);
        // Zig's math.h leaves them out.
        cxx.args(["-DINFINITY=__builtin_inff()", "-DNAN=__builtin_nanf(\"\")"]);
        cxx.arg(format!("-ffile-prefix-map={}=mlx-c", linux.mlx_c.display()));
        cxx.arg("-I").arg(&linux.mlx_c).arg("-I").arg(folder.join("mlx/include"));
        cxx.arg("-c").arg(source).arg("-o").arg(object);
        cxx
    };
    let objects = linux::compile_mlx_c(&linux.mlx_c, &[], folder, compiler)?;
    sh::run(Command::new(&zig).arg("ar").arg("rcs").arg(folder.join("libmlxc.a")).args(&objects))?;
    objects.iter().try_for_each(|object| Ok(fs::remove_file(object)?))
}

/// On macOS everything is linked; the other systems have no libmlx here and take the crate as an archive.
fn text(folder: &Path) -> Result<String> {
    let path = |path: PathBuf| -> Result<String> {
        Ok(serde_json::Value::from(path.to_str().ok_or(format!("{} is not UTF-8", path.display()))?).to_string())
    };
    let (home, lib) = (path(folder.to_owned())?, path(folder.join("mlx/lib"))?);
    let native = |quoted: &str| quoted.replacen('"', "\"native=", 1);
    Ok(format!(
        "[target.aarch64-apple-darwin.mlx]\n\
         rustc-link-search = [{}, {}]\n\
         rustc-link-lib = [\"static=mlxc\", \"dylib=mlx\", \"dylib=c++\"]\n\
         rustc-env = {{ OUT_DIR = {home} }}\n\
         [target.aarch64-apple-ios.mlx]\n\
         rustc-env = {{ OUT_DIR = {home} }}\n",
        native(&home),
        native(&lib),
    ))
}
