import CPocketMLX
import Foundation

/// A failure: its code, what happened with the values involved, and what to do about it.
///
/// Cancelling is not among them: it throws Swift's `CancellationError`.
///
/// ```swift
/// do {
///     _ = try await session.respond(to: question)
/// } catch let error as PocketMLXError where error.code == .contextOverflow {
///     // Start a shorter conversation.
/// }
/// ```
public struct PocketMLXError: Error, Sendable, Equatable {
    /// What kind of failure it is.
    public let code: Code
    /// What happened, with the values involved.
    public let message: String
    /// What to do about it, or an empty string.
    public let hint: String

    /// A failure of a known or future kind; the numbers are those of the C interface and are never reused.
    public struct Code: RawRepresentable, Hashable, Sendable {
        /// The number in the C interface.
        public let rawValue: Int32

        /// A code by its number.
        public init(rawValue: Int32) {
            self.rawValue = rawValue
        }

        /// No error; no failure has this code.
        public static let ok = Code(rawValue: PMLX_OK)
        /// An argument, option or request is malformed or out of range, or an object was used after its `close()`.
        public static let invalidArgument = Code(rawValue: PMLX_INVALID_ARGUMENT)
        /// A file, folder or model does not exist.
        public static let notFound = Code(rawValue: PMLX_NOT_FOUND)
        /// The request or model needs something that this build cannot do; the message names it.
        public static let unsupported = Code(rawValue: PMLX_UNSUPPORTED)
        /// The prompt does not fit into the model's context.
        public static let contextOverflow = Code(rawValue: PMLX_CONTEXT_OVERFLOW)
        /// The session is already answering, or a stream is read twice.
        public static let busy = Code(rawValue: PMLX_BUSY)
        /// Cancelled. The Swift interface throws `CancellationError` instead.
        public static let cancelled = Code(rawValue: PMLX_CANCELLED)
        /// The engine is suspended.
        public static let suspended = Code(rawValue: PMLX_SUSPENDED)
        /// Reading or writing failed.
        public static let io = Code(rawValue: PMLX_IO)
        /// A file's content is not what its format asks for.
        public static let corruptFile = Code(rawValue: PMLX_CORRUPT_FILE)
        /// A transfer failed.
        public static let network = Code(rawValue: PMLX_NETWORK)
        /// Over the memory budget, or the device has no memory left.
        public static let outOfMemory = Code(rawValue: PMLX_OUT_OF_MEMORY)
        /// The device failed and its state is lost.
        public static let deviceLost = Code(rawValue: PMLX_DEVICE_LOST)
        /// The system refuses GPU work because the app is in the background.
        public static let background = Code(rawValue: PMLX_BACKGROUND)
        /// A bug in PocketMLX.
        public static let `internal` = Code(rawValue: PMLX_INTERNAL)
    }
}

extension PocketMLXError: LocalizedError, CustomStringConvertible {
    /// The message, for alerts.
    public var errorDescription: String? { message }

    /// The hint, for alerts.
    public var recoverySuggestion: String? { hint.isEmpty ? nil : hint }

    /// Message and hint.
    public var description: String { hint.isEmpty ? message : "\(message) (\(hint))" }
}
