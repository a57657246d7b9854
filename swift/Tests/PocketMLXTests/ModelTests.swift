import Foundation
import PocketMLX
import Testing

@Suite struct ModelTests {
    @Test func progressReachesTheEnd() async throws {
        let seen = Seen<Model.Progress>()
        _ = try await Model.load(.demo) { seen.add($0) }
        let all = seen.all
        #expect(all.first?.stage == .check)
        let last = try #require(all.last)
        #expect(last.fractionCompleted == 1 && last.totalBytes > 1_000_000 && last.item == "demo")
    }

    @Test func infoAndProbeAgree() async throws {
        let info = try await Demo.model.info()
        #expect(info.source == "demo" && info.hasChatTemplate && info.contextLength == 2048)
        let probe = try await Model.probe(.demo)
        #expect(probe.modelType == info.modelType && probe.contextLength == 2048)
        #expect(probe.memory.totalBytes > probe.memory.weightBytes)
        #expect(try await Model.probe(.demo, contextLength: 100).memory.contextLength == 100)
        let small = try await Model.probe(.demo, kvBits: .four).memory
        #expect(small.totalBytes < probe.memory.totalBytes)
    }

    @Test func tokensAreText() async throws {
        let model = try await Demo.model
        for text in ["Hello, world!", "grün 𓀀\0 end", ""] {
            #expect(try model.text(of: model.tokens(of: text)) == text)
        }
    }

    @Test func exactPrecisionWorks() async throws {
        let model = try await Model.load("demo", precision: .exact, kvBits: .four, contextLength: 512)
        #expect(try await model.info().contextLength == 512)
        #expect(try await Session(model: model).respond(to: "Who are you?").content.contains("PocketMLX"))
    }

    @Test func memoryGoesBack() async throws {
        let engine = try Engine()
        var model: Model? = try await Model.load(.demo, engine: engine)
        #expect(try await engine.info().memoryUsedBytes > 1_000_000)
        var session: Session? = Session(model: try #require(model))
        _ = try await session?.respond(to: "Hello")
        #expect(try await engine.trim() > 0)
        model = nil
        session = nil
        #expect(try await eventually { try await engine.info().memoryUsedBytes == 0 })
    }

    @Test func engineFollowsTheApp() async throws {
        let engine = try Engine()
        let model = try await Model.load(.demo, engine: engine)
        let session = Session(model: model)
        _ = try await session.respond(to: "Hello")
        let before = try await engine.info().memoryUsedBytes
        await engine.adapt(to: .memoryWarning)
        #expect(try await engine.info().memoryUsedBytes < before)
        // Going to the background pauses an answer, and coming back lets it go on.
        let options = try await Demo.endless(400)
        let expected = try await read(Session(model: model).streamEvents(to: "Hello", options: options)).text
        var iterator = Session(model: model).streamEvents(to: "Hello", options: options).makeAsyncIterator()
        _ = try await iterator.next()
        await engine.adapt(to: .background)
        #expect(try await engine.info().isSuspended)
        await engine.adapt(to: .foreground)
        var text = ""
        while let event = try await iterator.next() {
            if case .text(let piece, _) = event { text += piece }
        }
        #expect(text == expected)
    }

    @Test func theSharedEngineIsOne() async throws {
        #expect(try Engine.shared() === Engine.shared())
        #expect(try await Demo.model.engine === Engine.shared())
    }
}

/// What a callback saw, from any thread.
final class Seen<Value: Sendable>: @unchecked Sendable {
    // Sendable: every access holds `lock`.
    private let lock = NSLock()
    private var values: [Value] = []

    func add(_ value: Value) {
        lock.withLock { values.append(value) }
    }

    var all: [Value] {
        lock.withLock { values }
    }
}
