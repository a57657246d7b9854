import CPocketMLX

/// An object of the C library. It is freed with the last reference to it, so never during a call.
final class Owned: @unchecked Sendable {
    // Sendable: the library's objects may be used from any thread, and the pointer never changes.
    let pointer: OpaquePointer
    private let free: @Sendable (OpaquePointer) -> Void

    init(_ pointer: OpaquePointer, free: @escaping @Sendable (OpaquePointer) -> Void) {
        self.pointer = pointer
        self.free = free
    }

    deinit {
        free(pointer)
    }

    /// The object that `call` writes into its argument.
    static func made(
        free: @escaping @Sendable (OpaquePointer) -> Void,
        by call: (UnsafeMutablePointer<OpaquePointer?>) -> OpaquePointer?
    ) throws -> Owned {
        var made: OpaquePointer?
        try check(call(&made))
        guard let made else {
            throw PocketMLXError(code: .internal, message: "the library gave nothing", hint: "")
        }
        return Owned(made, free: free)
    }
}

/// An object of the C library that its user may close before the last reference is gone.
final class Handle: Sendable {
    private let content: Locked<Result<Owned, any Error>>

    init(_ owned: Owned) {
        content = Locked(.success(owned))
    }

    /// A handle whose users hear later why it could not be made.
    init(deferringErrorsOf make: () throws -> Owned) {
        content = Locked(Result(catching: make))
    }

    /// The object, kept alive by the reference.
    func get() throws -> Owned {
        try content.withLock { try $0.get() }
    }

    /// Lets go of the object; later uses fail. A call that is using it finishes first.
    func close(_ what: String) {
        let closed = PocketMLXError(
            code: .invalidArgument,
            message: "the \(what) was closed",
            hint: "use a \(what) only before its close()"
        )
        // Let go of outside of the lock, which freeing must not hold.
        let old = content.withLock { content in
            defer { content = .failure(closed) }
            return content
        }
        withExtendedLifetime(old) {}
    }
}
