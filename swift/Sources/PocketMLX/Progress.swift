import CPocketMLX

extension Model {
    /// How far loading a model has come.
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

    init(_ report: (@Sendable (Model.Progress) -> Void)?) {
        self.report = report
    }

    func cancel() {
        isCancelled.withLock { $0 = true }
    }

    /// Runs a call of the C library with a callback that leads here.
    func watch<Result>(_ call: (pmlx_progress_fn, UnsafeMutableRawPointer) -> Result) -> Result {
        withExtendedLifetime(self) {
            call(
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
