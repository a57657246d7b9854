//! The chores of this repository: `cargo xtask VERB`.

mod apple;
mod bench;
mod c_tests;
mod catalog;
mod fuzz;
mod header;
mod hub;
mod mlx;
mod neon;
mod parity;
mod release;
mod rust_source;
mod sh;
mod swift;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask VERB

  apple-check       on Linux: compile for macOS, iOS and the simulator, link and lay out the framework for macOS, look
                    at what came out, and say what needs a Mac
  bench [--quick]   PocketMLX and its peers on the same weights, side by side; writes benches/report
  test [--quick]    all checks of the project, with one summary; --quick leaves out MLX, NEON, Swift and the C programs
  c-test [OPTION...] [PROGRAM...]
                    run the programs of tests/c against the library, under sanitizers and valgrind, too;
                    --exports-only looks at the exported symbols alone
  catalog           ask the hub of HF_ENDPOINT for every model of assets/catalog.json and write down what it has
  fuzz [COUNT]      open COUNT (100000) mutated files of each model format, the same ones on every run
  header [--check]  write include/pocketmlx.h; with --check, fail when it is not what src/ffi says
  mlx [--lib DIR]   prepare MLX on Linux, for `cargo build --features mlx`;
                    with --lib, link the libmlx.so in DIR instead of the one it fetches
  neon-test         run the CPU backend's tests as an ARM program in an emulator, with and without dotprod and i8mm
  parity [MODEL_TYPE...] [--seed N] [--device cpu|mlx-cpu] [--all]
                    compare random checkpoints of every family with mlx-lm: on all devices that are built, in f32
                    and 4 bits, from the day's date, unless told otherwise; --all takes every format and writes
                    docs/models.md. Python comes from POCKETMLX_PYTHON, or a venv with mlx-lm is made in target/
  release URL       write where a release's framework lies, and its checksum, into Package.swift (RELEASING.md)
  swift [exec PROGRAM [ARGUMENT...]]
                    prepare a Swift 6 toolchain: the one on the path, or on Linux that of Debian 13 in a folder in target/
                    (or in POCKETMLX_SWIFT_HOME); with exec, run a program of it in the current folder
  swift-test [--release] [--library DIR] [--no-sanitizer] [FILTER]
                    the Swift package's tests, also under ThreadSanitizer, the README's program and the terminal chat
  xcframework [--dry-run]
                    on a Mac: the framework for macOS, iOS and the simulator; --dry-run prints every step
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = match args.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("", args.as_slice()),
    };
    let result = match verb {
        "apple-check" => apple::run(rest),
        "bench" => bench::run(rest),
        "c-test" => c_tests::run(rest),
        "catalog" => catalog::run(rest),
        "fuzz" => fuzz::run(rest),
        "header" => header::run(rest),
        "mlx" => mlx::run(rest),
        "neon-test" => neon::run(rest),
        "parity" => parity::run(rest),
        "release" => release::run(rest),
        "swift" => swift::run(rest),
        "swift-test" => swift::tests::run(rest),
        "test" => test::run(rest),
        "xcframework" => apple::xcframework::run_verb(rest),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {verb}: {error}");
            ExitCode::FAILURE
        }
    }
}
