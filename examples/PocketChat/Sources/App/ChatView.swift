#if canImport(SwiftUI)
    import PocketChatModel
    import SwiftUI

    /// The conversation, a field for the next question, a button that stops the answer, and a gauge of memory.
    struct ChatView: View {
        @Bindable var chat: ChatModel
        @State private var draft = ""
        @State private var choosesFolder = false
        @State private var choosesModel = false
        @State private var picker = ModelPicker()

        var body: some View {
            VStack(spacing: 0) {
                conversation
                if let failure = chat.failure {
                    Text(failure).font(.footnote).foregroundStyle(.red).padding(.horizontal)
                }
                question
            }
            .toolbar {
                Button("Models…") { choosesModel = true }
                Button("Open Folder…") { choosesFolder = true }
                Button("New Chat") { Task { await chat.reset() } }
                Gauge(value: chat.memoryShare) { Text("Memory") }.frame(width: 100)
            }
            .sheet(isPresented: $choosesModel) { ModelPickerView(picker: picker, chat: chat) }
            .fileImporter(isPresented: $choosesFolder, allowedContentTypes: [.folder]) { choice in
                guard let folder = try? choice.get() else { return }
                Task {
                    let isScoped = folder.startAccessingSecurityScopedResource()
                    await chat.load(.folder(folder))
                    if isScoped { folder.stopAccessingSecurityScopedResource() }
                }
            }
        }

        private var conversation: some View {
            ScrollView {
                LazyVStack(alignment: .leading, spacing: 12) {
                    ForEach(chat.lines) { line in
                        Text(line.text + (line.isPartial ? " …" : ""))
                            .textSelection(.enabled)
                            .padding(10)
                            .background(.quaternary, in: .rect(cornerRadius: 12))
                            .frame(maxWidth: .infinity, alignment: line.role == .user ? .trailing : .leading)
                    }
                }
                .padding()
            }
            .defaultScrollAnchor(.bottom)
        }

        @ViewBuilder private var question: some View {
            HStack {
                if case .loading(let share) = chat.state {
                    ProgressView(value: share)
                } else {
                    TextField("Ask something", text: $draft).onSubmit(send)
                    if chat.state == .answering {
                        Button("Stop") { Task { await chat.stop() } }
                    } else {
                        Button("Send", action: send).disabled(chat.state != .ready || draft.isEmpty)
                    }
                }
            }
            .padding()
        }

        private func send() {
            chat.send(draft)
            draft = ""
        }
    }
#endif
