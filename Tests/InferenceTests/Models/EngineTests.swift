import Conversion
import Dispatch
import Operations
import Synchronization
import Tensors
import TestKit
import Testing

@testable import Inference

/// Jobs of one engine against pictures of engines of their own.
@Suite struct EngineTests {
    private static func request(_ prompt: String = "a large red circle", seed: UInt64 = 1, steps: Int = 1) -> GenerationRequest {
        var request = GenerationRequest(prompt: prompt, noise: .seed(seed))
        (request.width, request.height, request.timesteps) = (48, 32, .steps(steps))
        return request
    }

    /// All that an engine of unlimited bytes holds.
    private static func everything(_ weights: any WeightSource, _ executor: CPU = .best) throws -> Int {
        Engine(try SanaSprintPipeline(weights: weights, on: executor), residentBytes: .max).residentBytes
    }

    @Test("several prompts, seeds and steps give what each alone gives", arguments: [nil, 0, 0.4, 1] as [Double?], CPU.each)
    func sameBytes(share: Double?, _ executor: CPU) throws {
        let weights = try ConvertedWeights.int8()
        let pipeline = try SanaSprintPipeline(weights: weights, on: executor)
        let engine = Engine(pipeline, residentBytes: try share.map { Int($0 * Double(try Self.everything(weights, executor))) })
        // The two last are one text to Unicode, and to Swift, but not to the tokenizer.
        let (a, b) = (Self.request("a circle, caf\u{E9}", steps: 2), Self.request("a circle, cafe\u{301}", seed: 2))
        var unread = Self.request()
        unread.promptFeatures = PromptFeatures(try Tensor([1, pipeline.configuration.transformer.captionChannels]), mask: [1])
        for request in [a, b, a, Self.request("a circle, caf\u{E9}", seed: 3), b, unread, b] {
            #expect(try engine.run(Job(request)) == pipeline.generate(request))
        }
        #expect(try pipeline.generate(a) != pipeline.generate(b))
    }

