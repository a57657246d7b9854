import CPocketMLX

/// A running answer of the C library, read by one task. It starts with the first read.
final class Generation: Sendable {
    typealias Start = @Sendable () throws -> Owned

    private enum Stage {
        case new(Start)
        case running(Owned)
        case over
    }

    private struct State {
        var stage: Stage
        var hasReader = false
        var isCancelled = false
        /// The number of the task that waits, in `Waiters`.
        var waiting: UInt?
    }

    private enum Poll {
        case event(GenerationEvent?)
        case pending
        case finished
    }

    private let state: Locked<State>

    init(start: @escaping Start) {
        state = Locked(State(stage: .new(start)))
    }

    /// Claims the generation; `false` when somebody has read it before.
    func claim() -> Bool {
        state.withLock { state in
            defer { state.hasReader = true }
            return !state.hasReader
        }
    }

    /// The next event; nothing after the last one. Cancelling the task cancels the answer.
    func next() async throws -> GenerationEvent? {
        try await withTaskCancellationHandler {
            do {
                return try await read()
            } catch {
                abandon()
                throw error
            }
        } onCancel: {
            interrupt()
        }
    }

    /// An event that is there already.
    func nextIfReady() throws -> GenerationEvent? {
        guard case .running(let owned) = state.withLock({ $0.stage }) else { return nil }
        while case .event(let event) = try poll(owned) {
            if let event { return event }
        }
        return nil
    }

    /// Ends the answer; its last event says so.
    func cancel() {
        let stage = state.withLock { state in
            if case .new = state.stage {
                state.stage = .over
            }
            return state.stage
        }
        if case .running(let owned) = stage {
            pmlx_generation_cancel(owned.pointer)
        }
    }

    /// Ends the answer; nobody reads it any more.
    func abandon() {
        // Freed outside of the lock.
        let stage = state.withLock { state in
            defer { state.stage = .over }
            return state.stage
        }
        withExtendedLifetime(stage) {}
    }

    /// Ends the answer, and its reader's waiting at once.
    private func interrupt() {
        let waiting = state.withLock { state in
            state.isCancelled = true
            return state.waiting
        }
        cancel()
        if let waiting {
            Waiters.shared.resume(waiting, with: .failure(CancellationError()))
        }
    }

    private func read() async throws -> GenerationEvent? {
        guard let owned = try await started() else {
            try Task.checkCancellation()
            return nil
        }
        while true {
            try Task.checkCancellation()
            switch try poll(owned) {
            case .event(let event):
                if let event { return event }
            case .finished:
                abandon()
                return nil
            case .pending:
                try await ready(owned)
            }
        }
    }

    /// The generation of the C library, started if it was not.
    private func started() async throws -> Owned? {
        try Task.checkCancellation()
        switch state.withLock({ $0.stage }) {
        case .running(let owned):
            return owned
        case .over:
            return nil
        case .new(let start):
            let owned = try await BlockingThreads.shared.run(start)
            return state.withLock { state in
                // Dropped or cancelled meanwhile: then the one that was started ends here.
                guard case .new = state.stage else { return nil }
                state.stage = .running(owned)
                return owned
            }
        }
    }

    /// What there is to read. Kinds of events that this version doesn't know are skipped.
    private func poll(_ owned: Owned) throws -> Poll {
        var event: UnsafePointer<pmlx_event>?
        var state = PMLX_POLL_PENDING
        try check(pmlx_generation_poll(owned.pointer, 0, &event, &state))
        if let event {
            return .event(try GenerationEvent(event.pointee))
        }
        return state == PMLX_POLL_FINISHED ? .finished : .pending
    }

    /// Returns when a read would not wait, without holding a thread.
    private func ready(_ owned: Owned) async throws {
        try await withCheckedThrowingContinuation { continuation in
            let number = Waiters.shared.add(continuation)
            let isCancelled = state.withLock { state in
                state.waiting = number
                return state.isCancelled
            }
            if isCancelled {
                Waiters.shared.resume(number, with: .failure(CancellationError()))
            } else {
                Waiters.wake(number, whenReady: owned)
            }
        }
    }
}

/// The one reader of a generation: when it goes, the generation ends.
final class Reader: Sendable {
    private let generation: Generation
    private let isFirst: Bool

    init(_ generation: Generation) {
        self.generation = generation
        isFirst = generation.claim()
    }

    deinit {
        if isFirst {
            generation.abandon()
        }
    }

    func next() async throws -> GenerationEvent? {
        guard isFirst else {
            throw PocketMLXError(
                code: .busy,
                message: "the stream has been read by another loop",
                hint: "read a stream once; ask the session for another"
            )
        }
        return try await generation.next()
    }

    func nextIfReady() throws -> GenerationEvent? {
        try generation.nextIfReady()
    }
}
