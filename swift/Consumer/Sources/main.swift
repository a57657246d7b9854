import MLX
import PocketMLX

let sum = MLXArray([1, 2, 3] as [Float]).sum().item(Float.self)
let model = try await Model.load(.demo)
let answer = try await Session(model: model).respond(to: "Who are you?")
precondition(sum == 6, "mlx-swift says \(sum)")
precondition(answer.content.contains("PocketMLX"), "PocketMLX says \(answer.content)")
print(answer.content)
