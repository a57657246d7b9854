import Foundation
import PocketChatModel
import PocketMLX
import Testing

/// The hub of `cargo xtask swift-test`, which has the demo model as `pocketmlx/demo`.
private let endpoint = ProcessInfo.processInfo.environment["POCKETMLX_TEST_HUB"].flatMap { URL(string: $0) }

@MainActor @Suite(.enabled(if: endpoint != nil, "there is no hub here")) struct ModelPickerTests {
    private let id = "pocketmlx/demo"
    private let cache = FileManager.default.temporaryDirectory.appendingPathComponent("pocketchat-\(UUID())")
    private let picker: ModelPicker

    init() throws {
        picker = ModelPicker(hub: Hub(endpoints: [try #require(endpoint)], cache: cache))
    }

    @Test func aModelIsPickedFetchedAndChattedWith() async throws {
        defer { try? FileManager.default.removeItem(at: cache) }
        await picker.refresh()
        #expect(picker.failure == nil && picker.entries.count == 20 && picker.entries.allSatisfy { !$0.isHere })
        #expect(picker.entries[0].isUsable && !picker.entries[0].detail.isEmpty)

        let source = try #require(await picker.pick(id))
        #expect(picker.download == nil && picker.failure == nil)
        let chat = ChatModel()
        await chat.load(source)
        chat.send("Who are you?")
        await chat.finish()
        #expect(chat.lines.last?.text.contains("PocketMLX") == true)

        await picker.refresh()
        #expect(picker.entries.first?.id == id && picker.entries.first?.isHere == true)
        await picker.remove(id)
        #expect(picker.entries.allSatisfy { !$0.isHere })
    }

    @Test func aDownloadIsStoppedAndGoneOnWith() async throws {
        defer { try? FileManager.default.removeItem(at: cache) }
        let picking = Task { await picker.pick(id) }
        while picker.download == nil { await Task.yield() }
        await picker.cancel()
        // It may have been there by then; what was stopped is no failure.
        _ = await picking.value
        #expect(picker.download == nil && picker.failure == nil)
        #expect(await picker.pick(id) != nil)
    }

    @Test func failuresSayWhatToDo() async {
        #expect(await picker.pick("nobody/nothing") == nil)
        #expect(picker.failure?.contains("nobody/nothing") == true && picker.download == nil)
        await picker.refresh()
        #expect(picker.failure == nil)
    }
}
