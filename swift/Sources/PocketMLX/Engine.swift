import CPocketMLX

/// What computes, with its memory budget. Models are loaded into it.
///
/// An app needs one at most; ``Model/load(_:engine:precision:kvBits:contextLength:progress:)`` takes ``shared()`` when none is
/// named.
public final class Engine: Sendable {
    let handle: Handle
    /// Held for its subscription to the app's notifications.
    private let lifecycle = Locked<AppLifecycle?>(nil)

    private static let sharedEngine = Locked<Engine?>(nil)

    /// An engine with the given options.
    ///
    /// - Throws: ``PocketMLXError/Code/unsupported`` when the device is not there;
    ///   ``PocketMLXError/Code/invalidArgument`` for numbers out of range.
    public init(options: EngineOptions = EngineOptions()) throws {
        guard pmlx_abi_version() == UInt32(PMLX_ABI_VERSION) else {
            throw PocketMLXError(
                code: .unsupported,
                message: "the library has interface \(pmlx_abi_version()), not \(PMLX_ABI_VERSION)",
                hint: "use the Swift package and the library of the same release"
            )
        }
        let text = try json(options)
        let owned = try Owned.made(free: { pmlx_engine_free($0) }) { out in
            withBytes(of: text) { pmlx_engine_new($0, $1, out) }
        }
        handle = Handle(owned)
        if options.followsAppLifecycle {
            lifecycle.withLock { $0 = AppLifecycle { [weak self] in await self?.adapt(to: $0) } }
        }
    }

    /// The engine of those who name none, made with the default options when it is first asked for.
    ///
    /// - Throws: As ``init(options:)``.
    public static func shared() throws -> Engine {
        try sharedEngine.withLock { shared in
            if let shared, (try? shared.handle.get()) != nil {
                return shared
            }
            let engine = try Engine()
            shared = engine
            return engine
        }
    }

    /// Device, memory and health.
    ///
    /// - Throws: ``PocketMLXError`` after ``close()``.
    public func info() async throws -> EngineInfo {
        let engine = try handle.get()
        let text = try await BlockingThreads.shared.run { try string { pmlx_engine_info(engine.pointer, $0) } }
        return try value(EngineInfo.self, from: text)
    }

    /// Pauses all answers and refuses new ones with ``PocketMLXError/Code/suspended``. Returns when the device is idle.
    ///
    /// - Parameter timeout: How long to wait for that.
    /// - Throws: ``PocketMLXError/Code/busy`` when the device is not idle by then; the engine is suspended all the same.
    public func suspend(timeout: Duration = .seconds(5)) async throws {
        let engine = try handle.get()
        let (seconds, attoseconds) = timeout.components
        let milliseconds = Double(seconds) * 1000 + Double(attoseconds) / 1e15
        let limit = UInt32(min(max(milliseconds, 0), Double(UInt32.max)))
        try await BlockingThreads.shared.runAlone { try check(pmlx_engine_suspend(engine.pointer, limit)) }
    }

    /// Goes on after ``suspend(timeout:)``; does nothing when the engine is not suspended.
    ///
    /// - Throws: ``PocketMLXError`` after ``close()``.
    public func resume() throws {
        let engine = try handle.get()
        try check(pmlx_engine_resume(engine.pointer))
    }

    /// Gives back the memory that no running answer needs.
    ///
    /// - Returns: The number of bytes.
    /// - Throws: ``PocketMLXError`` after ``close()``.
    @discardableResult
    public func trim() async throws -> UInt64 {
        let engine = try handle.get()
        return try await BlockingThreads.shared.run {
            var freed: UInt64 = 0
            try check(pmlx_engine_trim(engine.pointer, &freed))
            return freed
        }
    }

    /// Lets the engine go: it takes no new models. Models in it keep working. An engine that is not used any more
    /// closes by itself.
    public func close() {
        lifecycle.withLock { $0 = nil }
        handle.close("engine")
    }
}
