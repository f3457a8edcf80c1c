import Synchronization

/// A picture that an engine is asked for, with who follows it: for the thread that runs it.
package struct Job {
    let request: GenerationRequest
    let probes: Probes
    private let events: ((GenerationStage) -> Void)?

    /// - Parameters:
    ///   - probes: takes the values of all probe points; with one, the encoder runs too if the file has it.
    ///   - clock: is told of the probe points that the run passes.
    ///   - cancellation: ends the job early.
    ///   - events: is told of each stage before it begins, and of what a user should know.
    package init(
        _ request: GenerationRequest, probes sink: (any ProbeSink)? = nil, clock: (any StageClock)? = nil, cancellation: Cancellation? = nil,
        events: ((GenerationStage) -> Void)? = nil
    ) {
        self.init(request: request, probes: Probes(sink: sink, clock: clock, cancellation: cancellation), events: events)
    }

    private init(request: GenerationRequest, probes: Probes, events: ((GenerationStage) -> Void)?) {
        (self.request, self.probes, self.events) = (request, probes, events)
    }

    /// The same job, overheard by one more.
    func heard(by listener: @escaping (GenerationStage) -> Void) -> Job {
        Job(request: request, probes: probes) { [events] stage in
            listener(stage)
            events?(stage)
        }
    }

    /// Tells of a stage, which the job may be cancelled before.
    func begin(_ stage: GenerationStage) throws(InferenceError) {
        try checkCancelled()
        events?(stage)
        try checkCancelled()
    }

    func checkCancelled() throws(InferenceError) { try probes.checkCancelled() }
}

/// Ends a job early, from any thread: it throws `InferenceError.cancelled` where the next layer, step or stage would begin.
package final class Cancellation: Sendable {
    private let isAsked = Atomic(false)

    init() {}

    func cancel() { isAsked.store(true, ordering: .relaxed) }

    func check() throws(InferenceError) { if isAsked.load(ordering: .relaxed) { throw .cancelled } }
}

/// How far a job has come.
package enum GenerationStage: Sendable, Equatable {
    case readingPrompt
    /// So many tokens of the prompt did not fit and were cut off its end.
    case promptCut(tokens: Int)
    /// The file's prefix cache is not used, which costs time only.
    case prefixCacheNotUsed(reason: String)
    case encodingPicture
    case loadingTransformer
    case step(Int, of: Int)
    case decoding
    case encoding
}
