//! `cargo xtask c-test`: the C programs of `tests/c` against the library, as C and as C++, linked both ways, under the
//! sanitizers and valgrind.

pub mod library;
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::sh::{self, Result};
use library::Library;
use program::{Language, Linking, Program, Way};

const USAGE: &str =
    "usage: cargo xtask c-test [--exports-only] [--features LIST] [--release] [--model DIR] [PROGRAM...]";

const WAYS: [Way; 4] = [
    Way { name: "C11, dynamic", language: Language::C, linking: Linking::Dynamic, sanitized: false, valgrind: false },
    Way { name: "C++17, static", language: Language::Cpp, linking: Linking::Static, sanitized: false, valgrind: false },
    Way { name: "ASan and UBSan", language: Language::C, linking: Linking::Dynamic, sanitized: true, valgrind: false },
    Way { name: "valgrind", language: Language::C, linking: Linking::Dynamic, sanitized: false, valgrind: true },
];

struct Options {
    exports_only: bool,
    features: Option<String>,
    release: bool,
    model: Option<PathBuf>,
    programs: Vec<String>,
}

/// Builds the library and runs all programs in all ways.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let library = Library::build(options.features.as_deref(), options.release)?;
    let exports = library.check_exports()?;
    println!("test exports ... ok ({exports} functions, nothing else)");
    if options.exports_only {
        return Ok(());
    }
    let model = match options.model {
        Some(folder) => folder,
        None => tiny_model()?,
    };
    let programs = find_programs(&options.programs, &model)?;
    let mut jobs = Vec::new();
    for way in &WAYS {
        if way.valgrind && !sh::succeeds(Command::new("valgrind").arg("--version")) {
            println!("test {} ... skipped: valgrind is not installed", way.name);
            continue;
        }
        jobs.extend(programs.iter().map(|source| Program { source, way }));
    }
    let skipped = WAYS.len() * programs.len() - jobs.len();
    let hub = crate::hub::start()?;
    let failed = run_all(&jobs, &library, &model, &hub);
    let passed = 1 + jobs.len() - failed;
    // The words of Rust's test runner, which `cargo xtask test` counts.
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; {skipped} ignored");
    if failed == 0 { Ok(()) } else { Err(format!("{failed} failed").into()) }
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self { exports_only: false, features: None, release: false, model: None, programs: vec![] };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().ok_or(format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "--exports-only" => options.exports_only = true,
                "--release" => options.release = true,
                "--features" => options.features = Some(value()?),
                "--model" => options.model = Some(value()?.into()),
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}\n{USAGE}").into()),
                name => options.programs.push(name.to_owned()),
            }
        }
        Ok(options)
    }
}

/// Builds and runs programs, as many at a time as there are processors; gives how many failed.
fn run_all(jobs: &[Program<'_>], library: &Library, model: &Path, hub: &str) -> usize {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match job.build(library).and_then(|binary| job.run(&binary, model, hub)) {
                Ok(took) => println!("test {} ({}) ... ok, {:.1} s", job.name(), job.way.name, took.as_secs_f64()),
                Err(error) => {
                    println!("test {} ({}) ... FAILED\n{error}", job.name(), job.way.name);
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    failed.into_inner()
}

/// A tiny checkpoint with random weights.
fn tiny_model() -> Result<PathBuf> {
    let folder = output_folder()?.join("model");
    let mut cargo = Command::new(sh::cargo());
    cargo.current_dir(sh::root()).args(["run", "--quiet", "--no-default-features", "--example", "tiny_model", "--"]);
    sh::run(cargo.arg(&folder))?;
    Ok(folder)
}

/// The programs of the given names, or all.
fn find_programs(names: &[String], model: &Path) -> Result<Vec<PathBuf>> {
    let mut all = vec![sh::root().join("examples/chat.c"), readme(model)?];
    for entry in fs::read_dir(sh::root().join("tests/c"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            all.push(path);
        }
    }
    all.sort();
    if names.is_empty() {
        return Ok(all);
    }
    let named = |name: &String| {
        let found = all.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name.as_str()));
        found.cloned().ok_or_else(|| format!("there is no program {name}\n{USAGE}").into())
    };
    names.iter().map(named).collect()
}

/// The README's program, with the model in place.
fn readme(model: &Path) -> Result<PathBuf> {
    let readme = fs::read_to_string(sh::root().join("README.md"))?;
    let program = readme.split_once("```c\n").and_then(|(_, rest)| rest.split_once("```")).map(|(program, _)| program);
    let program = program.ok_or("README.md has no C program")?.replace("path/to/model", &model.to_string_lossy());
    let file = output_folder()?.join("readme.c");
    fs::write(&file, program)?;
    Ok(file)
}

/// Where all of this happens.
fn output_folder() -> Result<PathBuf> {
    let folder = sh::root().join("target/c-test");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
