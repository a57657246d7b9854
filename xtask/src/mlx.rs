//! `cargo xtask mlx`: MLX on Linux for unmodified mlx-rs.
//!
//! mlx-sys's build script works on a Mac only, but cargo lets a config file stand in for it. So this fetches a built
//! libmlx, compiles mlx-c (which mlx-sys carries) against it, generates the bindings, and writes `.cargo/mlx.toml`.
//! Everything lies in one folder named after what it was made from, which gets its name only when it is complete:
//! a folder that exists is finished and up to date.

pub mod needs;

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use crate::sh::{self, Result};

const REQUIREMENTS: &str = include_str!("../mlx/requirements.txt");
const COMPAT: &str = include_str!("../mlx/compat.h");
const MACH_TIME: &str = include_str!("../mlx/mach_time.cpp");

/// Runs the verb with the arguments after it.
pub fn run(args: &[String]) -> Result<()> {
    let lib = match args {
        [] => None,
        [flag, dir] if flag == "--lib" => Some(own_libmlx(Path::new(dir))?),
        _ => return Err("it takes no argument but --lib DIR".into()),
    };
    let workspace = Workspace::find()?;
    let (home, built) = workspace.built()?;
    let written = write_config(&workspace.root, &config(&home, lib.as_deref())?)?;
    if built || written {
        eprintln!("mlx: ready; build with `cargo build --features mlx`");
    } else {
        eprintln!("mlx: nothing to do, {} is up to date", home.display());
    }
    Ok(())
}

/// What builds for other systems take over.
pub struct Prepared {
    /// The bindings of mlx-c.
    pub bindings: PathBuf,
    /// The sources of mlx-c.
    pub mlx_c: PathBuf,
}

/// The sources of mlx-c, which mlx-sys carries.
pub fn source() -> Result<PathBuf> {
    Ok(Workspace::find()?.mlx_c)
}

/// Makes what is missing, and leaves cargo's configuration alone.
pub fn prepare() -> Result<Prepared> {
    let workspace = Workspace::find()?;
    let (home, _) = workspace.built()?;
    Ok(Prepared { bindings: home.join("bindings.rs"), mlx_c: workspace.mlx_c })
}

/// Where cargo has the things we need.
struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// mlx-c's sources inside the mlx-sys crate.
    mlx_c: PathBuf,
    mlx_sys_version: String,
}

impl Workspace {
    fn find() -> Result<Self> {
        let mut cargo = cargo();
        cargo.args(["metadata", "--format-version", "1", "--features", "mlx"]);
        cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
        let metadata: Value = serde_json::from_str(&sh::read(&mut cargo)?)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("cargo metadata is not what it was");
        let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
        let mlx_sys = packages.iter().find(|p| p["name"] == "mlx-sys").ok_or("the feature `mlx` has no mlx-sys")?;
        let manifest = PathBuf::from(text(&mlx_sys["manifest_path"])?);
        Ok(Self {
            root: text(&metadata["workspace_root"])?.into(),
            target: text(&metadata["target_directory"])?.into(),
            mlx_c: manifest.with_file_name("src").join("mlx-c"),
            mlx_sys_version: text(&mlx_sys["version"])?,
        })
    }

    /// The folder with what was built, and whether that was now.
    fn built(&self) -> Result<(PathBuf, bool)> {
        let tools = needs::check()?;
        let base = self.target.join("mlx");
        fs::create_dir_all(&base)?;
        let lock = File::create(base.join("lock"))?;
        lock.lock()?;
        let home = base.join(self.key());
        let missing = !home.exists();
        if missing {
            let partial = base.join("partial");
            remove(&partial)?;
            build(self, &tools, &partial)?;
            fs::rename(&partial, &home)?;
        }
        for entry in fs::read_dir(&base)? {
            let path = entry?.path();
            if path != home && path.is_dir() {
                remove(&path)?;
            }
        }
        Ok((home, missing))
    }

    /// A name that changes with whatever the result is made from.
    fn key(&self) -> String {
        let mut hasher = DefaultHasher::new();
        let recipe = include_str!("mlx.rs");
        (REQUIREMENTS, COMPAT, MACH_TIME, recipe, include_str!("bin/mlx-bindings.rs")).hash(&mut hasher);
        format!("mlx-sys-{}-{:016x}", self.mlx_sys_version, hasher.finish())
    }
}

