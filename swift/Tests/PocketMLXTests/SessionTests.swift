import PocketMLX
import Testing

@Suite struct SessionTests {
    @Test func historyGrowsAndRewinds() async throws {
        let session = try await Demo.session(instructions: "Answer in capital letters.")
        let first = try await session.respond(to: "Hello")
        let expected = [
            Message(role: .system, content: "Answer in capital letters."),
            Message(role: .user, content: "Hello"),
            Message(role: .assistant, content: first.content),
        ]
        #expect(try session.history == expected)
        _ = try await session.respond(to: "Who are you?")
        #expect(try session.history.count == 5)
        try await session.rewind(toMessageCount: 3)
        #expect(try session.history == expected)
        #expect(await code { try await session.rewind(toMessageCount: 4) } == .invalidArgument)
        #expect(await code { try await session.rewind(toMessageCount: -1) } == .invalidArgument)
    }

    @Test func forksGoTheirOwnWays() async throws {
        let session = try await Demo.session()
        _ = try await session.respond(to: "My name is Ada.")
        let fork = try await session.fork()
        let answer = try await fork.respond(to: "What is my name?")
        #expect(answer.content.contains("Ada"))
        #expect(answer.completion.usage.cachedTokens > 0)
        #expect(try session.history.count == 2)
        #expect(try fork.history.count == 4)
    }

    @Test func transcriptsGoOn() async throws {
        let session = try await Demo.session()
        _ = try await session.respond(to: "My name is Ada.")
        let copy = Session(model: try await Demo.model, transcript: try session.history)
        #expect(try copy.history == session.history)
        #expect(try await copy.respond(to: "What is my name?").content.contains("Ada"))
    }

    @Test func prewarmingComputesThePrompt() async throws {
        let instructions = "You are the prewarmed assistant number 4711. " + String(Demo.longPrompt.prefix(400))
        let cold = try await Demo.session(instructions: instructions)
        try await cold.prewarm(promptPrefix: "Tell me a story about")
        #expect(try cold.history.count == 1)
        let options = GenerationOptions(maximumResponseTokens: 1)
        let usage = try await cold.respond(to: "Tell me a story about a cat.", options: options).completion.usage
        #expect(usage.cachedTokens > usage.promptTokens * 3 / 4)
    }

    @Test func oneAnswerAtATime() async throws {
        let session = try await Demo.session()
        var iterator = session.streamEvents(to: "Hello", options: try await Demo.endless(500)).makeAsyncIterator()
        _ = try await iterator.next()
        #expect(await code { try await session.respond(to: "Hello") } == .busy)
        #expect(await code { try await session.fork() } == .busy)
        #expect(await code { try await session.rewind(toMessageCount: 0) } == .busy)
        session.cancel()
        #expect(try await !session.respond(to: "Hello").content.isEmpty)
    }

    @Test func sessionsOutliveWhatTheyCameFrom() async throws {
        var engine: Engine? = try Engine()
        var model: Model? = try await Model.load(.demo, engine: engine)
        let session = Session(model: try #require(model))
        model = nil
        engine = nil
        #expect(try await !session.respond(to: "Hello").content.isEmpty)
    }

    @Test func longConversationsDropTheirOldestTurns() async throws {
        let session = try await Demo.session()
        #expect(await code { try await session.respond(to: Demo.longPrompt + Demo.longPrompt) } == .contextOverflow)
        #expect(try session.history.isEmpty)
        let model = try await Model.load(.demo, contextLength: 100)
        let short = Session(model: model)
        var options = GenerationOptions(maximumResponseTokens: 20)
        options.contextOverflow = .dropOldestTurns
        for _ in 0..<6 {
            _ = try await short.respond(to: "Tell me a story about a cat.", options: options)
        }
        #expect(try short.history.count == 12)
    }
}
