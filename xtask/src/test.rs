//! `cargo xtask test`: all checks of the project, with one summary at the end.

use std::ffi::OsStr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::sh::{self, Result};

/// What became of a step.
enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
    tests: Counts,
}

/// Tests counted in the output of the test runners.
#[derive(Clone, Copy, Default)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs everything; an error when something failed.
pub fn run(args: &[String]) -> Result<()> {
    let quick = match args {
        [] => false,
        [flag] if flag == "--quick" => true,
        other => return Err(format!("unknown arguments {other:?}; usage: cargo xtask test [--quick]").into()),
    };
    let mut steps = vec![
        cargo("format", &["fmt", "--all", "--check"]),
        cargo(
            "lints",
            &["clippy", "--workspace", "--all-targets", "--features=xtask/bench", "--quiet", "--", "-D", "warnings"],
        ),
        cargo("tests", &["test", "--workspace"]),
        cargo("documentation", &["doc", "--no-deps", "--quiet"]),
        cargo("C header", &["xtask", "header", "--check"]),
    ];
    if quick {
        steps.push(skip("fuzz", "--quick"));
        steps.push(skip("C programs", "--quick"));
        steps.push(skip("NEON", "--quick"));
        steps.push(skip("Swift", "--quick"));
        steps.push(skip("MLX", "--quick"));
        steps.push(skip("parity", "--quick"));
    } else {
        steps.push(cargo("fuzz", &["xtask", "fuzz"]));
        steps.push(cargo("C programs", &["xtask", "c-test"]));
        steps.push(match crate::neon::check() {
            Ok(()) => cargo("NEON", &["xtask", "neon-test"]),
            Err(missing) => skip("NEON", &missing.to_string()),
        });
        steps.push(match crate::swift::toolchain::Toolchain::find() {
            Ok(_) => cargo("Swift", &["xtask", "swift-test"]),
            Err(missing) => skip("Swift", &missing.to_string()),
        });
        // The tests of the library have done it where there are any.
        if std::env::var_os("POCKETMLX_VOCABULARIES").is_none() {
            steps.push(skip("vocabularies of llama.cpp", "POCKETMLX_VOCABULARIES names no folder of them"));
        }
        steps.extend(mlx_steps());
        steps.extend(python_steps());
    }
    summarize(&steps)
}

/// The checks with feature `mlx`.
fn mlx_steps() -> Vec<Step> {
    if let Err(missing) = crate::mlx::needs::check() {
        return vec![skip("MLX", &missing.to_string())];
    }
    let prepared = cargo("MLX: prepare", &["xtask", "mlx"]);
    if !matches!(prepared.outcome, Outcome::Passed) {
        return vec![prepared];
    }
    let mut steps = vec![
        prepared,
        cargo("MLX: lints", &["clippy", "--all-targets", "--features", "mlx", "--quiet", "--", "-D", "warnings"]),
        cargo("MLX: tests", &["test", "--features", "mlx", "--lib", "--test", "parity", "--test", "cli", "--", "mlx"]),
        cargo("MLX: exported symbols", &["xtask", "c-test", "--exports-only", "--features", "mlx"]),
    ];
    steps.push(match crate::apple::check() {
        Ok(()) => cargo("Apple", &["xtask", "apple-check"]),
        Err(missing) => skip("Apple", &missing.to_string()),
    });
    steps
}

/// The checks beside Python's packages.
fn python_steps() -> Vec<Step> {
    if let Err(missing) = crate::parity::check() {
        return vec![skip("parity", &missing.to_string())];
    }
    let parity = cargo("parity", &["xtask", "parity"]);
    match crate::parity::python() {
        Ok(python) => {
            let args = ["test", "--test", "hub", "python"];
            let python = [("POCKETMLX_PYTHON", python.as_os_str())];
            let hub = cargo_with("hub beside Python", &args, &python);
            let convert = cargo_with("convert beside Python", &["test", "--test", "convert", "python"], &python);
            vec![parity, hub, convert]
        }
        Err(_) => vec![parity],
    }
}

fn cargo(name: &'static str, args: &[&str]) -> Step {
    cargo_with(name, args, &[])
}

fn cargo_with(name: &'static str, args: &[&str], variables: &[(&str, &OsStr)]) -> Step {
    println!("\n== {name}: cargo {}", args.join(" "));
    let began = Instant::now();
    let mut tests = Counts::default();
    let mut command = Command::new(sh::cargo());
    command.envs(variables.iter().copied());
    if args.first() == Some(&"doc") {
        command.env("RUSTDOCFLAGS", "-D warnings");
    }
    let outcome = match sh::stream(command.args(args), |line| tests.count(line)) {
        Ok(true) => Outcome::Passed,
        Ok(false) => Outcome::Failed,
        Err(error) => {
            println!("{error}");
            Outcome::Failed
        }
    };
    Step { name, outcome, took: began.elapsed(), tests }
}

fn skip(name: &'static str, why: &str) -> Step {
    Step { name, outcome: Outcome::Skipped(why.to_owned()), took: Duration::ZERO, tests: Counts::default() }
}

impl Counts {
    /// Reads lines such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn count(&mut self, line: &str) {
        let Some((_, numbers)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in numbers.split("; ") {
            match part.split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                Some((n, "ignored")) => self.ignored += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

fn summarize(steps: &[Step]) -> Result<()> {
    let mut total = Counts::default();
    println!("\n{:<24} {:>8}  {:>7}  result", "step", "seconds", "tests");
    for step in steps {
        let tests =
            if step.tests.passed + step.tests.failed > 0 { step.tests.passed.to_string() } else { String::new() };
        let result = match &step.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::Skipped(why) => format!("skipped: {why}"),
        };
        println!("{:<24} {:>8.1}  {tests:>7}  {result}", step.name, step.took.as_secs_f64());
        total.passed += step.tests.passed;
        total.failed += step.tests.failed;
        total.ignored += step.tests.ignored;
    }
    println!("\n{} passed, {} failed, {} skipped", total.passed, total.failed, total.ignored);
    let failed: Vec<_> = steps.iter().filter(|s| matches!(s.outcome, Outcome::Failed)).map(|s| s.name).collect();
    if failed.is_empty() {
        if total.passed == 0 { Err("no test ran".into()) } else { Ok(()) }
    } else {
        Err(format!("failed: {}", failed.join(", ")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn counts_results_of_the_test_runner() {
        let mut counts = Counts::default();
        counts.count("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        counts.count("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        counts.count("running 3 tests");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (13, 2, 1));
    }
}