/// Fills `dir` with libmlx (`mlx/lib`, and its BLAS beside it), `libmlxc.a` and `bindings.rs`.
fn build(workspace: &Workspace, tools: &needs::Tools, dir: &Path) -> Result<()> {
    let scratch = dir.join("scratch");
    fs::create_dir_all(&scratch)?;
    for (name, text) in [("requirements.txt", REQUIREMENTS), ("compat.h", COMPAT), ("mach_time.cpp", MACH_TIME)] {
        fs::write(scratch.join(name), text)?;
    }

    eprintln!("mlx: fetching libmlx and libclang");
    let mut pip = python();
    pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps", "--only-binary=:all:"]);
    pip.args(["--require-hashes", "--requirement"]).arg(scratch.join("requirements.txt"));
    sh::run(pip.arg("--dest").arg(&scratch))?;
    unzip(&find(&scratch, "mlx_cpu-")?, dir)?;
    unzip(&find(&scratch, "libclang-")?, &scratch)?;
    let libclang = find(&scratch, "libclang-18.1.1.data")?.join("platlib/clang/native");

    eprintln!("mlx: compiling mlx-c");
    compile(workspace, tools, dir, &scratch)?;

    eprintln!("mlx: generating the bindings");
    let mut bindings = cargo();
    bindings.args(["run", "--quiet", "--profile", "xtask", "--package", "xtask", "--features", "bindgen"]);
    bindings.args(["--bin", "mlx-bindings", "--"]).arg(&workspace.mlx_c).arg(dir.join("bindings.rs"));
    bindings.arg("-include").arg(scratch.join("compat.h"));
    // The wheel is libclang alone, without the compiler's own headers (stddef.h and the like).
    let builtin = sh::read(Command::new(&tools.cxx).arg("-print-file-name=include"))?;
    bindings.arg("-isystem").arg(builtin);
    sh::run(bindings.env("LIBCLANG_PATH", libclang))?;
    remove(&scratch)
}

/// mlx-c and our clock, into `libmlxc.a`.
fn compile(workspace: &Workspace, tools: &needs::Tools, dir: &Path, scratch: &Path) -> Result<()> {
    let objects = compile_mlx_c(&workspace.mlx_c, &[scratch.join("mach_time.cpp")], scratch, |source, object| {
        // Thin glue over libmlx: more optimisation would only take longer.
        let mut cxx = Command::new(&tools.cxx);
        cxx.args(["-std=c++20", "-O1", "-fPIC", "-w", "-include"]).arg(scratch.join("compat.h"));
        cxx.arg("-I").arg(&workspace.mlx_c).arg("-I").arg(dir.join("mlx/include"));
        cxx.arg("-c").arg(source).arg("-o").arg(object);
        cxx
    })?;
    sh::run(Command::new("ar").arg("rcs").arg(dir.join("libmlxc.a")).args(&objects))
}

/// Compiles mlx-c and `more` into object files in `folder`, on all cores; `compiler` makes the command for a source.
pub fn compile_mlx_c(
    mlx_c: &Path,
    more: &[PathBuf],
    folder: &Path,
    compiler: impl Fn(&Path, &Path) -> Command + Sync,
) -> Result<Vec<PathBuf>> {
    let mut sources = more.to_vec();
    for entry in fs::read_dir(mlx_c.join("mlx/c"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "cpp") {
            sources.push(path);
        }
    }
    sources.sort();
    let objects: Vec<PathBuf> =
        sources.iter().filter_map(|s| Some(folder.join(s.file_name()?).with_extension("o"))).collect();
    let jobs = Mutex::new(sources.iter().zip(&objects));
    let next = || jobs.lock().ok()?.next();
    let worker = || -> Result<()> {
        while let Some((source, object)) = next() {
            sh::run(&mut compiler(source, object))?;
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|_| Err("a compile thread panicked".into())))
    })?;
    Ok(objects)
}

/// What stands in for mlx-sys's build script. `rpath` reaches our own build script as `DEP_MLX_RPATH`.
fn config(home: &Path, lib: Option<&Path>) -> Result<String> {
    let fetched = home.join("mlx/lib");
    let lib = lib.unwrap_or(&fetched);
    let quote = |text: String| Value::String(text).to_string();
    let path = |path: &Path| path.to_str().map(str::to_owned).ok_or(format!("{} is not UTF-8", path.display()));
    Ok(format!(
        "# Written by `cargo xtask mlx`; not to be committed.\n\
         [target.x86_64-unknown-linux-gnu.mlx]\n\
         rustc-link-search = [{}, {}]\n\
         rustc-link-lib = [\"static=mlxc\", \"dylib=mlx\", \"dylib=stdc++\"]\n\
         rustc-env = {{ OUT_DIR = {} }}\n\
         rpath = {}\n",
        quote(format!("native={}", path(home)?)),
        quote(format!("native={}", path(lib)?)),
        quote(path(home)?),
        quote(path(lib)?),
    ))
}

/// Writes `.cargo/mlx.toml` unless it is there already; says whether it did.
fn write_config(root: &Path, text: &str) -> Result<bool> {
    let path = root.join(".cargo/mlx.toml");
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    let partial = root.join(".cargo/mlx.toml.tmp");
    fs::write(&partial, text)?;
    fs::rename(&partial, &path)?;
    Ok(true)
}

/// The absolute path of a folder that must hold a libmlx of the right version.
fn own_libmlx(dir: &Path) -> Result<PathBuf> {
    let dir = dir.canonicalize().map_err(|error| format!("{}: {error}", dir.display()))?;
    match dir.join("libmlx.so").exists() {
        true => Ok(dir),
        false => Err(format!("{} holds no libmlx.so", dir.display()).into()),
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn python() -> Command {
    Command::new("python3")
}

fn unzip(wheel: &Path, into: &Path) -> Result<()> {
    sh::run(python().args(["-m", "zipfile", "-e"]).arg(wheel).arg(into))
}

/// The entry of `dir` whose name starts with `prefix`.
fn find(dir: &Path, prefix: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    Err(format!("{} holds nothing called {prefix}…", dir.display()).into())
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", dir.display()).into()),
        _ => Ok(()),
    }
}
