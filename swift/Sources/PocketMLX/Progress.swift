import CPocketMLX

extension Model {
    /// How far loading or fetching a model has come.
    public struct Progress: Sendable, Equatable {
        /// What is being done.
        public let stage: Stage
        /// Bytes done.
        public let completedBytes: UInt64
        /// Bytes in all; 0 when not known.
        public let totalBytes: UInt64
        /// The current rate.
        public let bytesPerSecond: Double
        /// What is being worked on, such as a file's name.
        public let item: String

        /// From 0 to 1, or nothing when the total is not known.
        public var fractionCompleted: Double? {
            totalBytes == 0 ? nil : Double(completedBytes) / Double(totalBytes)
        }

        /// How long the rest takes at the current rate, or nothing when that can't be told.
        public var estimatedTimeRemaining: Duration? {
            guard totalBytes >= completedBytes, totalBytes > 0, bytesPerSecond > 0 else { return nil }
            return .seconds(Double(totalBytes - completedBytes) / bytesPerSecond)
        }

        /// A step of loading. Later versions may add stages.
        public struct Stage: RawRepresentable, Hashable, Sendable {
            /// The number in the C interface.
            public let rawValue: Int32

            /// A stage by its number.
            public init(rawValue: Int32) {
                self.rawValue = rawValue
            }

            /// Configuration and headers are read and checked.
            public static let check = Stage(rawValue: PMLX_STAGE_CHECK)
            /// Weights are taken over by the device.
            public static let weights = Stage(rawValue: PMLX_STAGE_WEIGHTS)
            /// The tokenizer is read.
            public static let tokenizer = Stage(rawValue: PMLX_STAGE_TOKENIZER)
            /// Files are fetched from a hub.
            public static let download = Stage(rawValue: PMLX_STAGE_DOWNLOAD)
        }
    }
}

/// Passes progress on and cancels when it is asked to.
final class ProgressWatcher: Sendable {
    private let report: (@Sendable (Model.Progress) -> Void)?
    private let isCancelled = Locked(false)

    private init(_ report: (@Sendable (Model.Progress) -> Void)?) {
        self.report = report
    }

    /// The result of a call of the C library that takes long, on a thread of its own, with a callback for its progress.
    /// Cancelling the task cancels the call.
    static func run<Value: Sendable>(
        reportingTo report: (@Sendable (Model.Progress) -> Void)?,
        _ call: @escaping @Sendable (pmlx_progress_fn, UnsafeMutableRawPointer) throws -> Value
    ) async throws -> Value {
        let watcher = ProgressWatcher(report)
        return try await withTaskCancellationHandler {
            try await BlockingThreads.shared.runAlone { try watcher.watch(call) }
        } onCancel: {
            watcher.isCancelled.withLock { $0 = true }
        }
    }

    /// Runs a call with a callback that leads here.
    private func watch<Value>(
        _ call: (pmlx_progress_fn, UnsafeMutableRawPointer) throws -> Value
    ) rethrows -> Value {
        try withExtendedLifetime(self) {
            try call(
                { user, progress in
                    guard let user, let progress else { return 1 }
                    let watcher = Unmanaged<ProgressWatcher>.fromOpaque(user).takeUnretainedValue()
                    return watcher.heard(progress.pointee)
                }, Unmanaged.passUnretained(self).toOpaque())
        }
    }

    /// 0 goes on, 1 cancels.
    private func heard(_ progress: pmlx_progress) -> Int32 {
        report?(
            Model.Progress(
                stage: Model.Progress.Stage(rawValue: progress.stage),
                completedBytes: progress.done,
                totalBytes: progress.total,
                bytesPerSecond: progress.bytes_per_second,
                item: text(progress.item, progress.item_len)
            ))
        return isCancelled.withLock { $0 } ? 1 : 0
    }
}
