import Foundation
import PocketMLX
import Testing

@Suite struct ErrorTests {
    @Test func codesTellWhatHappened() async throws {
        #expect(await code { try await Model.load("/no/such/model") } == .notFound)
        #expect(await code { try await Model.probe("/no/such/model") } == .notFound)
        #expect(await code { try await Model.load(.demo, contextLength: 1) } == .invalidArgument)

        var options = EngineOptions()
        options.memoryLimitBytes = 100_000
        let tiny = try Engine(options: options)
        #expect(await code { try await Model.load(.demo, engine: tiny) } == .outOfMemory)
        options.memoryLimitBytes = nil
        options.threads = 100_000
        #expect(await code { try Engine(options: options) } == .invalidArgument)

        let session = try await Demo.session()
        for (temperature, word) in [(-1.0, "temperature"), (.nan, "temperature")] {
            let options = GenerationOptions(temperature: temperature)
            do {
                _ = try await session.respond(to: "Hello", options: options)
                Issue.record("temperature \(temperature) was taken")
            } catch let error as PocketMLXError {
                #expect(error.code == .invalidArgument && error.message.contains(word))
            }
        }
        #expect(try session.history.isEmpty)
        #expect(await code { try await Demo.model.text(of: [1_000_000]) } == .invalidArgument)
    }

    @Test func brokenFilesAreNamed() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pocketmlx-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("{".utf8).write(to: folder.appendingPathComponent("config.json"))
        do {
            _ = try await Model.load(.folder(folder))
            Issue.record("half an object was taken for a configuration")
        } catch let error as PocketMLXError {
            #expect(error.code == .corruptFile && error.message.contains("config.json"))
            #expect(error.errorDescription == error.message)
        }
    }

    @Test func aSuspendedEngineRefuses() async throws {
        let engine = try Engine()
        let model = try await Model.load(.demo, engine: engine)
        try await engine.suspend()
        #expect(try await engine.info().isSuspended)
        #expect(await code { try await Session(model: model).respond(to: "Hello") } == .suspended)
        #expect(await code { try await Model.load(.demo, engine: engine) } == .suspended)
        try engine.resume()
        #expect(try await !Session(model: model).respond(to: "Hello").content.isEmpty)
    }

    @Test func nothingWorksAfterClose() async throws {
        let engine = try Engine()
        let model = try await Model.load(.demo, engine: engine)
        let session = Session(model: model)
        let stream = session.streamResponse(to: "Hello", options: try await Demo.endless(1000))
        var iterator = stream.makeAsyncIterator()
        _ = try await iterator.next()

        session.close()
        session.close()
        session.cancel()
        var last: ResponseStream.Snapshot?
        while let snapshot = try await iterator.next() { last = snapshot }
        #expect(last?.completion?.finishReason == .cancelled)
        #expect(await code { try await session.respond(to: "Hello") } == .invalidArgument)
        #expect(await code { try session.history } == .invalidArgument)
        #expect(await code { try await session.fork() } == .invalidArgument)
        #expect(await code { try await session.prewarm() } == .invalidArgument)

        let alive = Session(model: model)
        model.close()
        #expect(await code { try await model.info() } == .invalidArgument)
        #expect(await code { try model.tokens(of: "Hello") } == .invalidArgument)
        #expect(await code { try await Session(model: model).respond(to: "Hello") } == .invalidArgument)
        #expect(try await !alive.respond(to: "Hello").content.isEmpty)

        engine.close()
        #expect(await code { try await engine.info() } == .invalidArgument)
        #expect(await code { try engine.resume() } == .invalidArgument)
        #expect(await code { try await Model.load(.demo, engine: engine) } == .invalidArgument)
        #expect(try await !alive.respond(to: "Hello").content.isEmpty)
    }
}
