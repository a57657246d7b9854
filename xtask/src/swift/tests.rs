//! `cargo xtask swift-test`: the Swift package against the library that is built here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::toolchain::Toolchain;
use crate::c_tests::library::Library;
use crate::sh::{self, Result};

const USAGE: &str = "usage: cargo xtask swift-test [--release] [--library DIR] [--no-sanitizer] [FILTER]";

/// The tests that ThreadSanitizer watches: those where threads meet.
const SANITIZED: &str = "CancellationTests|ErrorTests|HubTests|sessionsRunAtTheSameTime|aHundredSessions";

struct Options {
    release: bool,
    /// A folder with a library that is built already.
    library: Option<PathBuf>,
    sanitizer: bool,
    filter: Option<String>,
}

/// All that the steps work with.
pub(super) struct Bench {
    toolchain: Toolchain,
    pub root: PathBuf,
    /// Everything that is made, and nothing else, lies here.
    pub output: PathBuf,
    /// The folder of the library under test.
    library: PathBuf,
    /// The address of a hub for tests.
    hub: String,
}

/// Runs everything; with a filter, only the tests that match it.
pub fn run(args: &[String]) -> Result<()> {
    let mut options = Options { release: false, library: None, sanitizer: true, filter: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--release" => options.release = true,
            "--library" => options.library = Some(args.next().ok_or(USAGE)?.into()),
            "--no-sanitizer" => options.sanitizer = false,
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}\n{USAGE}").into()),
            filter => options.filter = Some(filter.to_owned()),
        }
    }
    let bench = Bench::new(options.release, options.library.as_deref())?;
    let mut passed = 0;
    let mut step = |name: &str, body: &mut dyn FnMut() -> Result<u64>| -> Result<()> {
        let began = Instant::now();
        let count = body().map_err(|error| format!("{name}: {error}"))?;
        println!("test {name} ... ok, {count} in {:.1} s", began.elapsed().as_secs_f64());
        passed += count;
        Ok(())
    };
    if let Some(filter) = &options.filter {
        step("swift test", &mut || bench.test(&["--filter", filter], "build"))?;
    } else {
        step("swift format", &mut || bench.format())?;
        step("swift test", &mut || bench.test(&[], "build"))?;
        if options.sanitizer {
            step("swift test --sanitize thread", &mut || bench.sanitized())?;
        }
        step("code for Apple's systems", &mut || bench.stubs())?;
        step("documentation", &mut || bench.documentation())?;
        step("README", &mut || bench.readme())?;
        step("examples/swift-chat", &mut || bench.chat())?;
        step("examples/swift-bridge", &mut || super::bridge::run(&bench))?;
        let folder = bench.root.join("examples/PocketChat");
        step("examples/PocketChat", &mut || bench.test_in(&folder, &[], "pocketchat"))?;
    }
    // The words of Rust's test runner, which `cargo xtask test` counts.
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored");
    Ok(())
}

impl Bench {
    fn new(release: bool, library: Option<&Path>) -> Result<Self> {
        let toolchain = Toolchain::find()?;
        let root = sh::root();
        let output = root.join("target/swift-test");
        let folder = output.join("lib");
        fs::create_dir_all(&folder)?;
        let name = if cfg!(target_os = "macos") { "libpocketmlx.dylib" } else { "libpocketmlx.so" };
        let built = match library {
            Some(folder) => folder.join(name),
            None => Library::build(None, release)?.shared,
        };
        // A copy, because the next cargo command may build another.
        fs::copy(&built, folder.join(name)).map_err(|error| format!("{}: {error}", built.display()))?;
        let hub = crate::hub::start()?;
        // What an earlier run fetched.
        let _ = fs::remove_dir_all(output.join("hub"));
        Ok(Self { toolchain, root, output, library: folder, hub })
    }

    /// A program of the toolchain that finds the library.
    pub fn command(&self, program: &str, folder: &Path) -> Command {
        let variables = [
            ("POCKETMLX_LIBRARY", self.library.as_path()),
            ("POCKETMLX_TEST_HUB", Path::new(&self.hub)),
            ("HF_ENDPOINT", Path::new(&self.hub)),
            ("HF_HOME", &self.output.join("hub")),
        ];
        self.toolchain.command_with(&variables, program, folder)
    }

