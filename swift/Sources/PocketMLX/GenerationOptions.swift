/// How an answer is generated. What is left out has the default that is named at each property.
public struct GenerationOptions: Sendable, Equatable {
    /// The most tokens to generate. Default: what is left of the context.
    public var maximumResponseTokens: Int?
    /// Higher is more varied, 0 always picks the most likely token, at most 100. Default: 0.
    public var temperature: Double?
    /// Only the most likely tokens whose probabilities sum to this, above 0 and at most 1. Default: 1, all.
    public var topP: Double?
    /// Only this many most likely tokens. Default: all.
    public var topK: Int?
    /// Only tokens at least this likely relative to the most likely one, 0 to 1. Default: 0.
    public var minP: Double?
    /// Makes tokens seen in prompt and answer less likely; 1 is off. Default: 1.
    public var repetitionPenalty: Double?
    /// Subtracted once from the logits of tokens already generated, -2 to 2. Default: 0.
    public var presencePenalty: Double?
    /// Subtracted from the logits of a token for each time it was generated, -2 to 2. Default: 0.
    public var frequencyPenalty: Double?
    /// Added to the logits of tokens, by id, -100 to 100. Default: nothing.
    public var logitBias: [UInt32: Double] = [:]
    /// The same seed gives the same answer. Default: a new one each time.
    public var seed: UInt64?
    /// Texts that end the answer and are not part of it. Default: none.
    public var stop: [String] = []
    /// Report the log-probability of each token with this many alternatives, 0 to 20. Default: no reports.
    public var logprobs: Int?
    /// What to do when the conversation is longer than the context. Default: an error.
    public var contextOverflow: ContextOverflow?

    /// What to do when a conversation is longer than the context.
    public enum ContextOverflow: String, Sendable, Encodable {
        /// Fail with ``PocketMLXError/Code/contextOverflow``.
        case error
        /// Leave out the oldest turns; the instructions and the last turn stay.
        case dropOldestTurns = "drop_oldest_turns"
    }

    /// How a token is picked among the likely ones.
    public struct SamplingMode: Sendable, Equatable {
        let apply: Kind

        enum Kind: Sendable, Equatable {
            case greedy
            case top(Int, seed: UInt64?)
            case probability(Double, seed: UInt64?)
        }

        /// Always the most likely token.
        public static let greedy = SamplingMode(apply: .greedy)

        /// At random among the `top` most likely tokens.
        public static func random(top: Int, seed: UInt64? = nil) -> SamplingMode {
            SamplingMode(apply: .top(top, seed: seed))
        }

        /// At random among the most likely tokens whose probabilities sum to the threshold.
        public static func random(probabilityThreshold: Double, seed: UInt64? = nil) -> SamplingMode {
            SamplingMode(apply: .probability(probabilityThreshold, seed: seed))
        }
    }

    /// Options by name; a random mode without a temperature has temperature 1.
    public init(sampling: SamplingMode? = nil, temperature: Double? = nil, maximumResponseTokens: Int? = nil) {
        self.temperature = temperature
        self.maximumResponseTokens = maximumResponseTokens
        switch sampling?.apply {
        case nil:
            break
        case .greedy:
            self.temperature = 0
        case .top(let count, let seed):
            self.temperature = temperature ?? 1
            topK = count
            self.seed = seed
        case .probability(let threshold, let seed):
            self.temperature = temperature ?? 1
            topP = threshold
            self.seed = seed
        }
    }
}

/// What a session is asked, as the C interface takes it.
struct Request: Encodable {
    var messages: [Message]
    var options: GenerationOptions

    enum CodingKeys: String, CodingKey {
        case messages, temperature, seed, stop, logprobs
        case maximumResponseTokens = "max_tokens"
        case topP = "top_p"
        case topK = "top_k"
        case minP = "min_p"
        case repetitionPenalty = "repetition_penalty"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case logitBias = "logit_bias"
        case topLogprobs = "top_logprobs"
        case contextOverflow = "context_overflow"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(messages, forKey: .messages)
        try container.encodeIfPresent(options.maximumResponseTokens, forKey: .maximumResponseTokens)
        try container.encodeIfPresent(options.temperature, forKey: .temperature)
        try container.encodeIfPresent(options.topP, forKey: .topP)
        try container.encodeIfPresent(options.topK, forKey: .topK)
        try container.encodeIfPresent(options.minP, forKey: .minP)
        try container.encodeIfPresent(options.repetitionPenalty, forKey: .repetitionPenalty)
        try container.encodeIfPresent(options.presencePenalty, forKey: .presencePenalty)
        try container.encodeIfPresent(options.frequencyPenalty, forKey: .frequencyPenalty)
        try container.encodeIfPresent(options.seed, forKey: .seed)
        try container.encodeIfPresent(options.contextOverflow, forKey: .contextOverflow)
        if !options.logitBias.isEmpty {
            let byName = options.logitBias.map { (String($0.key), $0.value) }
            try container.encode(Dictionary(uniqueKeysWithValues: byName), forKey: .logitBias)
        }
        if !options.stop.isEmpty {
            try container.encode(options.stop, forKey: .stop)
        }
        if let count = options.logprobs {
            try container.encode(true, forKey: .logprobs)
            try container.encode(count, forKey: .topLogprobs)
        }
    }
}
