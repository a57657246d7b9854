// A chat with a model in the terminal: the answer appears while it is generated, Ctrl-C stops it.
//
//     cargo build --release --no-default-features --features demo
//     cd examples/swift-chat && swift run swift-chat [MODEL-FOLDER]

import Foundation
import PocketMLX

/// Writes at once, where `print` waits for a whole line.
@Sendable func show(_ text: String, to file: FileHandle = .standardOutput) {
    file.write(Data(text.utf8))
}

/// Answers a line; Ctrl-C meanwhile stops the answer and leaves the program running.
func answer(_ line: String, in session: Session) async throws {
    let interrupts = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
    signal(SIGINT, SIG_IGN)
    interrupts.setEventHandler { session.cancel() }
    interrupts.resume()
    defer {
        interrupts.cancel()
        signal(SIGINT, SIG_DFL)
    }
    var options = GenerationOptions(maximumResponseTokens: 400)
    options.contextOverflow = .dropOldestTurns
    for try await snapshot in session.streamResponse(to: line, options: options) {
        show(snapshot.newContent)
        if let completion = snapshot.completion {
            let rate = Int(completion.timings.tokensPerSecond)
            show("\n\(completion.finishReason.rawValue), \(rate) tokens a second\n", to: .standardError)
        }
    }
    show("\n")
}

let arguments = CommandLine.arguments.dropFirst()
do {
    let model = try await Model.load(arguments.first.map { ModelSource($0) } ?? .demo) { progress in
        if let fraction = progress.fractionCompleted {
            show("\rloading: \(Int(fraction * 100)) %", to: .standardError)
        }
    }
    var session = Session(model: model)
    show("\nAsk something, or /reset, /history, /quit.\n", to: .standardError)
    while true {
        show("> ", to: .standardError)
        guard let line = readLine() else { break }
        switch line {
        case "":
            continue
        case "/quit":
            exit(0)
        case "/reset":
            session = Session(model: model)
        case "/history":
            for message in try session.history {
                show("\(message.role.rawValue): \(message.content)\n")
            }
        default:
            do {
                try await answer(line, in: session)
            } catch let error as PocketMLXError {
                show("\(error)\n", to: .standardError)
            }
        }
    }
} catch {
    show("\(error)\n", to: .standardError)
    exit(1)
}
