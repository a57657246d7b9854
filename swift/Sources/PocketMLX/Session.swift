import CPocketMLX

/// A conversation with a model: a transcript that grows by each question and answer.
///
/// One answer at a time runs in a session; a second request meanwhile fails with ``PocketMLXError/Code/busy``. Any
/// number of sessions of a model run at the same time, and what the model computed for one serves the others, too.
public actor Session {
    /// The model that answers.
    public nonisolated let model: Model
    private nonisolated let handle: Handle

    /// A conversation that begins with instructions, or with nothing.
    ///
    /// If the model was closed before, the session's first use fails.
    public init(model: Model, instructions: String? = nil) {
        self.init(model: model, transcript: instructions.map { [Message(role: .system, content: $0)] } ?? [])
    }

    /// A conversation that goes on from a transcript.
    public init(model: Model, transcript: [Message]) {
        let handle = Handle(deferringErrorsOf: {
            let options = try json(["transcript": transcript])
            let model = try model.handle.get()
            return try Owned.made(free: { pmlx_session_free($0) }) { out in
                withBytes(of: options) { pmlx_session_new(model.pointer, $0, $1, out) }
            }
        })
        self.init(model: model, handle: handle)
    }

    private init(model: Model, handle: Handle) {
        self.model = model
        self.handle = handle
    }

    /// The answer to a prompt, as a whole.
    ///
    /// - Throws: ``PocketMLXError``; `CancellationError` when the task is cancelled.
    public func respond(to prompt: String, options: GenerationOptions = GenerationOptions()) async throws -> Response {
        try await streamResponse(to: prompt, options: options).collect()
    }

    /// The answer to a prompt while it is generated: snapshots of the text so far. It starts with the first read.
    public nonisolated func streamResponse(
        to prompt: String,
        options: GenerationOptions = GenerationOptions()
    ) -> ResponseStream {
        ResponseStream(generation: generation(prompt, options))
    }

    /// The answer to a prompt event by event, with token ids, progress of the prompt and log-probabilities. It starts
    /// with the first read.
    public nonisolated func streamEvents(
        to prompt: String,
        options: GenerationOptions = GenerationOptions()
    ) -> EventStream {
        EventStream(generation: generation(prompt, options))
    }

    /// Ends the answer that is being generated; its stream ends with ``Completion/FinishReason/cancelled``. Does
    /// nothing when none is. May be called from anywhere and never waits.
    public nonisolated func cancel() {
        if let session = try? handle.get() {
            pmlx_session_cancel(session.pointer)
        }
    }

    /// The messages so far. An answer is added at its end; one that was cancelled is marked partial.
    ///
    /// - Throws: ``PocketMLXError`` after ``close()``.
    public nonisolated var history: [Message] {
        get throws {
            let session = try handle.get()
            return try value([Message].self, from: string { pmlx_session_history(session.pointer, $0) })
        }
    }

    /// A second conversation that begins with the same messages. Nothing is computed twice for it.
    ///
    /// - Throws: ``PocketMLXError/Code/busy`` while an answer runs.
    public func fork() async throws -> Session {
        let session = try handle.get()
        let fork = try await BlockingThreads.shared.run {
            try Owned.made(free: { pmlx_session_free($0) }) { pmlx_session_fork(session.pointer, $0) }
        }
        return Session(model: model, handle: Handle(fork))
    }

    /// Keeps the first `count` messages and forgets the rest, instructions counted.
    ///
    /// - Throws: ``PocketMLXError/Code/busy`` while an answer runs; ``PocketMLXError/Code/invalidArgument`` when there
    ///   are fewer messages.
    public func rewind(toMessageCount count: Int) async throws {
        guard count >= 0 else {
            throw PocketMLXError(code: .invalidArgument, message: "rewind to \(count) messages", hint: "give 0 or more")
        }
        let session = try handle.get()
        try await BlockingThreads.shared.run { try check(pmlx_session_rewind(session.pointer, count)) }
    }

    /// Lets the model compute what the next prompt is expected to begin with, so that its answer begins sooner: the
    /// transcript so far, and `promptPrefix` after it. The transcript stays as it is. Returns when that is done.
    ///
    /// - Throws: As ``respond(to:options:)``.
    public func prewarm(promptPrefix: String = "") async throws {
        let trial = try await fork()
        let options = GenerationOptions(maximumResponseTokens: 1)
        for try await _ in trial.streamEvents(to: promptPrefix, options: options) {}
    }

    /// Ends what runs in the session and lets it go; every later use fails with
    /// ``PocketMLXError/Code/invalidArgument``. A session that is not used any more closes by itself.
    public nonisolated func close() {
        cancel()
        handle.close("session")
    }

    private nonisolated func generation(_ prompt: String, _ options: GenerationOptions) -> Generation {
        let request = Request(messages: [Message(role: .user, content: prompt)], options: options)
        return Generation { [handle] in
            let request = try json(request)
            let session = try handle.get()
            return try Owned.made(free: { pmlx_generation_free($0) }) { out in
                withBytes(of: request) { pmlx_session_start(session.pointer, $0, $1, nil, 0, out) }
            }
        }
    }
}
