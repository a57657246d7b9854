import Foundation

/// Threads for calls that may block: loading, preparing a prompt, waiting for an idle device.
///
/// Swift's own threads are as many as the machine has cores and must never wait. Theirs and Dispatch's stacks are small
/// on Apple's systems, too, while tokenizers and templates recurse.
final class BlockingThreads: @unchecked Sendable {
    // Sendable: all variables are touched only while `condition` is locked.
    static let shared = BlockingThreads(most: 16)

    private let most: Int
    private let condition = NSCondition()
    private var waiting: [@Sendable () -> Void] = []
    private var threads = 0
    private var idle = 0

    private static let stackSize = 4 << 20
    private static let idleSeconds = 10.0

    init(most: Int) {
        self.most = most
    }

    /// The result of `body`, which runs on one of the threads.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await Self.result(of: body) { add($0) }
    }

    /// As `run`, on a thread of its own, for what takes long.
    func runAlone<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await Self.result(of: body) { Self.start($0) }
    }

    /// The result of `body`, which `start` brings onto a thread. It is handed over under a lock, since ThreadSanitizer does
    /// not see that a continuation hands it over that is resumed before it is awaited.
    private static func result<Value: Sendable>(
        of body: @escaping @Sendable () throws -> Value,
        start: (@escaping @Sendable () -> Void) -> Void
    ) async throws -> Value {
        let pending = PocketMLXError(code: .internal, message: "a call has not ended", hint: "")
        let result = Locked<Result<Value, any Error>>(.failure(pending))
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            start {
                let made = Result(catching: body)
                result.withLock { $0 = made }
                continuation.resume()
            }
        }
        return try result.withLock { $0 }.get()
    }

    private func add(_ work: @escaping @Sendable () -> Void) {
        condition.lock()
        defer { condition.unlock() }
        waiting.append(work)
        if waiting.count <= idle {
            condition.signal()
        } else if threads < most {
            threads += 1
            Self.start { self.serve() }
        }
    }

    /// Works until there was nothing to do for a while.
    private func serve() {
        condition.lock()
        defer { condition.unlock() }
        while true {
            if !waiting.isEmpty {
                let work = waiting.removeFirst()
                condition.unlock()
                work()
                condition.lock()
                continue
            }
            idle += 1
            let woken = condition.wait(until: Date(timeIntervalSinceNow: Self.idleSeconds))
            idle -= 1
            if !woken && waiting.isEmpty {
                threads -= 1
                return
            }
        }
    }

    private static func start(_ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.name = "pocketmlx-call"
        thread.stackSize = stackSize
        thread.start()
    }
}
