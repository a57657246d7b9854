// Asks the embedded model, or the one that is named, and prints its answer while it comes.

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

extension Answer {
    /// The answer's pieces. Reading waits on the thread that reads, so an app does it on a thread of its own, and never
    /// on one of Swift's: the Swift package, whose streams hold no thread, is what apps without Rust of their own want.
    func pieces() -> AnySequence<String> {
        AnySequence { AnyIterator { self.next()?.toString() } }
    }
}

do {
    let chat = try Chat.open(CommandLine.arguments.dropFirst().first ?? "demo")
    for question in ["My name is Ada.", "What is my name?"] {
        print("> \(question)")
        let answer = try chat.ask(question)
        for piece in answer.pieces() {
            print(piece, terminator: "")
            fflush(nil)
        }
        print()
        if let failure = answer.failure() { throw failure }
    }
} catch let failure as RustString {
    print(failure.toString())
    exit(1)
}
