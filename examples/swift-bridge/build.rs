//! Writes the Swift and C sides of the bridge into `.build`.

fn main() {
    let bridge = "src/lib.rs";
    println!("cargo::rerun-if-changed={bridge}");
    swift_bridge_build::parse_bridges([bridge]).write_all_concatenated(".build", env!("CARGO_PKG_NAME"));
}
