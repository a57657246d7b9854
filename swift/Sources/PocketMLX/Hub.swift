import CPocketMLX
import Foundation

/// A hub of models, or mirrors of one, and the cache of models on this device, which Python's `huggingface_hub` shares.
///
/// ```swift
/// let hub = Hub()
/// for try await progress in hub.downloadProgress(of: "mlx-community/Qwen3-4B-4bit") {
///     bar.value = progress.fractionCompleted ?? 0
/// }
/// let model = try await Model.load(.hub("mlx-community/Qwen3-4B-4bit"))
/// ```
///
/// The frameworks for Apple's systems have no downloads of their own yet: there, all of this fails with
/// ``PocketMLXError/Code/unsupported``, and an app fetches models with `URLSession` and loads their folders.
public struct Hub: Sendable, CustomStringConvertible {
    private let options: Options

    private struct Options: Sendable, Encodable {
        let endpoints: [String]
        let token: String?
        let cache: String?
        let offline: Bool?
    }

    /// A hub by options; what is left out comes from the environment's `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`,
    /// `HF_HUB_CACHE` and `HF_HUB_OFFLINE`, as for ``Model/load(_:engine:precision:kvBits:contextLength:progress:)``.
    ///
    /// - Parameters:
    ///   - endpoints: Addresses of the hub and its mirrors, tried in order; the public hub when nobody names one.
    ///   - token: The access token. It is shown nowhere and sent to the hub alone.
    ///   - cache: The folder of the cache.
    ///   - isOffline: Whether nothing is asked over the network.
    public init(endpoints: [URL] = [], token: String? = nil, cache: URL? = nil, isOffline: Bool? = nil) {
        options = Options(
            endpoints: endpoints.map(\.absoluteString),
            token: token,
            cache: cache?.path,
            offline: isOffline
        )
    }

    /// The addresses, if any were given.
    public var description: String { "Hub(\(options.endpoints.joined(separator: ", ")))" }

    /// Fetches what a run needs of a model into the cache; what is there is not fetched again, and what an earlier
    /// download left half-done is gone on with. Every file is checked against the hub's hash.
    ///
    /// - Parameters:
    ///   - id: `owner/name`, or `owner/name@revision`; of a repository with GGUF files also `owner/name:Q4_K_M` or
    ///     `owner/name/FILE.gguf`.
    ///   - progress: Hears at least every 50 ms how far it is, on a thread of its own.
    /// - Returns: The model's folder, or its GGUF file.
    /// - Throws: ``PocketMLXError/Code/notFound`` for what is not there, ``PocketMLXError/Code/unsupported`` for an
    ///   architecture that is not known, before any weight is fetched; ``PocketMLXError/Code/network``;
    ///   `CancellationError` when the task is cancelled.
    @discardableResult
    public func download(_ id: String, progress: (@Sendable (Model.Progress) -> Void)? = nil) async throws -> URL {
        let options = try json(options)
        let path = try await ProgressWatcher.run(reportingTo: progress) { callback, user in
            try string { out in
                withBytes(of: id, options) { pmlx_hub_download($0, $1, $2, $3, callback, user, out) }
            }
        }
        try Task.checkCancellation()
        return URL(fileURLWithPath: path, isDirectory: !path.lowercased().hasSuffix(".gguf"))
    }

    /// A download as the sequence of its progress, the newest for a slow reader. It starts at once; leaving the loop and
    /// cancelling the task stop it, and another download goes on where it was.
    ///
    /// - Parameter id: As for ``download(_:progress:)``, and so are the errors.
    public func downloadProgress(of id: String) -> AsyncThrowingStream<Model.Progress, any Error> {
        AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let task = Task {
                do {
                    try await download(id) { continuation.yield($0) }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// The models in the cache, by name.
    ///
    /// - Throws: ``PocketMLXError``.
    public func list() async throws -> [CachedModel] {
        try await ask([CachedModel].self) { options, out in
            withBytes(of: options) { pmlx_hub_list($0, $1, out) }
        }
    }

    /// Removes a model, all of its revisions, from the cache.
    ///
    /// - Returns: The bytes that the file system has back.
    /// - Throws: ``PocketMLXError/Code/notFound`` when it is not there; ``PocketMLXError/Code/busy`` while a download of
    ///   it runs.
    @discardableResult
    public func remove(_ id: String) async throws -> UInt64 {
        try await ask(Removed.self) { options, out in
            withBytes(of: id, options) { pmlx_hub_remove($0, $1, $2, $3, out) }
        }.bytes
    }

    /// The answer to a question that may wait for the network.
    func ask<Answer: Decodable & Sendable>(
        _ type: Answer.Type,
        _ call: @escaping @Sendable (String, UnsafeMutablePointer<OpaquePointer?>) -> OpaquePointer?
    ) async throws -> Answer {
        let options = try json(options)
        let text = try await BlockingThreads.shared.runAlone { try string { call(options, $0) } }
        return try value(type, from: text)
    }

    private struct Removed: Decodable {
        let bytes: UInt64
    }
}

/// A model in the cache.
public struct CachedModel: Sendable, Equatable, Decodable, Identifiable {
    /// `owner/name`.
    public let id: String
    /// Bytes of all its files, those of half-done downloads included.
    public let bytes: UInt64
    /// When it was last used, as far as the file system tells.
    public let lastUsed: Date
    /// Its revisions.
    public let revisions: [Revision]

    /// Whether one of its revisions has all that a run needs.
    public var isComplete: Bool { revisions.contains { $0.isComplete } }

    enum CodingKeys: String, CodingKey {
        case id, bytes, revisions
        case lastUsed = "last_used"
    }

    /// A revision in the cache.
    public struct Revision: Sendable, Equatable, Decodable {
        /// The commit's hash.
        public let commit: String
        /// Branches and tags that led there.
        public let references: [String]
        /// Whether all is there that a run needs.
        public let isComplete: Bool
        private let path: String

        /// The folder with the model's files.
        public var folder: URL { URL(fileURLWithPath: path, isDirectory: true) }

        enum CodingKeys: String, CodingKey {
            case commit, references, path
            case isComplete = "complete"
        }
    }
}
