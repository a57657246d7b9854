#if canImport(SwiftUI)
    import PocketChatModel
    import SwiftUI

    @main
    struct PocketChatApp: App {
        @State private var chat = ChatModel()

        var body: some Scene {
            WindowGroup {
                ChatView(chat: chat)
                    .task { await chat.load(.demo) }
            }
        }
    }
#else
    @main
    struct PocketChatApp {
        static func main() {
            print("PocketChat needs SwiftUI; examples/swift-chat is a chat for the terminal.")
        }
    }
#endif
