/// A whole answer.
public struct Response: Sendable, Equatable {
    /// The answer's text.
    public let content: String
    /// Why it ended, token counts, rates.
    public let completion: Completion
}
