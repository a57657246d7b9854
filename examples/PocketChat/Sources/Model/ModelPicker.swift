import Foundation
import PocketMLX

#if canImport(SwiftUI)
    import Observation
#endif

/// The models that a chat may be had with: those in the cache, those that suit this device, and what the hub finds.
@MainActor
#if canImport(SwiftUI)
    @Observable
#endif
public final class ModelPicker {
    /// A model to pick.
    public struct Entry: Identifiable, Equatable, Sendable {
        /// `owner/name`.
        public let id: String
        /// Its size, or why it suits or does not.
        public let detail: String
        /// Whether it is in the cache.
        public let isHere: Bool
        /// Whether it runs on this device.
        public let isUsable: Bool
    }

    /// A model that is being fetched.
    public struct Download: Equatable, Sendable {
        /// `owner/name`.
        public let id: String
        /// From 0 to 1.
        public var share: Double
        /// How long the rest takes, where that can be told.
        public var timeRemaining: Duration?
    }

    /// What there is to pick, best first.
    public private(set) var entries: [Entry] = []
    /// What is being fetched.
    public private(set) var download: Download?
    /// What went wrong last, with what to do about it.
    public private(set) var failure: String?

    private let hub: Hub
    private var fetching: Task<ModelSource?, Never>?

    /// A picker for a hub and its cache.
    public init(hub: Hub = Hub()) {
        self.hub = hub
    }

    /// Lists what is in the cache, and then the catalogue's models that suit this device.
    public func refresh() async {
        await attempt {
            let here = try await hub.list().filter(\.isComplete)
            let suiting = try await Hub.recommend(task: .chat, limit: 20)
            let ids = Set(here.map(\.id))
            entries = here.map { Entry(id: $0.id, detail: size($0.bytes), isHere: true, isUsable: true) }
            for model in suiting where !ids.contains(model.id) {
                let isUsable = model.isSupported && model.fit?.fits != false
                entries.append(Entry(id: model.id, detail: model.reason, isHere: false, isUsable: isUsable))
            }
        }
    }

    /// Shows what the hub finds; all that there is again for no text.
    public func search(_ text: String) async {
        guard !text.isEmpty else { return await refresh() }
        await attempt {
            entries = try await hub.search(text).map { model in
                let isUsable = model.isSupported == true && model.fit?.fits != false
                let detail = model.isSupported == true ? model.fit?.reason : model.reason
                return Entry(id: model.id, detail: detail ?? "", isHere: model.isCached, isUsable: isUsable)
            }
        }
    }

    /// Fetches a model unless it is in the cache, and says what to load; nothing when it fails or is cancelled. One
    /// download runs at a time.
    public func pick(_ id: String) async -> ModelSource? {
        await cancel()
        let task = Task { await fetch(id) }
        fetching = task
        return await task.value
    }

    /// Stops the download, which goes on where it was when its model is picked again.
    public func cancel() async {
        fetching?.cancel()
        _ = await fetching?.value
    }

    /// Removes a model from the cache.
    public func remove(_ id: String) async {
        await attempt { try await hub.remove(id) }
        await refresh()
    }

    private func fetch(_ id: String) async -> ModelSource? {
        defer { download = nil }
        download = Download(id: id, share: 0)
        return await attempt {
            let folder = try await hub.download(id) { progress in
                Task { @MainActor [weak self] in self?.show(progress, of: id) }
            }
            return .folder(folder)
        }
    }

    private func show(_ progress: Model.Progress, of id: String) {
        if download?.id == id {
            download?.share = progress.fractionCompleted ?? 0
            download?.timeRemaining = progress.estimatedTimeRemaining
        }
    }

    @discardableResult
    private func attempt<Value: Sendable>(_ body: () async throws -> Value) async -> Value? {
        failure = nil
        do {
            return try await body()
        } catch is CancellationError {
            return nil
        } catch {
            failure = String(describing: error)
            return nil
        }
    }

    private func size(_ bytes: UInt64) -> String {
        ByteCountFormatter.string(fromByteCount: Int64(clamping: bytes), countStyle: .file)
    }
}
