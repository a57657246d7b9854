//! A Swift 6 toolchain: the one that is installed, or that of Debian 13 in a folder.
//!
//! Debian 12 has no Swift, and Debian 13's needs its own C library, so it lives in a root file system of its own and is
//! entered by chroot. Mounts are made in a mount namespace of each command: they vanish with it.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::sh::{self, Result};

const SUITE: &str = "trixie";
/// Besides Swift: a C library to compile against, and what SwiftPM calls.
const PACKAGES: [&str; 5] = ["swiftlang", "libc6-dev", "libstdc++-14-dev", "git", "ca-certificates"];

/// What is left out of packages, and no waiting for the disk: a folder that breaks is made again.
const DPKG: &str = "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n\
                    path-exclude=/usr/share/locale/*\n";

/// Enters the root file system `$1` in folder `$3`, with the project `$2` at the same place as outside.
const ENTER: &str = r#"
set -e
root=$1 project=$2 folder=$3
shift 3
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root$project"
mount --bind "$project" "$root$project"
exec chroot "$root" env -C "$folder" "$@"
"#;

/// Where Swift comes from.
pub enum Toolchain {
    /// The programs on the path.
    Installed,
    /// A Debian in a folder.
    Debian(PathBuf),
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed => f.write_str("the installed Swift"),
            Self::Debian(root) => write!(f, "Debian 13 in {}", root.display()),
        }
    }
}

impl Toolchain {
    /// A toolchain that is there; an error that says what to do when there is none.
    pub fn find() -> Result<Self> {
        if installed() {
            return Ok(Self::Installed);
        }
        let root = home();
        if !complete(&root).exists() {
            return Err("no Swift 6 toolchain here; `cargo xtask swift` prepares one".into());
        }
        needs()?;
        Ok(Self::Debian(root))
    }

    /// A toolchain, made if there is none. Goes on where an interrupted attempt stopped.
    pub fn prepare() -> Result<Self> {
        if let Ok(found) = Self::find() {
            return Ok(found);
        }
        needs()?;
        let root = home();
        let base = root.parent().ok_or("the toolchain's folder has no parent")?;
        fs::create_dir_all(base)?;
        let lock = File::create(base.join("lock"))?;
        lock.lock()?;
        let toolchain = Self::Debian(root.clone());
        if complete(&root).exists() {
            return Ok(toolchain);
        }
        if !root.exists() {
            debootstrap(&root)?;
        }
        toolchain.install(&root)?;
        fs::write(complete(&root), "")?;
        Ok(toolchain)
    }

    /// A program of the toolchain, to be run in a folder of the project.
    pub fn command(&self, program: &str, folder: &Path) -> Command {
        match self {
            Self::Installed => {
                let mut command = Command::new(program);
                command.current_dir(folder);
                command
            }
            Self::Debian(root) => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", ENTER, "enter"]).arg(root).arg(sh::root()).arg(folder);
                // A clean environment: what cargo and rustup set means nothing in there. Swift reads the locale.
                command.args(["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]);
                command.args(proxies());
                command.arg(program);
                command
            }
        }
    }

    /// The program that makes documentation, which Debian does not put on the path.
    pub fn docc(&self) -> &'static str {
        match self {
            Self::Installed => "docc",
            Self::Debian(_) => "/usr/libexec/swift/bin/docc",
        }
    }

    /// As `command`, with environment variables.
    pub fn command_with(&self, variables: &[(&str, &Path)], program: &str, folder: &Path) -> Command {
        let mut command = self.command("env", folder);
        command.args(variables.iter().map(|(name, value)| format!("{name}={}", value.display())));
        command.arg(program);
        command
    }

    fn install(&self, root: &Path) -> Result<()> {
        let began = Instant::now();
        fs::write(root.join("etc/dpkg/dpkg.cfg.d/pocketmlx"), DPKG)?;
        for file in ["resolv.conf", "hosts"] {
            let from = Path::new("/etc").join(file);
            if from.exists() {
                fs::copy(from, root.join("etc").join(file))?;
            }
        }
        eprintln!("swift: installing {} into {}", PACKAGES.join(", "), root.display());
        let quiet = |args: &[&str]| {
            let mut command = self.command("env", Path::new("/"));
            sh::run(command.arg("DEBIAN_FRONTEND=noninteractive").args(args))
        };
        // What an interrupted attempt left half done.
        quiet(&["dpkg", "--configure", "-a"])?;
        quiet(&["apt-get", "update", "-q"])?;
        let mut install = vec!["apt-get", "install", "-q", "-y", "--no-install-recommends", "--fix-broken"];
        install.extend(PACKAGES);
        quiet(&install)?;
        quiet(&["apt-get", "clean"])?;
        eprintln!("swift: installed in {:.0} s", began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// A Debian with nothing in it, in a folder that gets its name when it is complete.
fn debootstrap(root: &Path) -> Result<()> {
    let began = Instant::now();
    let partial = root.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    eprintln!("swift: fetching the base of Debian 13");
    let mut command = Command::new("unshare");
    command.args(["--mount", "debootstrap", "--variant=minbase", SUITE]).arg(&partial);
    // Without one, debootstrap takes Debian's own.
    command.args(std::env::var_os("POCKETMLX_DEBIAN_MIRROR"));
    sh::run(&mut command)?;
    fs::rename(&partial, root)?;
    eprintln!("swift: base ready in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Where the toolchain of this recipe lies. `POCKETMLX_SWIFT_HOME` names another place, for several checkouts.
fn home() -> PathBuf {
    let base = std::env::var_os("POCKETMLX_SWIFT_HOME").map_or_else(|| sh::root().join("target/swift"), PathBuf::from);
    let mut hasher = DefaultHasher::new();
    (SUITE, PACKAGES, DPKG).hash(&mut hasher);
    base.join(format!("debian-{SUITE}-{:08x}", hasher.finish() as u32))
}

/// The file that says that everything is installed.
fn complete(root: &Path) -> PathBuf {
    root.join("etc/pocketmlx-complete")
}

/// Whether a Swift 6 or newer is on the path.
fn installed() -> bool {
    let text = sh::read(Command::new("swift").arg("--version")).unwrap_or_default();
    version(&text).is_some_and(|major| major >= 6)
}

/// The 6 in `Swift version 6.0.3 (swift-6.0.3-RELEASE)`.
fn version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Swift version ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Fails with everything that is missing to make and enter the folder.
fn needs() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Err("no Swift 6 on the path (on a Mac: install Xcode 16 or newer)".into());
    }
    let mut missing = Vec::new();
    if sh::read(Command::new("id").arg("-u")).unwrap_or_default() != "0" {
        missing.push("root's rights, to enter a root file system".to_owned());
    } else if !sh::succeeds(Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])) {
        missing.push("the right to mount: run outside of a container, or in one with CAP_SYS_ADMIN".to_owned());
    }
    if !sh::succeeds(Command::new("debootstrap").arg("--version")) {
        missing.push("debootstrap (Debian: debootstrap)".to_owned());
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("no Swift 6 on the path, and to prepare one it lacks {}", missing.join("; ")).into())
    }
}

/// The proxy settings of this process, which `apt-get` needs as well.
fn proxies() -> Vec<String> {
    let names = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    names.iter().filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("Swift version 6.0.3 (swift-6.0.3-RELEASE)\nTarget: x86_64-unknown-linux-gnu"), Some(6));
        assert_eq!(version("Apple Swift version 5.10 (swiftlang-5.10.0.13)"), Some(5));
        assert_eq!(version("zsh: command not found"), None);
    }
}
