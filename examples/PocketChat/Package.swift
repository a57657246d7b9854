// swift-tools-version: 6.0
import PackageDescription

// A chat for the Mac: open this folder in Xcode, or `swift run PocketChat`. For an iPhone, add `PocketChatModel` and the
// views of Sources/App to an app target in Xcode.
let package = Package(
    name: "PocketChat",
    platforms: [.macOS(.v14), .iOS(.v17)],
    products: [.library(name: "PocketChatModel", targets: ["PocketChatModel"])],
    dependencies: [.package(name: "PocketMLX", path: "../..")],
    targets: [
        .target(
            name: "PocketChatModel",
            dependencies: [.product(name: "PocketMLX", package: "PocketMLX")],
            path: "Sources/Model"
        ),
        .executableTarget(name: "PocketChat", dependencies: ["PocketChatModel"], path: "Sources/App"),
        .testTarget(name: "PocketChatModelTests", dependencies: ["PocketChatModel"], path: "Tests"),
    ],
    swiftLanguageModes: [.v6]
)
