import CPocketMLX

/// The tasks that wait for a generation, by number. The C library wakes a number, and one that nobody waits for any
/// more means nothing, so a wake-up may come late or twice.
final class Waiters: Sendable {
    typealias Continuation = CheckedContinuation<Void, any Error>

    static let shared = Waiters()

    private struct State {
        var waiting: [UInt: Continuation] = [:]
        var last: UInt = 0
    }

    private let state = Locked(State())

    /// Keeps a continuation and gives its number, which is never 0.
    func add(_ continuation: Continuation) -> UInt {
        state.withLock { state in
            state.last += 1
            state.waiting[state.last] = continuation
            return state.last
        }
    }

    /// Resumes whoever waits under a number.
    func resume(_ number: UInt, with result: Result<Void, any Error> = .success(())) {
        state.withLock { $0.waiting.removeValue(forKey: number) }?.resume(with: result)
    }

    /// Asks the library to resume the continuation when a read of the generation would not wait.
    static func wake(_ number: UInt, whenReady generation: Owned) {
        let user = UnsafeMutableRawPointer(bitPattern: number)
        let wake: pmlx_ready_fn = { user in Waiters.shared.resume(UInt(bitPattern: user)) }
        do {
            try check(pmlx_generation_on_ready(generation.pointer, wake, user, nil))
        } catch {
            shared.resume(number, with: .failure(error))
        }
    }
}
