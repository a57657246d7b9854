// swift-tools-version: 6.0
import PackageDescription

/// The framework of a release: where it lies and what it hashes to. `cargo xtask release` writes these lines.
let release = (url: "", checksum: "")

/// Whether this is a checkout that a package manager made, rather than somebody's clone, which uses what was built in it.
let isDependency = Context.packageDirectory.contains("/checkouts/") || Context.environment["POCKETMLX_RELEASE"] != nil

#if canImport(Darwin)
    /// The framework: of the release, or the one that `cargo xtask xcframework` built here.
    let library: Target =
        if isDependency && !release.url.isEmpty {
            .binaryTarget(name: "CPocketMLX", url: release.url, checksum: release.checksum)
        } else {
            .binaryTarget(name: "CPocketMLX", path: "target/xcframework/CPocketMLX.xcframework")
        }
    let linking: [LinkerSetting] = []
#else
    /// The C header over libpocketmlx.so: the installed one, or the one that `cargo build` built here.
    let library: Target = .systemLibrary(name: "CPocketMLX", path: "include")
    let built = Context.environment["POCKETMLX_LIBRARY"] ?? Context.packageDirectory + "/target/release"
    let linking: [LinkerSetting] =
        isDependency ? [] : [.unsafeFlags(["-L", built, "-Xlinker", "-rpath", "-Xlinker", built])]
#endif

let package = Package(
    name: "PocketMLX",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "PocketMLX", targets: ["PocketMLX"]),
        // Models of PocketMLX in the system's LanguageModelSession; empty where the system has none.
        .library(name: "PocketMLXFoundationModels", targets: ["PocketMLXFoundationModels"]),
    ],
    targets: [
        library,
        .target(
            name: "PocketMLX",
            dependencies: ["CPocketMLX"],
            path: "swift/Sources/PocketMLX",
            linkerSettings: linking
        ),
        .target(
            name: "PocketMLXFoundationModels",
            dependencies: ["PocketMLX"],
            path: "swift/Sources/PocketMLXFoundationModels"
        ),
        .testTarget(
            name: "PocketMLXTests",
            dependencies: ["PocketMLX", "CPocketMLX"],
            path: "swift/Tests/PocketMLXTests"
        ),
    ],
    swiftLanguageModes: [.v6]
)
