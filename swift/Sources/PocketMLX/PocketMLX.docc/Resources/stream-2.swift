import PocketMLX

let model = try await Model.load(.demo)
let session = Session(model: model, instructions: "You are a friendly assistant.")

let story = Task {
    for try await snapshot in session.streamResponse(to: "Tell me a story about a cat.") {
        print(snapshot.newContent, terminator: "")
    }
}

// The stop button:
story.cancel()
