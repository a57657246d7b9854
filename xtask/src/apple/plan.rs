//! Steps that can be shown before they are taken.

use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sh::{self, Result};

/// What the variables in steps stand for.
pub struct Places {
    /// `$ROOT`: the repository.
    pub root: PathBuf,
    /// `$MLX_C`: the source of mlx-c.
    pub mlx_c: PathBuf,
    /// `$CARGO_HOME`: where cargo keeps what it downloads.
    pub cargo_home: PathBuf,
}

impl Places {
    fn variables(&self) -> [(&'static str, &Path); 3] {
        [("ROOT", &self.root), ("MLX_C", &self.mlx_c), ("CARGO_HOME", &self.cargo_home)]
    }

    fn fill(&self, text: &str) -> String {
        let fill =
            |text: String, (name, path): (&str, &Path)| text.replace(&format!("${name}"), &path.to_string_lossy());
        self.variables().into_iter().fold(text.to_owned(), fill)
    }

    fn command(&self, words: &[String]) -> Result<Command> {
        let (program, arguments) = words.split_first().ok_or("a step without a program")?;
        let mut command = Command::new(program);
        command.current_dir(&self.root).envs(self.variables());
        // A shell knows the variables by itself.
        let is_shell = program == "sh";
        command.args(arguments.iter().map(|word| if is_shell { word.clone() } else { self.fill(word) }));
        Ok(command)
    }
}

/// One step. Paths are relative to the repository.
pub enum Step {
    /// Runs a program with environment variables.
    Run { variables: Vec<(String, String)>, words: Vec<String> },
    /// Runs a program and keeps what it prints.
    Capture { words: Vec<String>, into: PathBuf },
    /// Writes a file.
    Write { path: PathBuf, text: String },
    /// Copies a file or a folder.
    Copy { from: PathBuf, to: PathBuf },
    /// Makes a symbolic link.
    Link { path: PathBuf, to: PathBuf },
    /// Replaces text in a file; it must be there.
    Replace { path: PathBuf, from: String, to: String },
    /// Removes a folder, if it is there.
    Remove(PathBuf),
}

/// A program with its arguments.
pub fn run(words: &[&str]) -> Step {
    Step::Run { variables: Vec::new(), words: owned(words) }
}

/// The same with environment variables.
pub fn run_with(variables: &[(&str, &str)], words: &[&str]) -> Step {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Step::Run { variables, words: owned(words) }
}

/// Words as they are kept.
pub fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { variables, words } => {
                for (name, value) in variables {
                    write!(f, "{name}={} ", quoted(value))?;
                }
                f.write_str(&words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
            }
            Self::Capture { words, into } => {
                let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                write!(f, "{} > {}", words.join(" "), into.display())
            }
            Self::Write { path, text } => {
                write!(f, "write {}", path.display())?;
                text.lines().try_for_each(|line| write!(f, "\n    | {line}"))
            }
            Self::Copy { from, to } => write!(f, "copy {} {}", from.display(), to.display()),
            Self::Link { path, to } => write!(f, "link {} -> {}", path.display(), to.display()),
            Self::Replace { path, from, to } => write!(f, "in {} replace {from:?} by {to:?}", path.display()),
            Self::Remove(path) => write!(f, "remove {}", path.display()),
        }
    }
}

impl Step {
    /// Takes the step.
    pub fn take(&self, places: &Places) -> Result<()> {
        let root = &places.root;
        let parent = |path: &Path| fs::create_dir_all(path.parent().unwrap_or(path));
        match self {
            Self::Run { variables, words } => {
                let mut command = places.command(words)?;
                sh::run(command.envs(variables.iter().map(|(name, value)| (name, places.fill(value)))))
            }
            Self::Capture { words, into } => {
                parent(&root.join(into))?;
                Ok(fs::write(root.join(into), sh::read(&mut places.command(words)?)? + "\n")?)
            }
            Self::Write { path, text } => {
                parent(&root.join(path))?;
                Ok(fs::write(root.join(path), places.fill(text))?)
            }
            Self::Copy { from, to } => {
                parent(&root.join(to))?;
                sh::run(Command::new("cp").arg("-R").arg(root.join(from)).arg(root.join(to)))
            }
            Self::Link { path, to } => Ok(symlink(to, root.join(path))?),
            Self::Replace { path, from, to } => {
                let file = root.join(path);
                let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
                match text.contains(from.as_str()) {
                    true => Ok(fs::write(file, text.replace(from.as_str(), to))?),
                    false => Err(format!("{} has no {from:?}", file.display()).into()),
                }
            }
            Self::Remove(path) => match fs::remove_dir_all(root.join(path)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
        }
    }
}

/// As a shell would read it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%$".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