    @Test("what is followed is what a run alone has") func probes() throws {
        let pipeline = try SanaSprintPipeline(weights: ConvertedWeights.int8(), on: .best)
        let engine = Engine(pipeline, residentBytes: .max)
        let (alone, first, second) = (Recorder(), Recorder(), Recorder())
        let picture = try pipeline.generate(Self.request(steps: 2), probes: alone)
        #expect(try engine.run(Job(Self.request(steps: 2))) == picture)
        for sink in [first, second] {
            _ = try engine.run(Job(Self.request(steps: 2), probes: sink))
            #expect(Set(sink.values.keys) == Set(alone.values.keys))
            for (name, value) in alone.values { #expect(sink.values[name]?.contents == value.contents, "\(name)") }
        }
    }

    @Test("what is held is read once") func reads() throws {
        let weights = CountingWeights(try ConvertedWeights.int8())
        let engine = Engine(try SanaSprintPipeline(weights: weights, on: .best), residentBytes: .max)
        _ = weights.take()
        _ = try engine.run(Job(Self.request()))
        let first = weights.take()
        #expect(first.count > 100 && Set(first).count == first.count)
        for (seed, steps) in [(2, 1), (3, 2)] {
            _ = try engine.run(Job(Self.request(seed: UInt64(seed), steps: steps)))
            #expect(weights.take() == [])
        }
        // A new prompt needs its rows of the embedding, and the weights that make its keys and values.
        _ = try engine.run(Job(Self.request("a small yellow star")))
        let other = weights.take()
        #expect(other.contains("text.embed.weight"))
        #expect(other.allSatisfy { $0 == "text.embed.weight" || $0.contains(".cross.k") || $0.contains(".cross.v") }, "\(other)")
    }

    @Test("a part of it is held where all of it does not fit, and nothing where nothing may be", arguments: [1, 2]) func someReads(steps: Int) throws {
        let weights = CountingWeights(try ConvertedWeights.int8())
        let pipeline = try SanaSprintPipeline(weights: weights, on: .best)
        func counts(_ bytes: Int?) throws -> [Int] {
            let engine = Engine(pipeline, residentBytes: bytes)
            return try (1...2).map { seed in
                _ = weights.take()
                _ = try engine.run(Job(Self.request(seed: UInt64(seed), steps: steps)))
                return weights.take().count
            }
        }
        let half = try counts(Self.everything(weights) / 2)
        #expect(half[1] > 0 && half[1] < half[0], "\(half)")
        let (alone, nothing) = (try counts(nil), try counts(0))
        #expect(alone[0] == alone[1] && nothing[0] == nothing[1])
        // A picture of one step takes each block once, and lets it go.
        #expect(steps == 1 ? nothing[0] == alone[0] : nothing[0] > alone[0])
    }

    @Test("the bound holds, in buffers that were counted, and so does the statement", arguments: [Preset.int8, .bf16, .fp32], Compute.allCases)
    func bound(preset: Preset, compute: Compute) async {
        // In a process of its own: other tests allocate too.
        await #expect(processExitsWith: .success) { [name = preset.rawValue as String, arithmetic = compute.rawValue as String] in
            let weights = try ConvertedWeights.packed(try #require(Preset(rawValue: name)))
            let compute = try #require(Compute(rawValue: arithmetic))
            for executor in CPU.every {
                let pipeline = try SanaSprintPipeline(weights: weights, on: executor, compute: compute)
                let all = Engine(pipeline, residentBytes: .max).residentBytes
                for share in executor == .best ? Array(0...4) : [4] {
                    let (bound, before, run) = (all * share / 4, Memory.inUse, "\(name) \(compute) \(executor) \(share)")
                    let engine = Engine(pipeline, residentBytes: bound)
                    precondition(engine.residentBytes <= bound)
                    for (prompt, steps) in [("a circle", 1), ("a star", 2), ("a star", 1)] {
                        let request = Self.request(prompt, steps: steps)
                        let statement = try engine.memoryStatement(request)
                        _ = Memory.restartPeak()
                        _ = try engine.run(Job(request))
                        let held = Memory.inUse - before
                        precondition(held <= bound, "\(run): held \(held) of \(bound)")
                        // The tokenizer's share is no buffer.
                        precondition(share < 4 || held >= (bound - 4 * weights.tokenizerByteCount) / 2, "\(run): held \(held) of \(bound) only")
                        let stated = statement.stages.map { $0.weightBytes + $0.workingBytes }.max() ?? 0
                        precondition(Memory.peak - before <= stated, "\(run): took \(Memory.peak - before), stated \(stated)")
                    }
                }
            }
        }
    }

    @Test("events are the same whatever is held") func events() throws {
        let engine = Engine(try SanaSprintPipeline(weights: ConvertedWeights.int8(), on: .best), residentBytes: .max)
        let request = Self.request(String(repeating: "a large red circle ", count: 200), steps: 2)
        var runs: [[GenerationStage]] = [[], []]
        for index in runs.indices { _ = try engine.run(Job(request) { runs[index].append($0) }) }
        #expect(runs[0] == runs[1])
        let names = runs[0].map { if case .promptCut = $0 { GenerationStage.promptCut(tokens: 0) } else { $0 } }
        #expect(names == [.readingPrompt, .promptCut(tokens: 0), .loadingTransformer, .step(1, of: 2), .step(2, of: 2), .decoding])
    }
}

/// Jobs that end early, and jobs of several threads.
@Suite struct CancellationTests {
    private static func request(_ prompt: String = "a large red circle", steps: Int = 2) -> GenerationRequest {
        var request = GenerationRequest(prompt: prompt)
        (request.width, request.height, request.timesteps) = (48, 32, .steps(steps))
        return request
    }

    private static func error(_ body: () throws(InferenceError) -> Picture) -> InferenceError? {
        do throws(InferenceError) {
            _ = try body()
            return nil
        } catch { return error }
    }

    @Test("before each stage", arguments: [nil, 0, .max] as [Int?])
    func stages(bytes: Int?) throws {
        let pipeline = try SanaSprintPipeline(weights: ConvertedWeights.int8(), on: .best)
        let engine = Engine(pipeline, residentBytes: bytes)
        let picture = try pipeline.generate(Self.request())
        for stage in [GenerationStage.readingPrompt, .loadingTransformer, .step(1, of: 2), .step(2, of: 2), .decoding] {
            let cancellation = Cancellation()
            var seen: [GenerationStage] = []
            let job = Job(Self.request(), cancellation: cancellation) { event in
                seen.append(event)
                if event == stage { cancellation.cancel() }
            }
            #expect(Self.error { () throws(InferenceError) in try engine.run(job) } == .cancelled)
            #expect(seen.last == stage, "nothing begins after it")
            #expect(try engine.run(Job(Self.request())) == picture)
        }
    }

