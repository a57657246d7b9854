// What streaming through Swift costs: the same answers over the C interface on this thread, and as a Swift stream, in
// turns. Prints tokens a second, by the clock on the wall, and the median of the ratios.
//
//     cargo build --release && cd benches/swift-streaming && cargo xtask swift exec swift run -c release

import CPocketMLX
import Foundation
import PocketMLX

let tokens = 400
let rounds = 15

let model = try await Model.load(.demo)
var options = GenerationOptions(temperature: 1.2, maximumResponseTokens: tokens)
options.seed = 1
for name in ["<|im_end|>", "<|endoftext|>"] {
    if let id = try model.tokens(of: name).first {
        options.logitBias[id] = -100
    }
}

/// The same request as JSON, on handles of its own.
final class Direct {
    private var engine: OpaquePointer?
    private var model: OpaquePointer?
    private let request: String

    init(bias: [UInt32: Double]) throws {
        let biases = bias.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ")
        request = """
            {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": \(tokens), "temperature": 1.2, "seed": 1,
             "logit_bias": {\(biases)}}
            """
        check(pmlx_engine_new(nil, 0, &engine))
        check(pmlx_model_load(engine, "demo", 4, nil, 0, nil, nil, &model))
    }

    func check(_ error: OpaquePointer?) {
        if let error { fatalError(String(cString: pmlx_error_message(error))) }
    }

    func run() -> Int {
        var session: OpaquePointer?
        var generation: OpaquePointer?
        check(pmlx_session_new(model, nil, 0, &session))
        check(pmlx_session_start(session, request, request.utf8.count, nil, 0, &generation))
        var count = 0
        while true {
            var event: UnsafePointer<pmlx_event>?
            check(pmlx_generation_next(generation, &event))
            guard let event else { break }
            count += event.pointee.tokens_len
        }
        pmlx_generation_free(generation)
        pmlx_session_free(session)
        return count
    }
}

func measure(_ body: () async throws -> Int) async rethrows -> Double {
    let clock = ContinuousClock()
    let began = clock.now
    let count = try await body()
    let seconds = (clock.now - began) / .seconds(1)
    return Double(count) / seconds
}

let direct = try Direct(bias: options.logitBias)
var ratios: [Double] = []
for round in 0...rounds {
    let c = await measure { direct.run() }
    let swift = try await measure {
        var count = 0
        for try await event in Session(model: model).streamEvents(to: "Hello", options: options) {
            if case .text(_, let tokens) = event { count += tokens.count }
        }
        return count
    }
    // The first round warms up.
    if round > 0 { ratios.append(swift / c) }
    print("C \(Int(c)) tokens/s, Swift \(Int(swift)) tokens/s")
}
ratios.sort()
print("Swift over C, median of \(rounds): \(ratios[rounds / 2])")
