import PocketMLX

#if canImport(SwiftUI)
    import Observation
#endif

/// What the chat's views show and do. It knows nothing of views.
@MainActor
#if canImport(SwiftUI)
    // Swift 6.0's Observation does not link on Linux, where nobody observes.
    @Observable
#endif
public final class ChatModel {
    /// One message on the screen.
    public struct Line: Identifiable, Equatable, Sendable {
        /// Its place in the conversation.
        public let id: Int
        /// Who speaks.
        public let role: Message.Role
        /// What was said so far.
        public var text: String
        /// Whether the answer was stopped.
        public var isPartial = false
    }

    /// What the model is doing.
    public enum State: Equatable, Sendable {
        /// There is none.
        case empty
        /// It is being loaded; the share of it that is done.
        case loading(Double)
        /// It waits for a question.
        case ready
        /// It answers.
        case answering
    }

    /// The conversation.
    public private(set) var lines: [Line] = []
    /// What the model is doing.
    public private(set) var state = State.empty
    /// What went wrong last, with what to do about it.
    public private(set) var failure: String?
    /// How much of its memory limit the engine uses, from 0 to 1.
    public private(set) var memoryShare = 0.0

    private var session: Session?
    private var answer: Task<Void, Never>?

    /// A chat without a model.
    public init() {}

    /// Loads a model and begins a conversation with it.
    public func load(_ source: ModelSource) async {
        await stop()
        state = .loading(0)
        failure = nil
        do {
            let model = try await Model.load(source) { progress in
                Task { @MainActor [weak self] in self?.show(progress) }
            }
            session = Session(model: model)
            lines = []
            state = .ready
        } catch {
            session = nil
            state = .empty
            show(error)
        }
        await measure()
    }

    /// Asks the model; the answer grows in the last line. Does nothing while it answers.
    public func send(_ text: String) {
        guard let session, state == .ready, !text.isEmpty else { return }
        lines.append(Line(id: lines.count, role: .user, text: text))
        lines.append(Line(id: lines.count, role: .assistant, text: ""))
        state = .answering
        failure = nil
        answer = Task {
            await read(session, text)
            await measure()
        }
    }

    /// Ends the answer and waits for its end; what was said stays.
    public func stop() async {
        answer?.cancel()
        await answer?.value
    }

    /// Waits for the end of the answer.
    public func finish() async {
        await answer?.value
    }

    /// Begins a new conversation with the same model.
    public func reset() async {
        await stop()
        guard let model = session?.model else { return }
        session = Session(model: model)
        lines = []
        failure = nil
    }

    private func read(_ session: Session, _ text: String) async {
        let last = lines.count - 1
        var options = GenerationOptions(maximumResponseTokens: 500)
        options.contextOverflow = .dropOldestTurns
        do {
            for try await snapshot in session.streamResponse(to: text, options: options) {
                lines[last].text = snapshot.content
            }
        } catch is CancellationError {
            lines[last].isPartial = true
        } catch {
            lines[last].isPartial = true
            show(error)
        }
        state = .ready
    }

    private func show(_ progress: Model.Progress) {
        if case .loading = state {
            state = .loading(progress.fractionCompleted ?? 0)
        }
    }

    private func show(_ error: any Error) {
        if !(error is CancellationError) {
            failure = String(describing: error)
        }
    }

    private func measure() async {
        guard let engine = session?.model.engine, let info = try? await engine.info() else { return }
        memoryShare = Double(info.memoryUsedBytes) / Double(max(info.memoryLimitBytes, 1))
    }
}
