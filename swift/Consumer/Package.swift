// swift-tools-version: 6.0
import PackageDescription

// An app that uses PocketMLX and mlx-swift at once: both bring an MLX, and neither may see the other's.
let package = Package(
    name: "consumer",
    platforms: [.macOS(.v14)],
    dependencies: [
        .package(name: "PocketMLX", path: "../.."),
        .package(url: "https://github.com/ml-explore/mlx-swift", from: "0.25.0"),
    ],
    targets: [
        .executableTarget(
            name: "consumer",
            dependencies: [
                .product(name: "PocketMLX", package: "PocketMLX"),
                .product(name: "MLX", package: "mlx-swift"),
            ],
            path: "Sources"
        )
    ],
    swiftLanguageModes: [.v6]
)
