import CPocketMLX

extension Hub {
    /// Models that the hub finds: first what runs and fits this device, in the hub's order, then the rest, which say why
    /// they stand there. Configurations are fetched for this, and no weights.
    ///
    /// - Parameters:
    ///   - query: Words of the name; empty finds all.
    ///   - author: Whose models, such as `mlx-community`.
    ///   - limit: How many to find, 1 to 200.
    /// - Throws: ``PocketMLXError/Code/network`` when there is no answer, or offline.
    public func search(_ query: String, author: String? = nil, limit: Int = 20) async throws -> [HubModel] {
        let request = try json(Search(query: query, author: author, limit: limit))
        return try await ask([HubModel].self) { options, out in
            withBytes(of: request, options) { pmlx_hub_search($0, $1, $2, $3, out) }
        }
    }

    /// What the hub tells of a model, or the cache when the hub is not to be asked; whether it runs, and whether it fits.
    ///
    /// - Parameters:
    ///   - id: `owner/name`, or `owner/name@revision`.
    ///   - contextLength: The context that must fit, in tokens; 4,096, or the model's own if that is shorter, when left
    ///     out.
    /// - Throws: ``PocketMLXError/Code/notFound``; ``PocketMLXError/Code/network``.
    public func info(_ id: String, contextLength: Int? = nil) async throws -> HubModel {
        let request = try json(contextLength.map { ["context_length": $0] } ?? [:])
        return try await ask(HubModel.self) { options, out in
            withBytes(of: request, options) { request, requestLength, options, optionsLength in
                withBytes(of: id) { pmlx_hub_info($0, $1, request, requestLength, options, optionsLength, out) }
            }
        }
    }

    /// Models of the catalogue in the library, those first that suit this device best. Asks no hub.
    ///
    /// - Parameters:
    ///   - task: What they are wanted for; any when left out.
    ///   - limit: The most to name; all when left out.
    /// - Throws: ``PocketMLXError``.
    public static func recommend(
        task: Recommendation.Task? = nil,
        limit: Int? = nil
    ) async throws -> [Recommendation] {
        let request = try json(Recommend(task: task, limit: limit))
        let text = try await BlockingThreads.shared.runAlone {
            try string { out in withBytes(of: request) { pmlx_hub_recommend($0, $1, out) } }
        }
        return try value([Recommendation].self, from: text)
    }

    private struct Search: Encodable {
        let query: String
        let author: String?
        let limit: Int
    }

    private struct Recommend: Encodable {
        let task: Recommendation.Task?
        let limit: Int?
    }
}

/// A model on a hub or in the cache. What was not told is nothing, or empty.
public struct HubModel: Sendable, Equatable, Decodable, Identifiable {
    /// `owner/name`.
    public let id: String
    /// The commit's hash.
    public let commit: String?
    /// When the repository was last changed (ISO 8601, UTC).
    public let lastModified: String?
    /// The licence's name on the model card.
    public let license: String?
    /// Whether its terms must be accepted on its page first; ``accessHint`` says how.
    public let gated: Gated
    /// How its terms are accepted, where that must be done.
    public let accessHint: String
    /// The models that it was made from.
    public let baseModels: [String]
    /// The architecture's name in its configuration.
    public let modelType: String?
    /// How its weights are stored.
    public let quantization: Quantization?
    /// Bytes that a download fetches.
    public let downloadBytes: UInt64?
    /// Downloads of the last month.
    public let downloads: UInt64?
    /// Whether it lies in the cache with all that a run needs.
    public let isCached: Bool
    /// Whether this version runs it; nothing when that can't be told.
    public let isSupported: Bool?
    /// Why it does not run, or why that is not known.
    public let reason: String
    /// Numbers in its weights.
    public let parameters: UInt64?
    /// The context that it was trained for, in tokens.
    public let contextLength: Int?
    /// What it takes on this device.
    public let fit: ModelFit?

    enum CodingKeys: String, CodingKey {
        case id, commit, license, gated, quantization, downloads, reason, parameters, fit
        case lastModified = "last_modified"
        case accessHint = "access_hint"
        case baseModels = "base_models"
        case modelType = "model_type"
        case downloadBytes = "download_bytes"
        case isCached = "cached"
        case isSupported = "supported"
        case contextLength = "context_length"
    }

    /// Whether terms must be accepted before files are given out. Later versions may add kinds.
    public struct Gated: RawRepresentable, Hashable, Sendable, Decodable {
        /// The name in the C interface.
        public let rawValue: String

        /// A kind by its name.
        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Nothing is to be accepted.
        public static let no = Gated(rawValue: "no")
        /// Access is given at once.
        public static let auto = Gated(rawValue: "auto")
        /// The authors decide.
        public static let manual = Gated(rawValue: "manual")
    }

    /// How weights are stored.
    public struct Quantization: Sendable, Equatable, Decodable {
        /// The common name, such as `4bit`, `mxfp4`, `bf16`.
        public let name: String
        /// Bits of a code or number.
        public let bits: Int
    }
}

/// What a model takes on this device, and what there is.
public struct ModelFit: Sendable, Equatable, Decodable {
    /// Whether it fits.
    public let fits: Bool
    /// Bytes of weights, of one conversation and of work buffers.
    public let neededBytes: UInt64
    /// Bytes that a model may take here.
    public let memoryBytes: UInt64
    /// Bytes that are missing; 0 when it fits.
    public let missingBytes: UInt64
    /// Tokens a second that one conversation may expect, where the memory's speed is measured.
    public let tokensPerSecond: Double?
    /// All this in words.
    public let reason: String

    enum CodingKeys: String, CodingKey {
        case fits, reason
        case neededBytes = "needed_bytes"
        case memoryBytes = "memory_bytes"
        case missingBytes = "missing_bytes"
        case tokensPerSecond = "tokens_per_second"
    }
}

/// A model of the catalogue on this device.
public struct Recommendation: Sendable, Equatable, Decodable, Identifiable {
    /// `owner/name`.
    public let id: String
    /// What it is good for.
    public let tasks: [Task]
    /// Whether this version runs it.
    public let isSupported: Bool
    /// Numbers in its weights, where its shape is known.
    public let parameters: UInt64?
    /// What it takes and how fast it would be, where its shape is known.
    public let fit: ModelFit?
    /// Why it stands where it does.
    public let reason: String

    enum CodingKeys: String, CodingKey {
        case id, tasks, parameters, fit, reason
        case isSupported = "supported"
    }

    /// What a model is wanted for. Later versions may add tasks.
    public struct Task: RawRepresentable, Hashable, Sendable, Codable {
        /// The name in the C interface.
        public let rawValue: String

        /// A task by its name.
        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Conversations.
        public static let chat = Task(rawValue: "chat")
        /// Programs.
        public static let code = Task(rawValue: "code")
        /// Thinking before it answers.
        public static let reasoning = Task(rawValue: "reasoning")
        /// Pictures, too.
        public static let vision = Task(rawValue: "vision")
        /// Texts to vectors.
        public static let embedding = Task(rawValue: "embedding")
        /// Small enough for a phone.
        public static let small = Task(rawValue: "small")
    }
}
