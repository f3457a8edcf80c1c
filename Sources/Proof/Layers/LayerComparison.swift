import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import ProbePoints
import Tensors

/// Rungs P7 to P9: both precisions run on the same inputs, each layer alone and all of them together.
///
/// Three models run: the checkpoint in float32, the packed file, and the checkpoint rounded to the file's grids at random. The third says
/// how large the second's error may honestly be. No model is in memory whole: layers are loaded when it is their turn and let go.
struct LayerComparison {
    private(set) var outcome = Outcome()
    private(set) var series: [ProbeSeries] = []
    private(set) var pictures: (reference: Picture, other: Picture)?

    private let file: PackedFile
    private let checkpoint: Checkpoint
    private let options: Verification.Options
    private let executor: CPU

    /// What keeps a part from being run: no defect of the file.
    private struct NotRun: Error { let reason: String }

    init(_ file: PackedFile, _ checkpoint: Checkpoint, _ options: Verification.Options, on executor: CPU, progress: (String) -> Void) throws(ProofError) {
        self.file = file
        self.checkpoint = checkpoint
        self.options = options
        self.executor = executor
        do {
            try run(progress)
        } catch let error as ProofError {
            throw error
        } catch let error as NotRun {
            outcome.tables.append(ReportTable(title: "Not run layer by layer", columns: ["Reason"], rows: [[error.reason]]))
        } catch let error as InferenceError {
            if let failure = ProofError(machine: error) { throw failure }
            fail("\(error)")
        } catch let error as ConversionError {
            if let failure = ProofError(machine: error) { throw failure }
            fail("\(error)")
        } catch let error as MachineError {
            throw .machine(error)
        } catch {
            fail("\(error)")
        }
    }

    private mutating func fail(_ reason: String) {
        outcome.findings.append(Finding(subject: "layer by layer", what: "run", expected: "both models to run", found: reason))
        outcome.rungs.append(
            Rung(
                id: "P7", claim: "every layer computes what the checkpoint's computes", measure: "not run", gate: "every layer", margin: "none", passed: false,
                reason: "the file's model could not be run"))
    }