    /// Our style, held by the toolchain's own formatter.
    fn format(&self) -> Result<u64> {
        let mut swift = self.command("swift", &self.root);
        swift.args(["format", "lint", "--strict", "--recursive"]);
        swift.args(["Package.swift", "swift", "examples", "benches"]);
        sh::run(&mut swift)?;
        Ok(1)
    }

    /// Builds and runs the package's tests; gives their number.
    fn test(&self, args: &[&str], scratch: &str) -> Result<u64> {
        self.test_in(&self.root, args, scratch)
    }

    fn test_in(&self, package: &Path, args: &[&str], scratch: &str) -> Result<u64> {
        let mut swift = self.command("swift", package);
        swift.args(["test", "--quiet", "--scratch-path"]).arg(self.output.join(scratch)).args(args);
        let mut passed = 0;
        let succeeded = sh::stream(&mut swift, |line| passed = passed.max(count(line)))?;
        match (succeeded, passed) {
            (true, 0) => Err("no test ran".into()),
            (true, passed) => Ok(passed),
            (false, _) => Err("swift test failed".into()),
        }
    }

    /// The tests where threads meet, under ThreadSanitizer.
    fn sanitized(&self) -> Result<u64> {
        let passed = self.test(&["--sanitize", "thread", "--filter", SANITIZED], "sanitized")?;
        // A sanitizer that was left out by mistake would find nothing.
        let binary = self.output.join("sanitized/debug/PocketMLXPackageTests.xctest");
        if !sh::read(Command::new("nm").arg(&binary))?.contains("__tsan_init") {
            return Err(format!("{} was built without the sanitizer", binary.display()).into());
        }
        Ok(passed)
    }

    /// The package and PocketChat as iOS compiles them, against stubs of the system's modules; gives the number of
    /// targets.
    fn stubs(&self) -> Result<u64> {
        let modules = self.output.join("stubs");
        fs::create_dir_all(&modules)?;
        for stub in swift_files(&self.root.join("swift/Stubs"))? {
            let name = stub.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mut swiftc = self.command("swiftc", &self.root);
            swiftc.args(["-swift-version", "6", "-parse-as-library", "-emit-module", "-module-name", &name]);
            // FoundationModels takes models of others from its second version on.
            swiftc.args(["-user-module-version", "2", "-emit-module-path"]);
            sh::run(swiftc.arg(modules.join(format!("{name}.swiftmodule"))).arg(&stub))?;
        }
        let targets = [
            ("PocketMLX", "swift/Sources/PocketMLX"),
            ("PocketMLXFoundationModels", "swift/Sources/PocketMLXFoundationModels"),
            ("PocketChatModel", "examples/PocketChat/Sources/Model"),
            ("PocketChat", "examples/PocketChat/Sources/App"),
        ];
        for (target, sources) in targets {
            let mut swiftc = self.command("swiftc", &self.root);
            swiftc.args(["-swift-version", "6", "-warnings-as-errors", "-parse-as-library", "-module-name", target]);
            swiftc.args(["-I", "include", "-I"]).arg(&modules).arg("-emit-module").arg("-emit-module-path");
            swiftc.arg(modules.join(format!("{target}.swiftmodule")));
            let sources = self.root.join(sources);
            swiftc.args(swift_files(&sources)?);
            if sources.join("Internal").exists() {
                swiftc.args(swift_files(&sources.join("Internal"))?);
            }
            sh::run(&mut swiftc)?;
        }
        Ok(targets.len() as u64)
    }

