//! Writes mlx-sys's `bindings.rs` the way its own build script does, plus our compat header.
//!
//! Usage: `mlx-bindings MLX_C_ROOT OUT CLANG_ARGUMENT…`

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(root), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: mlx-bindings MLX_C_ROOT OUT CLANG_ARGUMENT…".into());
    };
    let mut builder = bindgen::Builder::default()
        .rust_target("1.73.0".parse().map_err(|e| format!("rust target: {e:?}"))?)
        .clang_arg(format!("-I{root}"))
        .clang_args(args)
        // Their sizes as bindgen writes them are not those of Rust's own declarations.
        .blocklist_function("malloc")
        .blocklist_function("realloc");
    for header in headers(&Path::new(&root).join("mlx/c"))? {
        builder = builder.header(header.to_string_lossy());
    }
    Ok(builder.generate()?.write_to_file(out)?)
}

fn headers(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "h"));
    paths.sort();
    Ok(paths)
}
