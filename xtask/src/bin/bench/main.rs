//! Measures PocketMLX and its peers on the same weights, interleaved, and writes `benches/report/`.

#[path = "../../sh.rs"]
#[allow(dead_code)]
mod sh;

mod gguf;
mod models;
mod ours;
mod peers;
mod plot;
mod record;
mod report;
mod rows;

use std::fs;
use std::process::ExitCode;

use sh::Result;

const USAGE: &str = "usage: cargo xtask bench [--cpu] [--quick] [ROW...]

Measures the command `pocketmlx` and its peers on the same random weights at the shape of Qwen3-0.6B.
  --cpu     the CPU backend beside llama.cpp, and mlx-lm on MLX's CPU device; the default
  --quick   leave out what takes long: contexts of 4,096 tokens and more, mlx-lm
  ROW       only rows whose name contains this; the others stay in the report as they were measured before

llama.cpp is built from its source distribution on PyPI into target/bench (cmake, make and a C++ compiler are needed),
unless LLAMA_BENCH names a llama-bench. mlx-lm is used if REFERENCE_PYTHON names a Python that has it.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (mut quick, mut only) = (false, Vec::new());
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--cpu" => {}
            "--quick" => quick = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}\n{USAGE}").into()),
            row => only.push(row.to_owned()),
        }
    }
    let folder = sh::root().join("target/bench");
    fs::create_dir_all(&folder)?;
    let ours = ours::Ours::build()?;
    let llama = peers::llama_bench(&folder)?;
    let context = rows::Context { ours, llama, mlx_lm: peers::mlx_lm(), folder };
    let selection = rows::Selection { quick, only };
    let mut record = record::Record::open(&context.folder.join("measured.json"))?;
    rows::measure(&context, &selection, &mut record)?;
    if selection.has("profile") {
        record.put_profile(rows::profile(&context)?)?;
    }
    let text = report::markdown(&record);
    println!("{text}");
    let folder = sh::root().join("benches/report");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("cpu.md"), text)?;
    plot::bars(&folder.join("cpu.svg"), &record.rows)?;
    eprintln!("bench: wrote benches/report/cpu.md and cpu.svg");
    Ok(())
}
