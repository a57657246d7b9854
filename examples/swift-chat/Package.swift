// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "swift-chat",
    platforms: [.macOS(.v14)],
    dependencies: [.package(name: "PocketMLX", path: "../..")],
    targets: [
        .executableTarget(
            name: "swift-chat",
            dependencies: [.product(name: "PocketMLX", package: "PocketMLX")],
            path: "Sources"
        )
    ],
    swiftLanguageModes: [.v6]
)