    /// The DocC catalogue: every link leads somewhere, and the tutorial's programs compile. Gives the number of programs.
    fn documentation(&self) -> Result<u64> {
        let scratch = self.output.join("build");
        let mut swift = self.command("swift", &self.root);
        sh::run(swift.args(["package", "--scratch-path"]).arg(&scratch).arg("dump-symbol-graph"))?;
        let triple = scratch.join("debug").canonicalize()?;
        let graphs = self.output.join("symbols");
        fs::create_dir_all(&graphs)?;
        let graph = triple.parent().ok_or("no folder of the build")?.join("symbolgraph/PocketMLX.symbols.json");
        fs::copy(&graph, graphs.join("PocketMLX.symbols.json"))?;
        let catalogue = self.root.join("swift/Sources/PocketMLX/PocketMLX.docc");
        let mut docc = self.command(self.toolchain.docc(), &self.root);
        docc.args(["convert", "--warnings-as-errors", "--fallback-display-name", "PocketMLX"]);
        docc.args(["--fallback-bundle-identifier", "org.pocketmlx.PocketMLX", "--additional-symbol-graph-dir"]);
        sh::run(docc.arg(&graphs).arg("--output-path").arg(self.output.join("PocketMLX.doccarchive")).arg(&catalogue))?;
        let mut programs = 0;
        for entry in fs::read_dir(catalogue.join("Resources"))? {
            let program = entry?.path();
            if program.extension().is_some_and(|extension| extension == "swift") {
                let mut swiftc = self.command("swiftc", &self.root);
                swiftc.args(["-typecheck", "-swift-version", "6", "-I"]).arg(scratch.join("debug/Modules"));
                sh::run(swiftc.args(["-I", "include"]).arg(&program))?;
                programs += 1;
            }
        }
        Ok(programs)
    }

    /// The README's package, made from nothing but what stands there.
    fn readme(&self) -> Result<u64> {
        let readme = fs::read_to_string(self.root.join("README.md"))?;
        let mut blocks = readme.split("```swift\n").skip(1).filter_map(|rest| rest.split("```").next());
        let (Some(manifest), Some(program)) = (blocks.next(), blocks.next()) else {
            return Err("README.md has no two blocks of Swift".into());
        };
        let folder = self.output.join("readme");
        // What was built stays; what was written goes.
        for (name, text) in [
            ("Package.swift", manifest.replace("../pocketmlx", &self.root.to_string_lossy())),
            ("Sources/main.swift", program.to_owned()),
        ] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            fs::write(path, text)?;
        }
        let lines = program.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > 10 {
            return Err(format!("the README's program has {lines} lines").into());
        }
        let output = sh::read(self.command("swift", &folder).args(["run", "--quiet"]))?;
        match output.contains("PocketMLX") {
            true => Ok(1),
            false => Err(format!("the README's program said {output:?}").into()),
        }
    }

    /// A conversation with the terminal chat.
    fn chat(&self) -> Result<u64> {
        let folder = self.root.join("examples/swift-chat");
        let scratch = self.output.join("chat");
        let mut build = self.command("swift", &folder);
        sh::run(build.args(["build", "--quiet", "--scratch-path"]).arg(&scratch))?;
        let mut chat = self.command(&scratch.join("debug/swift-chat").to_string_lossy(), &folder);
        let child = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child?;
        if let Some(mut input) = child.stdin.take() {
            use std::io::Write;
            input.write_all("My name is Ada.\nWhat is my name?\n/history\n".as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let history = text.matches("assistant: ").count() == 2 && text.matches("user: ").count() == 2;
        if output.status.success() && text.contains("Ada") && history {
            return Ok(1);
        }
        Err(format!("{}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// The Swift files right in a folder.
fn swift_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "swift") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The 12 in `✔ Test run with 12 tests passed after 3.4 seconds.`
fn count(line: &str) -> u64 {
    let Some((_, rest)) = line.split_once("Test run with ") else { return 0 };
    let mut words = rest.split(' ');
    match (words.next().and_then(|n| n.parse().ok()), rest.contains(" passed ")) {
        (Some(count), true) => count,
        _ => 0,
    }
}

#[cfg(test)]
mod unit {
    use super::count;

    #[test]
    fn results_of_swift_testing_are_counted() {
        assert_eq!(count("✔ Test run with 12 tests passed after 3.4 seconds."), 12);
        assert_eq!(count("✔ Test run with 1 test in 1 suite passed after 0.1 seconds."), 1);
        assert_eq!(count("✘ Test run with 12 tests failed after 3.4 seconds with 1 issue."), 0);
        assert_eq!(count("✔ Test streams() passed after 3.4 seconds."), 0);
    }
}
