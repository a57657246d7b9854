/// One message of a transcript.
public struct Message: Sendable, Equatable, Codable {
    /// Who speaks.
    public var role: Role
    /// What is said.
    public var content: String
    /// An answer that was cancelled or failed before its end.
    public var isPartial: Bool

    /// Who speaks in a transcript; the model's chat template may know more roles than these.
    public struct Role: RawRepresentable, Hashable, Sendable, Codable {
        /// The name that the chat template sees.
        public let rawValue: String

        /// A role by its name.
        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Instructions.
        public static let system = Role(rawValue: "system")
        /// The person.
        public static let user = Role(rawValue: "user")
        /// The model.
        public static let assistant = Role(rawValue: "assistant")
    }

    /// A message with text.
    public init(role: Role, content: String, isPartial: Bool = false) {
        self.role = role
        self.content = content
        self.isPartial = isPartial
    }

    enum CodingKeys: String, CodingKey {
        case role, content
        case isPartial = "partial"
    }

    /// Reads a message of a transcript: content may be text, parts of text, or missing.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        role = try container.decode(Role.self, forKey: .role)
        isPartial = try container.decodeIfPresent(Bool.self, forKey: .isPartial) ?? false
        if let parts = try? container.decode([Part].self, forKey: .content) {
            content = parts.compactMap(\.text).joined()
        } else {
            content = try container.decodeIfPresent(String.self, forKey: .content) ?? ""
        }
    }

    /// Writes a message as the C interface takes it.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(role, forKey: .role)
        try container.encode(content, forKey: .content)
        if isPartial {
            try container.encode(true, forKey: .isPartial)
        }
    }

    private struct Part: Decodable {
        let text: String?
    }
}
