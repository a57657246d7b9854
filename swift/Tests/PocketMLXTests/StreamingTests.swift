import Foundation
import PocketMLX
import Testing

@Suite struct StreamingTests {
    @Test func snapshotsGrowToTheWholeAnswer() async throws {
        let session = try await Demo.session()
        var before = ""
        var last: ResponseStream.Snapshot?
        for try await snapshot in session.streamResponse(to: "Who are you?") {
            #expect(last?.completion == nil)
            #expect(snapshot.content == before + snapshot.newContent)
            before = snapshot.content
            last = snapshot
        }
        let completion = try #require(last?.completion)
        #expect(completion.finishReason == .stop)
        #expect(completion.usage.promptTokens > 0 && completion.usage.completionTokens > 1)
        #expect(completion.timings.tokensPerSecond > 0)
        #expect(before.contains("PocketMLX"))
        let whole = try await Demo.session().respond(to: "Who are you?")
        #expect(whole.content == before)
    }

    @Test func eventsComeInOrder() async throws {
        let session = try await Demo.session()
        var kinds: [String] = []
        var total = 0
        for try await event in session.streamEvents(to: "What can you do?") {
            switch event {
            case .prompt(let done, let all):
                #expect(done <= all)
                total = all
                kinds.append("prompt")
            case .text(_, let tokens):
                #expect(!tokens.isEmpty)
                kinds.append("text")
            case .done(let completion):
                #expect(completion.usage.promptTokens == total)
                kinds.append("done")
            default:
                Issue.record("unexpected \(event)")
            }
        }
        #expect(kinds.first == "prompt" && kinds.last == "done" && kinds.contains("text"))
        #expect(kinds.drop { $0 == "prompt" }.dropLast().allSatisfy { $0 == "text" })
    }

    @Test func logprobsHaveAlternatives() async throws {
        var options = GenerationOptions(maximumResponseTokens: 4)
        options.logprobs = 3
        var reports: [TokenLogprob] = []
        for try await event in try await Demo.session().streamEvents(to: "Hello", options: options) {
            if case .logprobs(let some) = event { reports += some }
        }
        #expect(!reports.isEmpty)
        for report in reports {
            #expect(report.top.count == 3 && report.logprob <= 0)
            #expect(report.top[0].logprob >= report.top[1].logprob)
        }
    }

    /// A character of four bytes and as many tokens, which the model is made to say in random order.
    @Test func textIsWholeCharacters() async throws {
        let model = try await Demo.model
        let parts = Set(try model.tokens(of: "𓀀é€"))
        #expect(parts.count > 3)
        for seed: UInt64 in 1...5 {
            var options = try await Demo.endless(60, seed: seed)
            for part in parts { options.logitBias[part] = 100 }
            let session = Session(model: model)
            let answer = try await read(session.streamEvents(to: "Hello", options: options))
            #expect(answer.tokens.allSatisfy(parts.contains))
            // Where a character is cut, its halves are replaced and the text differs.
            let whole = try model.text(of: answer.tokens)
            #expect(answer.text == whole)
        }
    }

    @Test func aSlowReaderSlowsOnlyItself() async throws {
        let options = try await Demo.endless(300, seed: 7)
        let expected = try await read(try await Demo.session().streamEvents(to: "Hello", options: options))
        let slow = try await Demo.session().streamEvents(to: "Hello", options: options).makeAsyncIterator()
        var iterator = slow
        var text = ""
        var events = 0
        while let event = try await iterator.next() {
            if case .text(let piece, _) = event { text += piece }
            events += 1
            if events == 5 {
                // Meanwhile the channel fills, and others go on.
                let other = try await Demo.session().respond(to: "Who are you?")
                #expect(other.completion.finishReason == .stop)
                try await Task.sleep(for: .milliseconds(300))
            }
        }
        #expect(text == expected.text)
    }

    @Test func aSlowReaderGetsTheNewestSnapshot() async throws {
        let options = try await Demo.endless(100, seed: 3)
        let session = try await Demo.session()
        var count = 0
        var last: ResponseStream.Snapshot?
        for try await snapshot in session.streamResponse(to: "Hello", options: options) {
            count += 1
            last = snapshot
            try await Task.sleep(for: .milliseconds(50))
        }
        #expect(last?.completion?.usage.completionTokens == 100)
        #expect(count < 90)
    }

    @Test func aStreamIsReadOnce() async throws {
        let stream = try await Demo.session().streamResponse(to: "Hello")
        _ = try await stream.collect()
        #expect(await code { try await stream.collect() } == .busy)
    }

    @Test func seedsRepeat() async throws {
        func answer(_ seed: UInt64) async throws -> String {
            try await read(try await Demo.session().streamEvents(to: "Hi", options: Demo.endless(30, seed: seed))).text
        }
        #expect(try await answer(5) == answer(5))
        #expect(try await answer(5) != answer(6))
    }

    @Test func stopStringsAndLimitsHold() async throws {
        let session = try await Demo.session()
        let free = try await session.respond(to: "Who are you?").content
        let word = try #require(free.split(separator: " ").dropFirst(3).first)
        var options = GenerationOptions()
        options.stop = [String(word)]
        let stopped = try await Demo.session().respond(to: "Who are you?", options: options)
        #expect(!stopped.content.contains(word) && free.hasPrefix(stopped.content))
        let few = GenerationOptions(maximumResponseTokens: 3)
        let short = try await Demo.session().respond(to: "Who are you?", options: few)
        #expect(short.completion.finishReason == .length && short.completion.usage.completionTokens == 3)
    }
}
