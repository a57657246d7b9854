import CPocketMLX

/// One step of an answer, in order: `prompt` while the prompt is processed, then `text` (with `logprobs` before it when
/// asked for), and `done` at the end. Later versions may add cases.
public enum GenerationEvent: Sendable, Equatable {
    /// The prompt is being processed: tokens done, those found in the cache included, of all its tokens.
    case prompt(done: Int, total: Int)
    /// Newly generated text, whole characters of UTF-8, with the token ids behind it. May be empty.
    case text(String, tokens: [UInt32])
    /// Newly generated reasoning, as `text`. No model produces it yet.
    case reasoning(String, tokens: [UInt32])
    /// A call of a tool, as JSON. No model produces it yet.
    case toolCall(json: String)
    /// Log-probabilities of the tokens of the text that follows.
    case logprobs([TokenLogprob])
    /// The end.
    case done(Completion)
}

/// A token's log-probability (natural logarithm) and its most likely alternatives.
public struct TokenLogprob: Sendable, Equatable, Decodable {
    /// The token's id.
    public let token: UInt32
    /// Its log-probability under the model, before temperature and filters.
    public let logprob: Double
    /// The most likely tokens, best first; as many as were asked for.
    public let top: [Alternative]

    /// A token that could have been picked.
    public struct Alternative: Sendable, Equatable, Decodable {
        /// The token's id.
        public let token: UInt32
        /// Its log-probability.
        public let logprob: Double

        /// Reads `[id, logprob]`.
        public init(from decoder: any Decoder) throws {
            var pair = try decoder.unkeyedContainer()
            token = try pair.decode(UInt32.self)
            logprob = try pair.decode(Double.self)
        }
    }
}

extension GenerationEvent {
    /// What the C library shows; nothing for a kind that this version doesn't know.
    init?(_ event: pmlx_event) throws {
        switch event.kind {
        case PMLX_EVENT_PROMPT:
            self = .prompt(done: Int(event.done), total: Int(event.total))
        case PMLX_EVENT_TEXT:
            self = .text(PocketMLX.text(event.text, event.text_len), tokens: Self.tokens(event))
        case PMLX_EVENT_REASONING:
            self = .reasoning(PocketMLX.text(event.text, event.text_len), tokens: Self.tokens(event))
        case PMLX_EVENT_TOOL_CALL:
            self = .toolCall(json: PocketMLX.text(event.json, event.json_len))
        case PMLX_EVENT_LOGPROBS:
            self = .logprobs(try value([TokenLogprob].self, from: PocketMLX.text(event.json, event.json_len)))
        case PMLX_EVENT_DONE:
            self = .done(try value(Completion.self, from: PocketMLX.text(event.json, event.json_len)))
        default:
            return nil
        }
    }

    private static func tokens(_ event: pmlx_event) -> [UInt32] {
        Array(UnsafeBufferPointer(start: event.tokens, count: event.tokens_len))
    }
}
