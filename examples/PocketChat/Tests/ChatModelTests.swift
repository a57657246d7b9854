import PocketChatModel
import PocketMLX
import Testing

@MainActor @Suite struct ChatModelTests {
    @Test func aConversationGrows() async throws {
        let chat = ChatModel()
        chat.send("Nobody is there")
        #expect(chat.lines.isEmpty && chat.state == .empty)
        await chat.load(.demo)
        #expect(chat.state == .ready && chat.failure == nil)
        chat.send("My name is Ada.")
        #expect(chat.state == .answering && chat.lines.count == 2)
        chat.send("Not now")
        await chat.finish()
        chat.send("What is my name?")
        await chat.finish()
        #expect(chat.lines.map(\.role) == [.user, .assistant, .user, .assistant])
        #expect(chat.lines[3].text.contains("Ada") && chat.state == .ready)
        #expect(chat.memoryShare > 0 && chat.memoryShare < 1)
        await chat.reset()
        #expect(chat.lines.isEmpty && chat.state == .ready)
    }

    @Test func anAnswerIsStopped() async throws {
        let chat = ChatModel()
        await chat.load(.demo)
        chat.send("Tell me a story about a cat.")
        while chat.lines.last?.text.isEmpty == true { await Task.yield() }
        await chat.stop()
        #expect(chat.state == .ready && chat.lines[1].isPartial && !chat.lines[1].text.isEmpty)
        chat.send("Who are you?")
        await chat.finish()
        #expect(chat.lines[3].text.contains("PocketMLX"))
    }

    @Test func failuresSayWhatToDo() async throws {
        let chat = ChatModel()
        await chat.load("/no/such/model")
        #expect(chat.state == .empty)
        #expect(chat.failure?.contains("/no/such/model") == true)
        await chat.load(.demo)
        #expect(chat.state == .ready && chat.failure == nil)
    }
}
