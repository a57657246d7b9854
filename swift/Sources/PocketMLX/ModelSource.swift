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

    /// A model of a hub, such as `mlx-community/Qwen3-4B-4bit`, which is fetched unless it is in the cache.
    ///
    /// - Parameters:
    ///   - id: `owner/name`.
    ///   - revision: A branch, tag or commit; `main` when left out.
    public static func hub(_ id: String, revision: String? = nil) -> ModelSource {
        ModelSource(revision.map { "\(id)@\($0)" } ?? id)
    }

    /// A folder's path, a hub's `owner/name`, or `demo`.
    public init(_ source: String) {
        description = source
    }

    /// A folder's path, a hub's `owner/name`, or `demo`.
    public init(stringLiteral source: String) {
        self.init(source)
    }
}
