/// An answer as snapshots: each holds all the text so far. What comes while the reader is busy is put together into the
/// next snapshot, so a slow screen always draws the newest text.
///
/// It starts, ends and is cancelled as an ``EventStream``.
public struct ResponseStream: AsyncSequence, Sendable {
    /// The elements.
    public typealias Element = Snapshot

    let generation: Generation

    /// An answer so far.
    public struct Snapshot: Sendable, Equatable {
        /// All the text so far; whole characters of UTF-8.
        public let content: String
        /// What the snapshot before this one did not have.
        public let newContent: String
        /// Why the answer ended, token counts, rates; set in the last snapshot.
        public let completion: Completion?
    }

    /// Ends the answer: the last snapshot says ``Completion/FinishReason/cancelled``.
    public func cancel() {
        generation.cancel()
    }

    /// The whole answer, after its end.
    ///
    /// - Throws: ``PocketMLXError``, or `CancellationError` when the task is cancelled.
    public func collect() async throws -> Response {
        var last: Snapshot?
        for try await snapshot in self {
            last = snapshot
        }
        guard let last, let completion = last.completion else {
            // Only a stream that was cancelled before it began has no end of its own.
            throw CancellationError()
        }
        return Response(content: last.content, completion: completion)
    }

    /// The reader. Only the first one of a stream can read.
    public func makeAsyncIterator() -> Iterator {
        Iterator(reader: Reader(generation))
    }

    /// Reads the snapshots of an answer.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let reader: Reader
        var content = ""

        init(reader: Reader) {
            self.reader = reader
        }

        /// The next snapshot, or nothing after the last one.
        ///
        /// - Throws: ``PocketMLXError``, or `CancellationError` when the task is cancelled.
        public mutating func next() async throws -> Snapshot? {
            while var event = try await reader.next() {
                var newContent = ""
                var completion: Completion?
                while true {
                    switch event {
                    case .text(let text, _): newContent += text
                    case .done(let done): completion = done
                    case .prompt, .reasoning, .toolCall, .logprobs: break
                    }
                    // A failure comes again with the next read; what was read before it is not lost.
                    guard let more = (try? reader.nextIfReady()) ?? nil else { break }
                    event = more
                }
                if completion != nil || !newContent.isEmpty {
                    content += newContent
                    return Snapshot(content: content, newContent: newContent, completion: completion)
                }
            }
            return nil
        }
    }
}