    private mutating func run(_ progress: (String) -> Void) throws {
        let components = Set(file.directory.components.map(\.name))
        func has(_ component: Component) -> Bool { components.contains(component.rawValue) }
        guard has(.transformer), has(.vaeDecoder) else { throw NotRun(reason: "the file has no transformer or no autoencoder's decoder") }
        let fusions = Fusions(names: file.directory.fusions)
        let selection = ComponentSelection.listed(file.directory.components.compactMap { Component(rawValue: $0.name) })
        let exact = try SanaSprintPipeline(weights: CheckpointWeights(checkpoint, fusions: .lossless, components: selection), on: executor)
        let perturbedWeights = PerturbedWeights(try CheckpointWeights(checkpoint, fusions: fusions, components: selection), like: file)
        let perturbed = try SanaSprintPipeline(weights: perturbedWeights, on: executor)
        let packedWeights = try PackedWeights(file)
        let packed = try SanaSprintPipeline(weights: packedWeights, on: executor)

        progress("the checkpoint's model")
        var request = try Self.request(for: exact, options, frozen: packedWeights.frozenSchedule)
        let reference = ProbeCollector()
        let expected = try Self.run(exact, request, reference)
        // The encoder sees the checkpoint's picture in every run: one level of difference would be laid at its door.
        request.encoderPicture = expected

        progress("each layer alone, from the checkpoint's inputs")
        try force("Text encoder, layer by layer", "P7", has(.textEncoder), packed, perturbed, reference) { (run, sink) throws(InferenceError) in
            try run.textEncoder(into: sink)
        }
        if file.directory.tensors.contains(where: { $0.activations == .int8PerToken }) {
            let floats = try SanaSprintPipeline(weights: FloatActivations(source: packedWeights), on: executor)
            let floatsPerturbed = try SanaSprintPipeline(weights: FloatActivations(source: perturbedWeights), on: executor)
            try force("Transformer, block by block, weights alone", "P7", true, floats, floatsPerturbed, reference, note: Self.weightsAlone) {
                (run, sink) throws(InferenceError) in
                try run.transformer(into: sink)
            }
            try force("Decoder, stage by stage, weights alone", "P7", true, floats, floatsPerturbed, reference, note: Self.weightsAlone) {
                (run, sink) throws(InferenceError) in
                try run.decoder(into: sink)
            }
        }
        try force(Self.transformerTitle, "P7", true, packed, perturbed, reference) { (run, sink) throws(InferenceError) in
            try run.transformer(into: sink)
        }
        try force("Decoder, stage by stage", "P7", true, packed, perturbed, reference) { (run, sink) throws(InferenceError) in try run.decoder(into: sink) }
        try force("Encoder, stage by stage", "P7", packed.readsPictures, packed, perturbed, reference) { (run, sink) throws(InferenceError) in
            try run.encoder(into: sink)
        }
        addVelocityRung("with identical inputs the transformer predicts the same velocity", of: Self.transformerTitle)

        progress("the file's model, from prompt to picture")
        let found = try compareFree("From prompt to picture", "the whole chain stays as close to the checkpoint's as rounding lets it", request, reference)
        pictures = (expected, found)
        if has(.controlnet) {
            progress("the control network, block by block")
            request.control = try Self.control(for: exact, request, options)
            let reference = ProbeCollector()
            _ = try Self.run(exact, request, reference)
            try force(Self.controlTitle, "P7", true, packed, perturbed, reference) { (run, sink) throws(InferenceError) in try run.control(into: sink) }
            addVelocityRung("with a control network and identical inputs the transformer predicts the same velocity", of: Self.controlTitle)
            _ = try compareFree(
                "From prompt to picture, after a control picture",
                "the whole chain with a control network stays as close to the checkpoint's as rounding lets it", request, reference)
        }
        addFindings()

        /// - Returns: the file's picture.
        func compareFree(_ title: String, _ claim: String, _ request: GenerationRequest, _ reference: ProbeCollector) throws -> Picture {
            let (free, noisy) = (ProbeCollector(), ProbeCollector())
            let found = try Self.run(packed, request, free)
            _ = try Self.run(perturbed, request, noisy)
            let results = try HonestGate.judge(free, reference: reference, predicted: noisy)
            let note = "The file's model from prompt to picture on its own: errors travel and add up."
            series.append(ProbeSeries(title: title, note: note, results: results))
            addRung("P9", claim, results)
            return found
        }
    }

    private static let alone =
        "Each layer is fed what the checkpoint's layer was fed: an error cannot travel, so the layer that is wrong is the one that shows."
    private static let weightsAlone = "As below, but with floating-point activations: what the stored weights cost, without the integer arithmetic."

    private typealias Part = (ForcedRun, ProbeCollector) throws(InferenceError) -> Void

    private mutating func force(
        _ title: String, _ id: String, _ isPresent: Bool, _ packed: SanaSprintPipeline<CPU>, _ perturbed: SanaSprintPipeline<CPU>, _ reference: ProbeCollector,
        note: String = alone, _ part: Part
    ) throws {
        guard isPresent else { return }
        var request = GenerationRequest(prompt: "")
        request.timesteps = .steps(options.steps)
        if let frozen = packed.frozenSchedule { request.follow(frozen, keepsSteps: false, keepsGuidance: false) }
        let (steps, guidance) = (request.timesteps.stepCount, Double(request.guidance))
        let (found, predicted) = (ProbeCollector(), ProbeCollector())
        try part(ForcedRun(pipeline: packed, reference: reference, steps: steps, guidance: guidance), found)
        try part(ForcedRun(pipeline: perturbed, reference: reference, steps: steps, guidance: guidance), predicted)
        let results = try HonestGate.judge(found, reference: reference, predicted: predicted)
        series.append(ProbeSeries(title: title, note: note, results: results, isForced: true))
        addRung(id, "\(title.prefix(1).lowercased() + title.dropFirst()): each computes what the checkpoint's computes", results)
    }

