/// What an engine computes with, and how much it may take.
public struct EngineOptions: Sendable, Equatable {
    /// What computes. Default: the GPU where MLX has one, else the processor.
    public var device: Device = .auto
    /// The most bytes that weights, caches and buffers may take. Default: four fifths of the machine's memory.
    public var memoryLimitBytes: UInt64?
    /// Threads of the CPU backend, 1 to 256. Default: one for each processor.
    public var threads: Int?
    /// A model that was idle this long gives its weights back until it is asked again. Default: never.
    public var idleUnloadSeconds: UInt64?
    /// The most bytes that states kept for later prompts may take. Default: what the memory limit leaves.
    public var prefixCacheBytes: UInt64?
    /// Trim on memory warnings, suspend in the background and resume in the foreground, on systems that tell
    /// (``Engine/adapt(to:)``).
    public var followsAppLifecycle = true

    /// What computes.
    public enum Device: String, Sendable, Codable {
        /// MLX's GPU if there is one, else the CPU backend.
        case auto
        /// MLX on the GPU.
        case mlxGPU = "mlx-gpu"
        /// MLX on the processor: slow, for comparisons.
        case mlxCPU = "mlx-cpu"
        /// The CPU backend.
        case cpu
    }

    /// The defaults.
    public init() {}
}

extension EngineOptions: Encodable {
    enum CodingKeys: String, CodingKey {
        case device, threads
        case memoryLimitBytes = "memory_limit_bytes"
        case idleUnloadSeconds = "idle_unload_seconds"
        case prefixCacheBytes = "prefix_cache_bytes"
    }
}

/// What an engine is doing and takes.
public struct EngineInfo: Sendable, Equatable, Decodable {
    /// The library's version.
    public let version: String
    /// What computes, such as `cpu` or `mlx-gpu`.
    public let device: String
    /// The most bytes that it may take.
    public let memoryLimitBytes: UInt64
    /// Bytes that weights and caches take now.
    public let memoryUsedBytes: UInt64
    /// Whether it is suspended.
    public let isSuspended: Bool

    enum CodingKeys: String, CodingKey {
        case version, device
        case memoryLimitBytes = "memory_limit_bytes"
        case memoryUsedBytes = "memory_used_bytes"
        case isSuspended = "suspended"
    }
}