    /// What is loaded at one go: a block, or what stands around the transformer's or the decoder's; nil for the text encoder's small ends.
    private static func layer(_ name: String) -> [Substring]? {
        let parts = name.split(separator: ".")
        if let block = parts.firstIndex(where: { ["block", "blocks", "layers"].contains($0) }) { return Array(parts.prefix(block + 2)) }
        if ["tokenizer", "text.embed.weight", "text.norm.weight"].contains(name) { return nil }
        return Array(parts.prefix(parts.contains("stage") ? 4 : 1))
    }

    /// Each layer is read before it computes: cancelled in the middle of a layer, a job reads that layer to its end and no other.
    @Test("between any two layers", arguments: [0, .max]) func layers(bytes: Int) throws {
        let weights = CountingWeights(try ConvertedWeights.int8())
        let pipeline = try SanaSprintPipeline(weights: weights, on: .best)
        let picture = try pipeline.generate(Self.request())
        _ = weights.take()
        _ = try Engine(pipeline, residentBytes: bytes).run(Job(Self.request()))
        let reads = weights.take()
        for place in stride(from: 1, through: reads.count - 1, by: 13) {
            let (engine, cancellation) = (Engine(pipeline, residentBytes: bytes), Cancellation())
            _ = weights.take()
            weights.listen { if $0 == place { cancellation.cancel() } }
            #expect(
                Self.error { () throws(InferenceError) in try engine.run(Job(Self.request(), cancellation: cancellation)) } == .cancelled, "\(reads[place])")
            weights.listen { _ in }
            let done = weights.take()
            let layers = Set(done.dropFirst(place - 1).compactMap(Self.layer))
            #expect(layers.count <= 1, "\(place): \(done.dropFirst(place - 1))")
            if place % 3 == 1 { #expect(try engine.run(Job(Self.request())) == picture) }
        }
    }

    @Test("before it begins, and while it waits for its turn") func waiting() throws {
        let engine = Engine(try SanaSprintPipeline(weights: ConvertedWeights.int8(), on: .best))
        let cancelled = Cancellation()
        cancelled.cancel()
        #expect(
            Self.error { () throws(InferenceError) in try engine.run(Job(Self.request(), cancellation: cancelled) { _ in preconditionFailure("it began") }) }
                == .cancelled)
        let (isRunning, mayEnd, group) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchGroup())
        let results = Mutex<[Int: Picture]>([:])
        DispatchQueue.global().async(group: group) {
            let picture = try? engine.run(
                Job(Self.request()) { stage in
                    guard stage == .decoding else { return }
                    isRunning.signal()
                    mayEnd.wait()
                })
            results.withLock { $0[1] = picture }
        }
        isRunning.wait()
        DispatchQueue.global().async { cancelled.cancel() }
        #expect(Self.error { () throws(InferenceError) in try engine.run(Job(Self.request(), cancellation: cancelled)) } == .cancelled)
        #expect(results.withLock { $0.isEmpty }, "it has not waited for the other")
        mayEnd.signal()
        group.wait()
        #expect(try results.withLock { $0[1] } == engine.run(Job(Self.request())))
    }

    @Test("jobs at once give the bytes of one after the other, and take turns", arguments: [nil, .max] as [Int?]) func together(bytes: Int?) throws {
        let pipeline = try SanaSprintPipeline(weights: ConvertedWeights.int8(), on: .best)
        let engine = Engine(pipeline, residentBytes: bytes)
        let requests = ["a circle", "a star", "a circle"].map { Self.request($0, steps: 1) }
        let found = Mutex<[Int: Picture]>([:])
        let order = Mutex<[Int]>([])
        DispatchQueue.concurrentPerform(iterations: requests.count) { index in
            let picture = try? engine.run(Job(requests[index]) { _ in order.withLock { $0.append(index) } })
            found.withLock { $0[index] = picture }
        }
        for (index, request) in requests.enumerated() { #expect(try found.withLock { $0[index] } == pipeline.generate(request)) }
        let turns = order.withLock { $0.reduce(into: [Int]()) { if $0.last != $1 { $0.append($1) } } }
        #expect(turns.count == requests.count, "\(turns)")
    }
}
