import Foundation

/// A value that is touched only while its lock is held.
final class Locked<Value: Sendable>: @unchecked Sendable {
    // Sendable: `value` is private and every access holds `lock`.
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) {
        self.value = value
    }

    /// Runs `body` with the value; it must not wait for anything.
    func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
