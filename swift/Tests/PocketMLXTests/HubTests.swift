import Foundation
import PocketMLX
import Testing

/// The hub of `cargo xtask swift-test`, which has the demo model as `pocketmlx/demo`.
private let endpoint = ProcessInfo.processInfo.environment["POCKETMLX_TEST_HUB"].flatMap { URL(string: $0) }

@Suite(.enabled(if: endpoint != nil, "there is no hub here")) struct HubTests {
    private let id = "pocketmlx/demo"
    private let cache = FileManager.default.temporaryDirectory.appendingPathComponent("pocketmlx-hub-\(UUID())")
    private let hub: Hub

    init() throws {
        hub = Hub(endpoints: [try #require(endpoint)], token: "secret", cache: cache)
    }

    private func withCache(_ body: () async throws -> Void) async throws {
        defer { try? FileManager.default.removeItem(at: cache) }
        try await body()
    }

    @Test func aModelIsFetchedListedUsedAndRemoved() async throws {
        try await withCache {
            #expect(try await hub.list().isEmpty)
            let seen = Seen<Model.Progress>()
            let folder = try await hub.download(id) { seen.add($0) }
            let last = try #require(seen.all.last)
            #expect(last.stage == .download && last.fractionCompleted == 1 && last.totalBytes > 5_000_000)
            #expect(last.estimatedTimeRemaining == .zero)
            #expect(folder.path.hasPrefix(cache.path))

            let models = try await hub.list()
            #expect(models.map(\.id) == [id] && models[0].isComplete && models[0].bytes == last.totalBytes)
            #expect(models[0].revisions.first?.folder == folder)
            #expect(models[0].revisions.first?.references == ["main"])
            #expect(abs(models[0].lastUsed.timeIntervalSinceNow) < 3600)

            // Offline it is still there, and loads by its folder.
            let offline = Hub(cache: cache, isOffline: true)
            #expect(try await offline.download(id) == folder)
            #expect(await code { try await offline.download("some/other") } == .notFound)
            let model = try await Model.load(.folder(folder))
            #expect(try await Session(model: model).respond(to: "Who are you?").content.contains("PocketMLX"))
            model.close()

            #expect(try await hub.remove(id) == last.totalBytes)
            #expect(try await hub.list().isEmpty)
            #expect(await code { try await hub.remove(id) } == .notFound)
        }
    }

    @Test func searchFindsWhatRuns() async throws {
        try await withCache {
            let found = try await hub.search("demo", author: "pocketmlx", limit: 5)
            #expect(found.map(\.id) == [id])
            let model = try #require(found.first)
            #expect(model.isSupported == true && model.downloads == 12 && model.modelType == "qwen3")
            #expect(try await hub.search("nothing of this name").isEmpty)
        }
    }

    @Test func progressIsASequence() async throws {
        try await withCache {
            var last: Model.Progress?
            for try await progress in hub.downloadProgress(of: id) { last = progress }
            #expect(last?.fractionCompleted == 1)
            #expect(try await hub.list().first?.isComplete == true)
            await #expect(throws: PocketMLXError.self) {
                for try await _ in hub.downloadProgress(of: "nobody/nothing") {}
            }
        }
    }

    @Test func cancellingStopsADownload() async throws {
        try await withCache {
            let task = Task { [hub, id] in
                try await hub.download(id)
            }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            // Leaving the loop is as good; afterwards it goes on where it was.
            for try await _ in hub.downloadProgress(of: id) { break }
            try await hub.download(id)
            #expect(try await hub.list().first?.isComplete == true)
        }
    }

    @Test func loadingFetchesWhatIsMissing() async throws {
        // The cache of the environment, which an earlier run may have filled.
        _ = try? await Hub().remove(id)
        let (seen, again) = (Seen<Model.Progress.Stage>(), Seen<Model.Progress.Stage>())
        let model = try await Model.load(.hub(id)) { seen.add($0.stage) }
        #expect(seen.all.contains(.download))
        #expect(try await model.info().source.contains("models--pocketmlx--demo"))
        let cached = try await Model.load(.hub(id, revision: "main")) { again.add($0.stage) }
        #expect(try await !Session(model: cached).respond(to: "Hello").content.isEmpty)
        #expect(!again.all.contains(.download))
    }

    @Test func failuresSayWhatIsWrong() async throws {
        #expect(await code { try await hub.download("demo") } == .invalidArgument)
        #expect(await code { try await hub.download("nobody/nothing") } == .notFound)
        #expect(await code { try await Model.load(.hub("nobody/nothing")) } == .notFound)
        let broken = Hub(endpoints: [try #require(URL(string: "ftp://hub"))])
        #expect(await code { try await broken.list() } == .invalidArgument)
        #expect(!"\(hub)".contains("secret") && !String(reflecting: hub).contains("secret"))
    }
}
