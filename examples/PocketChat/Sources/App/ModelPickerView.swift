#if canImport(SwiftUI)
    import PocketChatModel
    import SwiftUI

    /// A list of models; picking one fetches it and begins a chat with it.
    struct ModelPickerView: View {
        @Bindable var picker: ModelPicker
        let chat: ChatModel
        @Environment(\.dismiss) private var dismiss
        @State private var query = ""

        var body: some View {
            VStack(spacing: 8) {
                TextField("Search the hub", text: $query).onSubmit { Task { await picker.search(query) } }
                if let download = picker.download {
                    HStack {
                        ProgressView(value: download.share)
                        Button("Stop") { Task { await picker.cancel() } }
                    }
                }
                if let failure = picker.failure {
                    Text(failure).font(.footnote).foregroundStyle(.red)
                }
                List(picker.entries) { entry in
                    Button(action: { pick(entry) }) {
                        VStack(alignment: .leading) {
                            Text(entry.id + (entry.isHere ? " ✓" : ""))
                            Text(entry.detail).font(.footnote)
                        }
                    }
                    .disabled(!entry.isUsable || picker.download != nil)
                }
            }
            .padding()
            .task { await picker.refresh() }
        }

        private func pick(_ entry: ModelPicker.Entry) {
            Task {
                guard let source = await picker.pick(entry.id) else { return }
                dismiss()
                await chat.load(source)
            }
        }
    }
#endif
