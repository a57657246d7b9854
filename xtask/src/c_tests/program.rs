//! One C program, built and run in one way.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::library::Library;
use crate::sh::{self, Result};

/// Long enough for valgrind on a busy machine; a program that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(300);

/// As what a program is compiled.
pub enum Language {
    /// C11.
    C,
    /// C++17.
    Cpp,
}

/// How the library gets into a program.
pub enum Linking {
    /// As a shared library.
    Dynamic,
    /// As an archive.
    Static,
}

/// How a program is built and run.
pub struct Way {
    /// For people.
    pub name: &'static str,
    /// As what it is compiled.
    pub language: Language,
    /// How it gets the library.
    pub linking: Linking,
    /// With the address and the undefined behaviour sanitizer.
    pub sanitized: bool,
    /// Under valgrind.
    pub valgrind: bool,
}

/// A program in one way.
pub struct Program<'a> {
    /// Its only file.
    pub source: &'a Path,
    /// How to build and run it.
    pub way: &'a Way,
}

impl Program<'_> {
    /// Its file's name.
    pub fn name(&self) -> String {
        self.source.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Compiles and links it.
    pub fn build(&self, library: &Library) -> Result<PathBuf> {
        let way: String = self.way.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let binary = library.folder.join(format!("{}-{way}", self.name()));
        let mut compiler = match self.way.language {
            Language::C => compiler("CC", "cc", &["-std=c11"]),
            Language::Cpp => compiler("CXX", "c++", &["-std=c++17", "-x", "c++"]),
        };
        compiler.current_dir(sh::root()).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g", "-pthread"]);
        compiler.args(["-Iinclude", "-Itests/c"]).arg("-o").arg(&binary);
        if self.way.sanitized {
            compiler.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]);
        }
        compiler.arg(self.source).args(["-x", "none"]);
        match self.way.linking {
            Linking::Dynamic => {
                compiler.arg("-L").arg(&library.folder).arg("-lpocketmlx");
                // Before the archive beside it.
                compiler.arg(format!("-Wl,-rpath,{}", library.folder.display()));
            }
            Linking::Static => {
                compiler.arg(&library.archive).args(&library.native_libraries);
            }
        }
        sh::run(&mut compiler)?;
        self.check_sanitizer(&binary)?;
        Ok(binary)
    }

    /// A sanitizer that was left out by mistake would find nothing.
    fn check_sanitizer(&self, binary: &Path) -> Result<()> {
        let found = sh::read(Command::new("nm").arg(binary))?.contains("__asan_init");
        if found == self.way.sanitized {
            return Ok(());
        }
        Err(format!("{} has __asan_init: {found}", binary.display()).into())
    }

    /// Runs it; an error with its output when it fails or hangs.
    pub fn run(&self, binary: &Path, model: &Path, hub: &str) -> Result<Duration> {
        let mut command = if self.way.valgrind {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]);
            valgrind.args(["--show-leak-kinds=definite,indirect", "--error-exitcode=99"]).arg(binary);
            valgrind
        } else {
            Command::new(binary)
        };
        let log = binary.with_extension("log");
        let output = File::create(&log)?;
        command.arg(model).stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        command.env("UBSAN_OPTIONS", "print_stacktrace=1").env("ASAN_OPTIONS", "detect_leaks=1");
        command.env("HF_ENDPOINT", hub).env("HF_HOME", binary.with_extension("hub"));
        let began = Instant::now();
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // For the chat; the others don't listen.
            let _ = input.write_all(b"Hello\nHow are you?\n");
        }
        loop {
            if let Some(status) = child.try_wait()? {
                let text = fs::read_to_string(&log).unwrap_or_default();
                // UBSan and valgrind have their say on programs that go on.
                return if status.success() && !text.contains("runtime error:") {
                    Ok(began.elapsed())
                } else {
                    Err(format!("{status}\n{text}").into())
                };
            }
            if began.elapsed() > TIMEOUT {
                child.kill()?;
                child.wait()?;
                let text = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("hangs: still running after {} s\n{text}", TIMEOUT.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn compiler(variable: &str, default: &str, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os(variable).unwrap_or_else(|| default.into()));
    command.args(args);
    command
}
