//! `cargo xtask parity`: random checkpoints of every family against mlx-lm.
//!
//! `tests/parity/bench.py` writes the checkpoints and what mlx-lm computes for them; the ignored test
//! `nn::tests::parity::bench` compares; this puts the two together and makes a table of what came out.

mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sh::{self, Result};
use report::Report;

/// What the reference is computed with.
const PACKAGES: [&str; 3] = ["mlx-lm==0.32.2", "mlx[cpu]==0.32.4", "gguf==0.19.0"];
const FEW_FORMATS: &str = "f32,4bit-g64";
const ALL_FORMATS: &str = "f32,f16,bf16,4bit-g32,4bit-g64,8bit,mixed,mxfp4,mxfp8,nvfp4";

struct Options {
    model_types: Vec<String>,
    seed: u64,
    devices: Vec<&'static str>,
    all: bool,
}

/// Runs the verb with the arguments after it.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let root = sh::root();
    let home = root.join("target/parity");
    let python = python()?;
    let cases = home.join("cases");
    if cases.exists() {
        fs::remove_dir_all(&cases)?;
    }
    println!("seed {}, on {}", options.seed, options.devices.join(" and "));
    write_cases(&python, &root, &cases, &options)?;
    let mut report = Report::new(&cases)?;
    for device in &options.devices {
        compare(&root, &cases, device, options.devices.iter().any(|device| device.starts_with("mlx")))?;
        report.read(device)?;
    }
    fs::remove_dir_all(&cases)?;
    print!("{}", report.table());
    if options.all && options.model_types.is_empty() {
        let page = root.join("docs/models.md");
        fs::create_dir_all(root.join("docs"))?;
        fs::write(&page, report.page(options.seed))?;
        println!("wrote {}", page.display());
    }
    match report.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} cases differ; again: cargo xtask parity --seed {}", options.seed).into()),
    }
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self { model_types: Vec::new(), seed: today(), devices: Vec::new(), all: false };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--all" => options.all = true,
                "--seed" => {
                    let seed = args.next().and_then(|seed| seed.parse().ok());
                    options.seed = seed.ok_or("--seed takes a number")?;
                }
                "--device" => match args.next().map(String::as_str) {
                    Some("cpu") => options.devices.push("cpu"),
                    Some("mlx-cpu") => options.devices.push("mlx-cpu"),
                    Some("mlx-gpu") => options.devices.push("mlx-gpu"),
                    _ => return Err("--device takes cpu, mlx-cpu or mlx-gpu".into()),
                },
                flag if flag.starts_with('-') => return Err(format!("it takes no {flag}").into()),
                model_type => options.model_types.push(model_type.to_owned()),
            }
        }
        if options.devices.is_empty() {
            options.devices.push("cpu");
            if sh::root().join(".cargo/mlx.toml").exists() {
                options.devices.push("mlx-cpu");
            }
        }
        Ok(options)
    }
}

/// Whether the reference can be computed here.
pub fn check() -> Result<()> {
    if std::env::var_os("POCKETMLX_PYTHON").is_some()
        || sh::succeeds(Command::new("python3").args(["-m", "ensurepip", "--version"]))
    {
        return Ok(());
    }
    Err("python3 with the module venv is missing".into())
}

/// A Python that has mlx-lm: the one that is named, or that of a venv of our own.
pub fn python() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("POCKETMLX_PYTHON") {
        return Ok(python.into());
    }
    let venv = sh::root().join("target/parity/venv");
    fs::create_dir_all(&venv)?;
    let python = venv.join("bin/python");
    let complete = venv.join("complete");
    if fs::read_to_string(&complete).ok().as_deref() != Some(&PACKAGES.join("\n")) {
        println!("making a venv with {}", PACKAGES.join(" and "));
        sh::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        sh::run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
        fs::write(complete, PACKAGES.join("\n"))?;
    }
    Ok(python)
}

fn write_cases(python: &Path, root: &Path, cases: &Path, options: &Options) -> Result<()> {
    let mut command = Command::new(python);
    command.arg(root.join("tests/parity/bench.py")).arg(cases);
    command.args(["--seed", &options.seed.to_string()]);
    command.args(["--formats", if options.all { ALL_FORMATS } else { FEW_FORMATS }]);
    command.args(&options.model_types);
    // Tiny models don't pay a compiler's time back.
    command.env("MLX_DISABLE_COMPILE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    match sh::stream(&mut command, |_| {})? {
        true => Ok(()),
        false => Err("the reference could not be computed".into()),
    }
}

/// With MLX for any device, all are compared by the same build.
fn compare(root: &Path, cases: &Path, device: &str, with_mlx: bool) -> Result<()> {
    let mut command = Command::new(sh::cargo());
    command.current_dir(root).args(["test", "--quiet", "--lib"]);
    if with_mlx {
        command.args(["--features", "mlx"]);
    }
    command.args(["nn::tests::parity::bench", "--", "--exact", "--ignored"]);
    command.env("POCKETMLX_PARITY", cases).env("POCKETMLX_PARITY_DEVICE", device);
    sh::run(&mut command)
}

/// The date in UTC as a number, like 20261120.
fn today() -> u64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut days = seconds / 86_400;
    let mut year = 1970;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    year * 10_000 + (month as u64 + 1) * 100 + days + 1
}
