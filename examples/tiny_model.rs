//! Writes a tiny model with random weights into a folder. It talks nonsense, but runs anywhere at once: for trying a
//! program, and for the C programs of `tests/c`.
//!
//!     cargo run --example tiny_model -- FOLDER

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: tiny_model FOLDER")?.into();
    fs::create_dir_all(&folder)?;
    support::Fixture::new("llama").write(&folder);
    println!("{}", folder.display());
    Ok(())
}
