/// What a loaded model is.
public struct ModelInfo: Sendable, Equatable, Decodable {
    /// Where it came from.
    public let source: String
    /// The architecture's name in `config.json`.
    public let modelType: String
    /// What computes, such as `cpu` or `mlx-gpu`.
    public let device: String
    /// The most tokens of prompt and answer.
    public let contextLength: Int
    /// Bytes that its weights take.
    public let weightBytes: UInt64
    /// Whether it has a chat template, and so can hold a conversation.
    public let hasChatTemplate: Bool

    enum CodingKeys: String, CodingKey {
        case source, device
        case modelType = "model_type"
        case contextLength = "context_length"
        case weightBytes = "weight_bytes"
        case hasChatTemplate = "chat_template"
    }
}

/// What a model would be and take, found without loading it.
public struct ModelProbe: Sendable, Equatable, Decodable {
    /// The architecture's name in `config.json`.
    public let modelType: String
    /// The context that the model was trained for, in tokens.
    public let contextLength: Int
    /// The memory that it takes.
    public let memory: Memory

    enum CodingKeys: String, CodingKey {
        case memory
        case modelType = "model_type"
        case contextLength = "context_length"
    }

    /// Memory of weights and of one conversation, in bytes.
    public struct Memory: Sendable, Equatable, Decodable {
        /// The context that this is estimated for, in tokens.
        public let contextLength: Int
        /// Weights.
        public let weightBytes: UInt64
        /// Weights, the state of one conversation and work buffers.
        public let totalBytes: UInt64

        enum CodingKeys: String, CodingKey {
            case contextLength = "context_length"
            case weightBytes = "weight_bytes"
            case totalBytes = "total_bytes"
        }
    }
}
