/// The summary at the end of an answer.
public struct Completion: Sendable, Equatable, Decodable {
    /// Why it ended.
    public let finishReason: FinishReason
    /// Token counts.
    public let usage: Usage
    /// Durations and rates.
    public let timings: Timings

    enum CodingKeys: String, CodingKey {
        case finishReason = "finish_reason"
        case usage, timings
    }

    /// Why an answer ended. Later versions may add reasons.
    public struct FinishReason: RawRepresentable, Hashable, Sendable, Decodable {
        /// The name in the C interface.
        public let rawValue: String

        /// A reason by its name.
        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// The model ended its answer, or a stop string was met.
        public static let stop = FinishReason(rawValue: "stop")
        /// The most tokens or the end of the context was reached.
        public static let length = FinishReason(rawValue: "length")
        /// The answer was cancelled.
        public static let cancelled = FinishReason(rawValue: "cancelled")
    }

    /// Token counts of an answer.
    public struct Usage: Sendable, Equatable, Decodable {
        /// Tokens of the prompt.
        public let promptTokens: Int
        /// Tokens generated, an end-of-text token included.
        public let completionTokens: Int
        /// Tokens of the prompt whose state was found in the cache.
        public let cachedTokens: Int

        enum CodingKeys: String, CodingKey {
            case promptTokens = "prompt_tokens"
            case completionTokens = "completion_tokens"
            case cachedTokens = "cached_tokens"
        }
    }

    /// Durations and rates of an answer.
    public struct Timings: Sendable, Equatable, Decodable {
        /// Milliseconds from the start to the first token.
        public let timeToFirstTokenMilliseconds: Double
        /// Prompt tokens computed a second, cached ones not counted.
        public let promptTokensPerSecond: Double
        /// Tokens after the first a second.
        public let tokensPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case timeToFirstTokenMilliseconds = "ttft_ms"
            case promptTokensPerSecond = "prefill_tokens_per_second"
            case tokensPerSecond = "decode_tokens_per_second"
        }
    }
}
