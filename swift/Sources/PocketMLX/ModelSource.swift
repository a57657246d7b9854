import Foundation

/// Where a model comes from.
public struct ModelSource: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The source as the C interface takes it.
    public let description: String

    /// The small chat model that is embedded in the library.
    public static let demo = ModelSource("demo")

    /// A folder with an MLX checkpoint: `config.json`, `tokenizer.json`, `*.safetensors`.
    public static func folder(_ url: URL) -> ModelSource {
        ModelSource(url.path)
    }

    /// A folder's path, or `demo`.
    public init(_ source: String) {
        description = source
    }

    /// A folder's path, or `demo`.
    public init(stringLiteral source: String) {
        self.init(source)
    }
}
