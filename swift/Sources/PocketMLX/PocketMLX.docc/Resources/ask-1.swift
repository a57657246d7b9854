import PocketMLX

let model = try await Model.load(.demo)
