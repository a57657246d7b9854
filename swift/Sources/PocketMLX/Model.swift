import CPocketMLX

/// A loaded model. Any number of sessions share it.
///
/// Its memory goes back when the model, its sessions and their streams are gone.
public final class Model: Sendable {
    /// The engine that runs the model.
    public let engine: Engine
    let handle: Handle

    /// In what precision a model computes.
    public enum Precision: String, Sendable, Encodable {
        /// What is fastest on the device without a loss that can be noticed.
        case `default`
        /// 32-bit floats throughout, for comparisons; slower.
        case exact
    }

    /// Bits of a number in the caches of keys and values.
    public enum KVBits: Int, Sendable, Encodable {
        /// The smallest caches; answers may change a little.
        case four = 4
        /// What the CPU backend does on its own.
        case eight = 8
        /// Not quantized.
        case sixteen = 16
    }

    private struct Options: Encodable {
        var precision: Precision
        var kvBits: KVBits?
        var contextLength: Int?

        enum CodingKeys: String, CodingKey {
            case precision
            case kvBits = "kv_bits"
            case contextLength = "context_length"
        }
    }

    private struct ProbeOptions: Encodable {
        var kvBits: KVBits?
        var contextLength: Int?

        enum CodingKeys: String, CodingKey {
            case kvBits = "kv_bits"
            case contextLength = "context_length"
        }
    }

    /// Loads a model.
    ///
    /// - Parameters:
    ///   - source: A folder with an MLX checkpoint, ``ModelSource/demo``, or a model of a hub, which is fetched unless it
    ///     is in the cache.
    ///   - engine: The engine that runs it; ``Engine/shared()`` when left out.
    ///   - precision: In what precision it computes.
    ///   - kvBits: How caches of keys and values are kept; as the device does it best when left out.
    ///   - contextLength: The most tokens of prompt and answer; what the model was trained for when left out.
    ///   - progress: Hears at least every 50 ms how far it is, on a thread of its own.
    /// - Throws: ``PocketMLXError``; `CancellationError` when the task is cancelled.
    public static func load(
        _ source: ModelSource,
        engine: Engine? = nil,
        precision: Precision = .default,
        kvBits: KVBits? = nil,
        contextLength: Int? = nil,
        progress: (@Sendable (Progress) -> Void)? = nil
    ) async throws -> Model {
        let engine = try engine ?? Engine.shared()
        let owner = try engine.handle.get()
        let options = try json(Options(precision: precision, kvBits: kvBits, contextLength: contextLength))
        let owned = try await ProgressWatcher.run(reportingTo: progress) { callback, user in
            try Owned.made(free: { pmlx_model_free($0) }) { out in
                withBytes(of: source.description, options) {
                    pmlx_model_load(owner.pointer, $0, $1, $2, $3, callback, user, out)
                }
            }
        }
        try Task.checkCancellation()
        return Model(engine: engine, handle: Handle(owned))
    }

    private init(engine: Engine, handle: Handle) {
        self.engine = engine
        self.handle = handle
    }

    /// What a model is and the memory that it takes, without reading its weights.
    ///
    /// - Parameters:
    ///   - source: As for loading.
    ///   - contextLength: The context to estimate for; 4,096, or the model's own if that is shorter, when left out.
    ///   - kvBits: As for loading.
    /// - Throws: ``PocketMLXError`` for what loading would be refused for.
    public static func probe(
        _ source: ModelSource, contextLength: Int? = nil, kvBits: KVBits? = nil
    ) async throws -> ModelProbe {
        let options = try json(ProbeOptions(kvBits: kvBits, contextLength: contextLength))
        let text = try await BlockingThreads.shared.run {
            try string { out in
                withBytes(of: source.description, options) { pmlx_model_probe($0, $1, $2, $3, out) }
            }
        }
        return try value(ModelProbe.self, from: text)
    }

    /// What the model is.
    ///
    /// - Throws: ``PocketMLXError`` after ``close()``.
    public func info() async throws -> ModelInfo {
        let model = try handle.get()
        let text = try await BlockingThreads.shared.run { try string { pmlx_model_info(model.pointer, $0) } }
        return try value(ModelInfo.self, from: text)
    }

    /// The token ids of a text.
    ///
    /// - Parameters:
    ///   - text: Any text.
    ///   - addingSpecialTokens: Whether tokens such as the one that begins a text are added.
    /// - Throws: ``PocketMLXError`` after ``close()``.
    public func tokens(of text: String, addingSpecialTokens: Bool = false) throws -> [UInt32] {
        let model = try handle.get()
        let tokens = try Owned.made(free: { pmlx_tokens_free($0) }) { out in
            withBytes(of: text) { pmlx_model_tokenize(model.pointer, $0, $1, addingSpecialTokens ? 1 : 0, out) }
        }
        return withExtendedLifetime(tokens) {
            let count = pmlx_tokens_len(tokens.pointer)
            return Array(UnsafeBufferPointer(start: pmlx_tokens_data(tokens.pointer), count: count))
        }
    }

    /// The text of token ids.
    ///
    /// - Throws: ``PocketMLXError`` for ids that the model doesn't have, and after ``close()``.
    public func text(of tokens: [UInt32]) throws -> String {
        let model = try handle.get()
        return try tokens.withUnsafeBufferPointer { ids in
            try string { pmlx_model_detokenize(model.pointer, ids.baseAddress, ids.count, $0) }
        }
    }

    /// Lets the model go: it takes no new sessions, and its memory goes back when its sessions are closed or gone, too.
    /// A model that is not used any more closes by itself.
    public func close() {
        handle.close("model")
    }
}
