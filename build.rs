//! What the linker must know: the shared library's name, and where the libmlx is that `cargo xtask mlx` fetched.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux" || os == "android") {
        // Without it, a program that is linked with a path would look for the library at that path.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libpocketmlx.so");
    }
    println!("cargo::rerun-if-env-changed=DEP_MLX_RPATH");
    if let Ok(dir) = std::env::var("DEP_MLX_RPATH") {
        // RUNPATH rather than RPATH, so that LD_LIBRARY_PATH can put MLX's CUDA build in its place.
        println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{dir}");
    }
}
