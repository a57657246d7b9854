// `_version: 2` is the framework of the 27 systems: that of the 26 systems takes no models of others.
#if canImport(FoundationModels, _version: 2)
    import FoundationModels
    import PocketMLX

    /// A model of PocketMLX as one of the system's, so that `LanguageModelSession` runs on it.
    ///
    /// ```swift
    /// let model = PocketLanguageModel(try await Model.load(.folder(url)))
    /// let session = LanguageModelSession(model: model)
    /// ```
    ///
    /// It generates text. Tools and schemas are refused by name; sessions hand over whole transcripts, and what was
    /// computed for the last one is found again.
    @available(iOS 27.0, macOS 27.0, *)
    public struct PocketLanguageModel: LanguageModel {
        /// The model that answers.
        public let model: PocketMLX.Model

        /// A model that was loaded.
        public init(_ model: PocketMLX.Model) {
            self.model = model
        }

        /// What it can do beyond text: nothing yet.
        public var capabilities: LanguageModelCapabilities { LanguageModelCapabilities([]) }

        /// What the system keeps executors by.
        public var executorConfiguration: Executor.Configuration {
            Executor.Configuration(model: ObjectIdentifier(model))
        }

        /// Answers requests of the system's sessions.
        public struct Executor: LanguageModelExecutor {
            /// What tells one executor from another.
            public struct Configuration: Hashable, Sendable {
                let model: ObjectIdentifier
            }

            /// An executor; it holds nothing.
            public init(configuration: Configuration) throws {}

            /// Computes what the transcript says so far, in the background.
            public func prewarm(model: PocketLanguageModel, transcript: Transcript) {
                Task {
                    let messages = try TranscriptMessages(transcript)
                    // Only the first answer is later when this fails, and it will say why.
                    try? await Session(model: model.model, transcript: messages.history).prewarm()
                }
            }

            /// Answers a request, piece by piece.
            public func respond(
                to request: LanguageModelExecutorGenerationRequest,
                model: PocketLanguageModel,
                streamingInto channel: LanguageModelExecutorGenerationChannel
            ) async throws {
                if !request.enabledToolDefinitions.isEmpty {
                    throw LanguageModelError.unsupportedCapability(
                        .init(capability: .toolCalling, debugDescription: "PocketMLX does not call tools yet"))
                }
                if request.schema != nil {
                    throw LanguageModelError.unsupportedCapability(
                        .init(capability: .guidedGeneration, debugDescription: "PocketMLX does not follow schemas yet"))
                }
                let messages = try TranscriptMessages(request.transcript)
                let session = Session(model: model.model, transcript: messages.history)
                let options = PocketMLX.GenerationOptions(request.generationOptions)
                for try await event in session.streamEvents(to: messages.prompt, options: options) {
                    switch event {
                    case .text(let text, let tokens) where !text.isEmpty:
                        await channel.send(.response(action: .appendText(text, tokenCount: tokens.count)))
                    case .done(let completion):
                        let usage = completion.usage
                        await channel.send(
                            .response(
                                action: .updateUsage(
                                    input: .init(
                                        totalTokenCount: usage.promptTokens, cachedTokenCount: usage.cachedTokens),
                                    output: .init(totalTokenCount: usage.completionTokens, reasoningTokenCount: 0))))
                    default:
                        break
                    }
                }
            }
        }
    }

    @available(iOS 27.0, macOS 27.0, *)
    extension PocketMLX.GenerationOptions {
        init(_ options: FoundationModels.GenerationOptions) {
            let mode: SamplingMode?
            switch options.samplingMode?.kind {
            case .greedy: mode = .greedy
            case .randomTopK(let count, let seed): mode = .random(top: count, seed: seed)
            case .randomProbabilityThreshold(let threshold, let seed):
                mode = .random(probabilityThreshold: threshold, seed: seed)
            default: mode = nil
            }
            self.init(
                sampling: mode,
                temperature: options.temperature,
                maximumResponseTokens: options.maximumResponseTokens)
        }
    }
#endif
