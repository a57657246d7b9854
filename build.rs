//! Lets the binaries and tests find the libmlx that `cargo xtask mlx` fetched.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_MLX_RPATH");
    if let Ok(dir) = std::env::var("DEP_MLX_RPATH") {
        // RUNPATH rather than RPATH, so that LD_LIBRARY_PATH can put MLX's CUDA build in its place.
        println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{dir}");
    }
}
