import PocketMLX

let model = try await Model.load(.demo)
let session = Session(model: model, instructions: "You are a friendly assistant.")

let answer = try await session.respond(to: "Who are you?")
print(answer.content)
