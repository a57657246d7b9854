#if canImport(FoundationModels, _version: 2)
    import FoundationModels
    import PocketMLX

    /// A transcript of the system as messages: what was said before, and the prompt at its end.
    @available(iOS 27.0, macOS 27.0, *)
    struct TranscriptMessages {
        private(set) var history: [Message] = []
        private(set) var prompt = ""

        /// Takes text; anything else is refused, because leaving it out would change the answer.
        init(_ transcript: Transcript) throws {
            for entry in transcript {
                switch entry {
                case .instructions(let instructions): try add(.system, instructions.segments, entry)
                case .prompt(let prompt): try add(.user, prompt.segments, entry)
                case .response(let response): try add(.assistant, response.segments, entry)
                default: throw Self.unsupported(entry)
                }
            }
            if history.last?.role == .user {
                prompt = history.removeLast().content
            }
        }

        private mutating func add(
            _ role: Message.Role,
            _ segments: [Transcript.Segment],
            _ entry: Transcript.Entry
        ) throws {
            let texts = try segments.map { segment in
                guard case .text(let text) = segment else { throw Self.unsupported(entry) }
                return text.content
            }
            history.append(Message(role: role, content: texts.joined(separator: "\n")))
        }

        private static func unsupported(_ entry: Transcript.Entry) -> LanguageModelError {
            .unsupportedTranscriptContent(
                .init(unsupportedContent: [entry], debugDescription: "PocketMLX takes text only, without tools"))
        }
    }
#endif
