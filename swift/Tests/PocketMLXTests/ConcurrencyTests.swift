import Foundation
import PocketMLX
import Testing

@Suite(.serialized) struct ConcurrencyTests {
    @Test func sessionsRunAtTheSameTime() async throws {
        let options = try await Demo.endless(40)
        let alone = try await Demo.session().respond(to: "Hello", options: options).content
        let model = try await Demo.model
        let together = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 {
                group.addTask { try await Session(model: model).respond(to: "Hello", options: options).content }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(together == Array(repeating: alone, count: 8))
    }

    /// More answers than Swift has threads: none may hold one, or nothing would go on.
    @Test func aHundredSessionsNeitherDeadlockNorStarve() async throws {
        let model = try await Demo.model
        let options = try await Demo.endless(12)
        let beats = Seen<ContinuousClock.Instant>()
        let heart = Task {
            while !Task.isCancelled {
                beats.add(.now)
                try? await Task.sleep(for: .milliseconds(10))
            }
        }
        let lengths = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<100 {
                group.addTask {
                    let session = Session(model: model, instructions: "You are number \(index).")
                    return try await session.respond(to: "Hello", options: options).completion.usage.completionTokens
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        heart.cancel()
        #expect(lengths == Array(repeating: 12, count: 100))
        let times = beats.all
        let longest = zip(times, times.dropFirst()).map { $1 - $0 }.max() ?? .zero
        // A pool held up by blocking calls would stand still for as long as the answers take.
        #expect(longest < .seconds(2), "the longest gap between beats of 10 ms is \(longest)")
    }

    #if os(Linux)
        @Test func waitingHoldsNoThread() async throws {
            let engine = try Engine()
            let model = try await Model.load(.demo, engine: engine)
            let options = try await Demo.endless(200)
            let started = Seen<Int>()
            let tasks = (0..<100).map { index in
                Task {
                    for try await _ in Session(model: model).streamEvents(to: "Hello", options: options) {
                        started.add(index)
                    }
                }
            }
            #expect(try await eventually { Set(started.all).count == 100 })
            try await engine.suspend()
            try await Task.sleep(for: .milliseconds(200))
            let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
            let cores = ProcessInfo.processInfo.activeProcessorCount
            #expect(threads < 40 + 4 * cores, "\(threads) threads for 100 waiting streams")
            tasks.forEach { $0.cancel() }
            for task in tasks {
                await #expect(throws: CancellationError.self) { try await task.value }
            }
            try engine.resume()
        }

        @Test func aThousandSessionsLeaveNothingBehind() async throws {
            let model = try await Demo.model
            let options = GenerationOptions(maximumResponseTokens: 2)
            func use(_ count: Int) async throws {
                for index in 0..<count {
                    let session = Session(model: model, instructions: "Be kind.")
                    if index.isMultiple(of: 10) {
                        _ = try await session.respond(to: "Hello", options: options)
                    } else if index.isMultiple(of: 3) {
                        var iterator = session.streamEvents(to: "Hello", options: options).makeAsyncIterator()
                        _ = try await iterator.next()
                    }
                    _ = try session.history
                }
            }
            try await use(300)
            try await model.engine.trim()
            let before = try residentBytes()
            try await use(1000)
            try await model.engine.trim()
            let growth = try residentBytes() - before
            #expect(growth < 8 << 20, "1,000 sessions left \(growth) bytes")
        }

        /// Memory of this process that is in use.
        private func residentBytes() throws -> Int {
            let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
            return (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
        }
    #endif
}
