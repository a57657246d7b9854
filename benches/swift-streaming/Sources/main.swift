// What streaming through Swift costs: the same answers over the C interface on this thread, as a Swift stream of events
// and as one of snapshots, in turns (C, events, snapshots, snapshots, events, C, …). Prints the medians and quartiles of
// the ratios to C's neighbouring runs, by the clock on the wall and by this process's processor time, which
// tells more where other programs run as well.
//
//     cargo build --release --no-default-features --features demo
//     cd benches/swift-streaming && swift run -c release swift-streaming [ROUNDS]

import CPocketMLX
import Foundation
import PocketMLX

let tokens = 600
let rounds = CommandLine.arguments.dropFirst().first.flatMap(Int.init) ?? 30

var engineOptions = EngineOptions()
// With one thread nobody waits for another, and the same work takes the same time.
engineOptions.threads = 1
let model = try await Model.load(.demo, engine: Engine(options: engineOptions))
let options = try endless(tokens)

/// An answer of exactly so many tokens, the same each time.
func endless(_ tokens: Int) throws -> GenerationOptions {
    var options = GenerationOptions(temperature: 1.2, maximumResponseTokens: tokens)
    options.seed = 1
    for name in ["<|im_end|>", "<|endoftext|>"] {
        if let id = try model.tokens(of: name).first {
            options.logitBias[id] = -100
        }
    }
    return options
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
        check(pmlx_engine_new("{\"threads\": 1}", 14, &engine))
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
        var bytes = 0
        while true {
            var event: UnsafePointer<pmlx_event>?
            check(pmlx_generation_next(generation, &event))
            guard let event else { break }
            bytes += event.pointee.text_len
        }
        pmlx_generation_free(generation)
        pmlx_session_free(session)
        return bytes
    }
}

/// Seconds by the clock on the wall, and of this process's work on all of its threads.
struct Cost {
    var wall: Double
    var work: Double

    /// What it took until now since it all began.
    static var now: Cost {
        func seconds(_ clock: clockid_t) -> Double {
            var time = timespec()
            clock_gettime(clock, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        }
        return Cost(wall: seconds(CLOCK_MONOTONIC), work: seconds(CLOCK_PROCESS_CPUTIME_ID))
    }
}

/// How an answer is read; gives the bytes of its text.
enum Way: CaseIterable {
    case c, events, snapshots

    func run(_ direct: Direct) async throws -> Int {
        let session = Session(model: model)
        var bytes = 0
        switch self {
        case .c:
            return direct.run()
        case .events:
            for try await event in session.streamEvents(to: "Hello", options: options) {
                if case .text(let text, _) = event { bytes += text.utf8.count }
            }
        case .snapshots:
            for try await snapshot in session.streamResponse(to: "Hello", options: options) {
                bytes = snapshot.content.utf8.count
            }
        }
        return bytes
    }
}

let direct = try Direct(bias: options.logitBias)
var costs: [Way: [Cost]] = [:]
var lengths: Set<Int> = []
for round in -1..<rounds {
    for way in round.isMultiple(of: 2) ? Way.allCases : Way.allCases.reversed() {
        let before = Cost.now
        lengths.insert(try await way.run(direct))
        let after = Cost.now
        // The first round warms up.
        if round >= 0 {
            costs[way, default: []].append(Cost(wall: after.wall - before.wall, work: after.work - before.work))
        }
    }
}
guard lengths.count == 1 else { fatalError("the answers differ: \(lengths)") }

/// Lower quartile, median, upper quartile.
func spread(_ values: [Double]) -> String {
    let sorted = values.sorted()
    return [1, 2, 3].map { String(format: "%.3f", sorted[sorted.count * $0 / 4]) }.joined(separator: " ")
}

let base = costs[.c] ?? []
for way in Way.allCases {
    let own = costs[way] ?? []
    let work = own.map(\.work).sorted()[own.count / 2] / Double(tokens) * 1e6
    let rate = Double(tokens) / own.map(\.wall).sorted()[own.count / 2]
    print("\(way): \(Int(rate)) tokens/s, \(Int(work)) µs of work a token; time over that of C, quartiles:")
    print("  wall \(spread(zip(own, base).map { $0.wall / $1.wall }))")
    print("  work \(spread(zip(own, base).map { $0.work / $1.work }))")
}
