// The part of FoundationModels 2 (the 27 systems) that PocketMLX uses, so that the conformance can be type-checked where
// FoundationModels is not. Declarations only, after what is known of the interface: nothing here is linked or shipped.

public protocol LanguageModel: Sendable {
    associatedtype Executor: LanguageModelExecutor where Executor.Model == Self
    var capabilities: LanguageModelCapabilities { get }
    var executorConfiguration: Executor.Configuration { get }
}

public protocol LanguageModelExecutor: Sendable {
    associatedtype Configuration: Hashable, Sendable
    associatedtype Model: LanguageModel
    init(configuration: Configuration) throws
    func prewarm(model: Model, transcript: Transcript)
    func respond(
        to request: LanguageModelExecutorGenerationRequest,
        model: Model,
        streamingInto channel: LanguageModelExecutorGenerationChannel
    ) async throws
}

public struct LanguageModelCapabilities: Sendable {
    public struct Capability: Hashable, Sendable {
        public static let guidedGeneration = Capability()
        public static let toolCalling = Capability()
    }
    public init(_ capabilities: [Capability]) {}
}

public struct LanguageModelExecutorGenerationRequest: Sendable {
    public struct ToolDefinition: Sendable {}
    public var transcript: Transcript { fatalError("a stub") }
    public var enabledToolDefinitions: [ToolDefinition] { fatalError("a stub") }
    public var schema: GenerationSchema? { fatalError("a stub") }
    public var generationOptions: GenerationOptions { fatalError("a stub") }
}

public struct LanguageModelExecutorGenerationChannel: Sendable {
    public struct Usage: Sendable {
        public struct Input: Sendable { public init(totalTokenCount: Int, cachedTokenCount: Int) {} }
        public struct Output: Sendable { public init(totalTokenCount: Int, reasoningTokenCount: Int) {} }
    }
    public enum ResponseAction: Sendable {
        case appendText(String, tokenCount: Int)
        case updateUsage(input: Usage.Input, output: Usage.Output)
    }
    public enum Event: Sendable {
        case response(action: ResponseAction)
    }
    public func send(_ event: Event) async {}
}

public struct GenerationSchema: Sendable {}

public struct GenerationOptions: Sendable {
    public struct SamplingMode: Sendable {
        public enum Kind: Sendable {
            case greedy
            case randomTopK(Int, seed: UInt64?)
            case randomProbabilityThreshold(Double, seed: UInt64?)
        }
        public var kind: Kind { fatalError("a stub") }
    }
    public var samplingMode: SamplingMode?
    public var temperature: Double?
    public var maximumResponseTokens: Int?
}

public struct Transcript: Sendable, RandomAccessCollection {
    public enum Entry: Sendable {
        case instructions(Instructions)
        case prompt(Prompt)
        case response(Response)
        case toolOutput(Response)
    }
    public struct Instructions: Sendable { public var segments: [Segment] }
    public struct Prompt: Sendable { public var segments: [Segment] }
    public struct Response: Sendable { public var segments: [Segment] }
    public enum Segment: Sendable {
        case text(TextSegment)
        case attachment(TextSegment)
    }
    public struct TextSegment: Sendable { public var content: String }
    public var startIndex: Int { 0 }
    public var endIndex: Int { 0 }
    public subscript(index: Int) -> Entry { fatalError("a stub") }
}

public enum LanguageModelError: Error {
    public struct UnsupportedCapability: Sendable {
        public init(capability: LanguageModelCapabilities.Capability, debugDescription: String) {}
    }
    public struct UnsupportedTranscriptContent: Sendable {
        public init(unsupportedContent: [Transcript.Entry], debugDescription: String) {}
    }
    case unsupportedCapability(UnsupportedCapability)
    case unsupportedTranscriptContent(UnsupportedTranscriptContent)
}
