//! MLX for macOS on Linux: libmlx of Apple's wheel, mlx-c compiled by Zig, which is the linker, too.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mlx as linux;
use crate::sh::{self, Result};

const REQUIREMENTS: &str = include_str!("../../apple/requirements.txt");
const CLANG_TARGET: &str = "aarch64-macos.14.0";

/// What builds for macOS need.
pub struct Mlx {
    /// The folder with libmlx.dylib and mlx.metallib.
    pub library: PathBuf,
    /// Cargo's configuration that stands in for mlx-sys's build script.
    pub config: PathBuf,
    /// Compiler and linker.
    pub zig: PathBuf,
}

/// Fetches and builds what is not there yet.
pub fn prepare(home: &Path) -> Result<Mlx> {
    let linux = linux::prepare()?;
    let mut hasher = DefaultHasher::new();
    (REQUIREMENTS, include_str!("mlx.rs"), &linux.bindings).hash(&mut hasher);
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
    Ok(Mlx { library: folder.join("mlx/lib"), config, zig: folder.join("ziglang/zig") })
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

/// Nothing is linked by cargo: archives take in mlx-c, and libmlx comes with the last link.
fn text(folder: &Path) -> Result<String> {
    let home = folder.to_str().ok_or(format!("{} is not UTF-8", folder.display()))?;
    let quoted = serde_json::Value::from(home).to_string();
    let native = serde_json::Value::from(format!("native={home}")).to_string();
    Ok(format!(
        "[target.aarch64-apple-darwin.mlx]\n\
         rustc-link-search = [{native}]\n\
         rustc-link-lib = [\"static=mlxc\"]\n\
         rustc-env = {{ OUT_DIR = {quoted} }}\n\
         [target.aarch64-apple-ios.mlx]\n\
         rustc-env = {{ OUT_DIR = {quoted} }}\n"
    ))
}
