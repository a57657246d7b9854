/// An answer as its events, one by one, as they are generated.
///
/// The answer starts with the first read and is read once. A slow reader slows only its own answer. Cancelling the
/// task, leaving the loop, and dropping the iterator all end it; what was generated so far stays in the transcript,
/// marked partial. Waiting holds no thread.
public struct EventStream: AsyncSequence, Sendable {
    /// The elements.
    public typealias Element = GenerationEvent

    let generation: Generation

    /// Ends the answer: the stream gives the events that are there and then `done`, with
    /// ``Completion/FinishReason/cancelled``. A stream that was not read yet ends at once.
    public func cancel() {
        generation.cancel()
    }

    /// The reader. Only the first one of a stream can read.
    public func makeAsyncIterator() -> Iterator {
        Iterator(reader: Reader(generation))
    }

    /// Reads the events of an answer.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let reader: Reader

        /// The next event, or nothing after the last one.
        ///
        /// - Throws: ``PocketMLXError``, or `CancellationError` when the task is cancelled.
        public mutating func next() async throws -> GenerationEvent? {
            try await reader.next()
        }
    }
}
