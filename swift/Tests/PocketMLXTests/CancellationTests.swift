import Foundation
import PocketMLX
import Testing

@Suite struct CancellationTests {
    @Test func beforeTheStart() async throws {
        let session = try await Demo.session()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await session.respond(to: "Hello")
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try session.history.isEmpty)
        #expect(try await !session.respond(to: "Hello").content.isEmpty)
    }

    @Test func aStreamThatWasNotRead() async throws {
        let session = try await Demo.session()
        let stream = session.streamResponse(to: "Hello")
        stream.cancel()
        for try await _ in stream { Issue.record("a snapshot of a stream that was cancelled before") }
        #expect(try session.history.isEmpty)
    }

    @Test func inPrefill() async throws {
        let session = try await Demo.session()
        let (seen, sawPrompt) = AsyncStream<Int>.makeStream()
        let task = Task {
            for try await event in session.streamEvents(to: Demo.longPrompt) {
                if case .prompt(let done, let total) = event, done < total { sawPrompt.yield(done) }
                if case .text = event { Issue.record("the prompt was not cancelled") }
            }
        }
        for await _ in seen { break }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await !session.respond(to: "Hello").content.isEmpty)
    }

    @Test func inDecode() async throws {
        let session = try await Demo.session()
        let options = try await Demo.endless(1000)
        let (seen, sawText) = AsyncStream<Void>.makeStream()
        let task = Task {
            for try await event in session.streamEvents(to: "Hello", options: options) {
                if case .text = event { sawText.yield() }
            }
        }
        var texts = 0
        for await _ in seen {
            texts += 1
            if texts == 3 { break }
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await eventually { try session.history.last?.isPartial == true })
        #expect(try await session.respond(to: "Who are you?").completion.finishReason == .stop)
    }

    /// Cancelling ends a wait also while the engine is suspended and nothing comes.
    @Test func whileNothingComes() async throws {
        let engine = try Engine()
        let model = try await Model.load(.demo, engine: engine)
        let session = Session(model: model)
        let options = try await Demo.endless(1500)
        let (seen, sawText) = AsyncStream<Void>.makeStream()
        let task = Task {
            for try await event in session.streamEvents(to: "Hello", options: options) {
                if case .text = event { sawText.yield() }
            }
        }
        for await _ in seen { break }
        try await engine.suspend()
        try await Task.sleep(for: .milliseconds(100))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try engine.resume()
        #expect(try await eventually { try session.history.last?.isPartial == true })
    }

    @Test func leavingTheLoop() async throws {
        let session = try await Demo.session()
        let options = try await Demo.endless(1000)
        // The stream itself lives on.
        let stream = session.streamResponse(to: "Hello", options: options)
        for try await snapshot in stream where !snapshot.content.isEmpty { break }
        #expect(try await eventually { try session.history.last?.isPartial == true })
        #expect(try session.history.map(\.role) == [.user, .assistant])
        #expect(try await session.respond(to: "Who are you?").completion.finishReason == .stop)
        withExtendedLifetime(stream) {}
    }

    @Test func droppingTheIterator() async throws {
        let session = try await Demo.session()
        let options = try await Demo.endless(1000)
        var iterator: EventStream.Iterator? = session.streamEvents(to: "Hello", options: options).makeAsyncIterator()
        _ = try await iterator?.next()
        #expect(await code { try await session.respond(to: "And?") } == .busy)
        iterator = nil
        #expect(try await session.respond(to: "Who are you?").completion.finishReason == .stop)
        // Dropped without a read.
        _ = session.streamResponse(to: "Hello", options: options)
        #expect(try await session.respond(to: "Who are you?").completion.finishReason == .stop)
    }

    @Test func stopButton() async throws {
        let session = try await Demo.session()
        let options = try await Demo.endless(1000)
        var last: ResponseStream.Snapshot?
        for try await snapshot in session.streamResponse(to: "Hello", options: options) {
            session.cancel()
            last = snapshot
        }
        #expect(last?.completion?.finishReason == .cancelled)
        #expect(try session.history.last == Message(role: .assistant, content: last?.content ?? "", isPartial: true))
        session.cancel()
    }

    @Test func streamCancel() async throws {
        let session = try await Demo.session()
        let stream = session.streamEvents(to: "Hello", options: try await Demo.endless(1000))
        var reason: Completion.FinishReason?
        for try await event in stream {
            if case .text = event { stream.cancel() }
            if case .done(let completion) = event { reason = completion.finishReason }
        }
        #expect(reason == .cancelled)
    }

    @Test func loading() async throws {
        let engine = try Engine()
        let task = Task {
            try await Model.load(.demo, engine: engine) { _ in
                withUnsafeCurrentTask { $0?.cancel() }
            }
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await eventually { try await engine.info().memoryUsedBytes == 0 })
    }
}