    /// A picture by a model of which nothing stays in memory.
    private static func run(_ pipeline: SanaSprintPipeline<CPU>, _ request: GenerationRequest, _ sink: ProbeCollector) throws(InferenceError) -> Picture {
        try Engine(pipeline, residentBytes: 0).run(Job(request, probes: sink))
    }

    /// The prompt's features come from the text encoder where the file has one, else from the seed.
    static func request(
        for pipeline: SanaSprintPipeline<CPU>, _ options: Verification.Options = .init(), frozen: FrozenSchedule? = nil
    ) throws -> GenerationRequest {
        var request = GenerationRequest(prompt: options.prompt, noise: .seed(options.seed))
        request.useInstruction = false
        request.timesteps = .steps(options.steps)
        if let frozen { request.follow(frozen, keepsSteps: false, keepsGuidance: false) }
        // Eight tokens a side: all code runs, and a full-size model answers in seconds.
        let transformer = pipeline.configuration.transformer
        let side = try min(transformer.sampleSize, 8 * transformer.patch) * pipeline.decoder().configuration.compression
        (request.width, request.height) = (side, side)
        guard !pipeline.has(.textEncoder) else { return request }
        let (positions, channels) = (20, transformer.captionChannels)
        var generator = TorchGenerator(seed: options.seed)
        let features = try Tensor([positions, channels], generator.randn(positions * channels))
        request.promptFeatures = PromptFeatures(features, mask: [Int32](repeating: 1, count: positions))
        return request
    }

    private static let (transformerTitle, controlTitle) = ("Transformer, block by block", "Control network, block by block")

    /// Latents of a picture that a control network follows, by a seed of their own.
    private static func control(
        for pipeline: SanaSprintPipeline<CPU>, _ request: GenerationRequest, _ options: Verification.Options
    ) throws -> ControlRequest {
        let size = try pipeline.size(of: request)
        let side = try pipeline.decoder().configuration.compression
        let shape: Shape = [pipeline.configuration.transformer.channels, size.height / side, size.width / side]
        var generator = TorchGenerator(seed: options.seed + 1)
        return ControlRequest(.latents(try Tensor(shape, generator.randn(shape.elementCount))))
    }

    private mutating func addVelocityRung(_ claim: String, of title: String) {
        let outputs = series.flatMap { $0.title == title ? $0.results : [] }.filter { Probe($0.name)?.kind == .output }
        addRung("P8", claim, outputs)
    }

    private mutating func addRung(_ id: String, _ claim: String, _ results: [ProbeResult]) {
        let worst = results.min { ($0.margin ?? .infinity) < ($1.margin ?? .infinity) }
        let measure = worst.map { result in
            let decibels = result.metrics.sqnr.map { "\(Decimal.fixed($0, digits: 1)) dB" } ?? "exact"
            return "\(results.count { $0.passed }) of \(results.count) probes; closest to its gate: \(result.name), \(decibels)"
        }
        outcome.rungs.append(
            Rung(
                id: id, claim: claim, measure: measure ?? "no probe", gate: worst.map(\.gate.text) ?? "at least one probe",
                margin: worst.map { $0.margin.map { "\(Decimal.short($0))x" } ?? "exact" } ?? "none",
                passed: !results.isEmpty && results.allSatisfy(\.passed), reason: worst?.gate.reason ?? "nothing was measured"))
    }

    /// One finding for each series that has a divergence: its first, since what follows may follow from it.
    private mutating func addFindings() {
        for series in series {
            guard let first = series.results.first(where: { !$0.passed }) else { continue }
            let failed = series.results.count { !$0.passed }
            outcome.findings.append(
                Finding(
                    subject: first.name, what: series.title, expected: first.gate.text, found: first.metrics.distance,
                    hint: "\(failed) of \(series.results.count) probes are off; this is the first"))
        }
    }
}
