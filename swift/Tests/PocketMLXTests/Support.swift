import Foundation
import PocketMLX
import Testing

/// The embedded model, loaded once for all tests.
enum Demo {
    private static let loading = Task { try await Model.load(.demo) }

    static var model: Model {
        get async throws { try await loading.value }
    }

    static func session(instructions: String? = nil) async throws -> Session {
        Session(model: try await model, instructions: instructions)
    }

    /// Options under which the model goes on for `tokens` tokens, whatever it is asked.
    static func endless(_ tokens: Int, seed: UInt64 = 1) async throws -> GenerationOptions {
        var options = GenerationOptions(temperature: 1.2, maximumResponseTokens: tokens)
        options.seed = seed
        for name in ["<|im_end|>", "<|endoftext|>"] {
            let ids = try await model.tokens(of: name)
            if ids.count == 1 {
                options.logitBias[ids[0]] = -100
            }
        }
        return options
    }

    /// A prompt that takes many slices to process.
    static let longPrompt = String(repeating: "The cat sat on the mat. ", count: 150)
}

/// The code of the error that `body` throws.
func code<Result>(_ body: () async throws -> Result) async -> PocketMLXError.Code? {
    do {
        _ = try await body()
        return nil
    } catch {
        return (error as? PocketMLXError)?.code
    }
}

/// Waits until something holds, up to ten seconds.
func eventually(_ holds: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<1000 {
        if try await holds() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// Collects the text and the tokens of a stream.
func read(_ stream: EventStream) async throws -> (text: String, tokens: [UInt32], completion: Completion?) {
    var result: (text: String, tokens: [UInt32], completion: Completion?) = ("", [], nil)
    for try await event in stream {
        switch event {
        case .text(let text, let tokens):
            result.text += text
            result.tokens += tokens
        case .done(let completion):
            result.completion = completion
        default:
            break
        }
    }
    return result
}
