import ArgumentParser
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Parity
import ProbePoints
import StrictJSON
import Tensors

/// `sprintpack generate`: a prompt becomes a picture.
struct Generate: DeviceVerb {
    static let configuration = CommandConfiguration(
        abstract: "Draw the picture of a prompt.",
        discussion: """
            EXAMPLES:
              sprintpack generate sana.sprint --prompt "a lighthouse" --seed 7 -o a.png
              sprintpack generate sana.sprint --prompt "in winter" --image a.png --steps 4 --strength 0.6 -o b.png

            A seed gives the noise that torch.Generator("cpu").manual_seed(seed) gives to
            torch.randn; random, or -1, draws one and says which.

            Several prompts or seeds make a picture of each prompt with each seed, in the
            order of the prompts, then of the seeds: a-1.png, a-2.png and so on, with as
            many digits as the last number has.
            """)

    @Argument(help: ArgumentHelp("The packed file.", valueName: "file.sprint"))
    var file: String

    @Option(parsing: .unconditionalSingleValue, help: ArgumentHelp("What the picture shall show; given again, what the next one shall.", valueName: "text"))
    var prompt: [String] = []

    @Option(help: ArgumentHelp("Prompts of a file, one on each line.", valueName: "file"))
    var prompts: String?

    @Option(help: ArgumentHelp("Sampling steps.", valueName: "n"))
    var steps: Int?

    @Option(help: "How to sample: scm, as SANA-Sprint is, or flow-euler, as models before distillation are.")
    var sampler: Sampler?

    @Option(help: ArgumentHelp("Times from about pi/2 down to 0, separated by commas, or paper4 for the paper's four steps.", valueName: "list"))
    var timesteps: String?

    @Option(
        parsing: .unconditionalSingleValue, help: ArgumentHelp("Seed of the noise, random, or several separated by commas; 0 by default.", valueName: "seed"))
    var seed: [String] = []

    @Option(parsing: .unconditional, help: ArgumentHelp("Guidance scale the network is told; 4.5 by default.", valueName: "g"))
    var guidance: Double?

    @Option(help: ArgumentHelp("Width in pixels; the model's own size by default.", valueName: "w"))
    var width: Int?

    @Option(help: ArgumentHelp("Height in pixels; the model's own size by default.", valueName: "h"))
    var height: Int?

    @Flag(help: "Draw at the nearest shape that the model was trained on and resize, as diffusers does unless told otherwise.")
    var binning = false

    @Flag(help: "Leave out the instruction that the model was trained to find before the prompt.")
    var noInstruction = false

    @Option(help: ArgumentHelp("Arithmetic of weights with 16 or 32 bits: fp32, bf16 or fp16.", valueName: "type"))
    var compute = Compute.float32

    @Option(help: ArgumentHelp("Take noise, prompt, steps and size from a trace.", valueName: "trace"))
    var inputs: String?

    @Flag(help: "With --inputs: take the prompt's features from the trace too, and skip the text encoder.")
    var textFromInputs = false

    @Option(help: ArgumentHelp("Write every probe point to a trace (Formats/trace.md).", valueName: "out.safetensors"))
    var trace: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("The PNG to write; - for standard output.", valueName: "image.png"))
    var output: String?

    @Flag(help: "Print how much memory each stage would take, and draw nothing.")
    var dryRun = false

    @Flag(help: "Replace outputs that exist.")
    var force = false

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var controlOptions: ControlOptions
    @OptionGroup var deviceOption: DeviceOption
    @OptionGroup var threadOptions: ThreadOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if let steps, !(1...Self.maximumSteps).contains(steps) { throw ValidationError("--steps: expected 1 to \(Self.maximumSteps), found \(steps)") }
        _ = try timestepPlan()
        if binning && (imageOptions.image != nil || controlOptions.control != nil) {
            throw ValidationError(
                "--binning: expected no picture to start from, found --image or --control; state the size it is drawn at with --width and --height")
        }
        if timesteps != nil && sampler == .flowEuler { throw ValidationError("--timesteps: expected --steps with --sampler flow-euler, found a list") }
        _ = try seed.map(SeedWord.list)
        if steps != nil && timesteps != nil { throw ValidationError("--steps and --timesteps: expected one of them, found both") }
        if let guidance, !(guidance.isFinite && abs(guidance) <= 1000) {
            throw ValidationError("--guidance: expected a number from -1000 to 1000, found \(guidance)")
        }
        for (name, value) in [("--width", width), ("--height", height)] {
            if let value, !(1...65_536).contains(value) { throw ValidationError("\(name): expected 1 to 65536 pixels, found \(value)") }
        }
        if output == nil && !dryRun { throw ValidationError("-o: expected the picture to write (or --dry-run), found nothing") }
        try checkOutputs()
        if !prompt.isEmpty && prompts != nil { throw ValidationError("--prompt and --prompts: expected one of them, found both") }
        if prompt.isEmpty && prompts == nil && inputs == nil && !dryRun {
            throw ValidationError("--prompt: expected the text of the picture (or --inputs), found nothing")
        }
        if textFromInputs && inputs == nil { throw ValidationError("--text-from-inputs: expected --inputs with the trace that holds the features, found none") }
    }
}

extension Generate {
    private static let maximumSteps = 1000
    /// Endings that promise another format than PNG.
    private static let otherPictures = ["jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "jxl", "ppm", "svg"]

    private func checkOutputs() throws {
        try OutputName.check("--trace", trace)
        guard let output else { return }
        if let ending = Self.otherPictures.first(where: { output.lowercased().hasSuffix(".\($0)") }) {
            throw ValidationError("-o: expected the name of a PNG, found one that ends in .\(ending); sprintpack writes no other format")
        }
        if output == "-" && common.json { throw ValidationError("-o: expected a file beside --json, found -; both would go to standard output") }
        if let trace, Paths.areSame(output, trace) { throw ValidationError("--trace: expected another file than that of -o, found \(trace) for both") }
    }

    static var prefersCPU: Bool { false }

    func execute(on executor: some Executor, _ device: UsedDevice) throws -> Outcome {
        threadOptions.apply()
        let source = try inputs.map { try GenerationInputs(TraceFile.open($0)) }
        let packed = try PackedFile.open(file)
        let pipeline = try SanaSprintPipeline(weights: PackedWeights(packed), on: executor, compute: compute)
        let (original, control) = (try imageOptions.open(), try controlOptions.open())
        let series = try series(source, pipeline) { request in
            try imageOptions.follow(original, &request, pipeline)
            try controlOptions.follow(control, &request, pipeline)
        }
        let own = try executor.ownMemory()
        let engine = try Engine.forSeries(pipeline, of: series.items, free: own?.free)
        let statement = try engine.memoryStatement(series.items[0].request)
        let refusal = statement.refusal(on: device, own)
        guard !dryRun else { return statement.outcome(on: device, own, refusal) }
        if let refusal { throw CommandFailure.couldNot(refusal) }

        let protected = [packed.identity] + [source?.trace.identity, original?.identity, control?.identity].compactMap { $0 }
        // Outputs are opened first: a picture that cannot be written should not be computed.
        for item in series.items where item.output != "-" { _ = try OutputFile(path: item.output, kind: .picture, replace: force, inputs: protected) }
        if let trace { _ = try OutputFile(path: trace, kind: .trace, replace: force, inputs: protected) }
        // What the machine cannot give is better refused now than in the middle of the work.
        try Memory.check(available: statement.byteCount)

        var (drawn, peaks) = ([Drawn](), StagePeaks())
        for item in series.items {
            do { drawn.append(try draw(item, by: engine, on: device, packed, protected, number: drawn.count + 1, of: series.items.count, &peaks)) } catch {
                guard !drawn.isEmpty else { throw error }
                throw CommandFailure.couldNot("\(error); complete: \(drawn.map(\.output).joined(separator: ", "))")
            }
        }
        return outcome(drawn, on: device, statement, peaks)
    }

    /// A picture that is complete.
    private struct Drawn {
        let output: String
        let line: String
        let seconds: Double
        let settings: JSONObject
        /// For standard output.
        let data: [UInt8]?
        var probes = 0
    }

    /// What is drawn: the trace's or the default request, with what the options say.
    /// - Parameter pictures: has the request follow the pictures of the options.
    private func series(
        _ source: GenerationInputs?, _ pipeline: SanaSprintPipeline<some Executor>, _ pictures: (inout GenerationRequest) throws -> Void
    ) throws -> PictureSeries {
        var request = try source?.request(textFromInputs: textFromInputs) ?? GenerationRequest(prompt: "")
        if noInstruction { request.useInstruction = false }
        if let plan = try timestepPlan() { request.timesteps = plan }
        if let sampler { request.sampler = sampler }
        request.usesBinning = binning
        if let guidance { request.guidance = Float(guidance) }
        if let width { request.width = width }
        if let height { request.height = height }
        follow(pipeline, &request)
        try pictures(&request)
        let series = try PictureSeries(
            request, prompts: prompts.map { try PromptList.read($0) } ?? prompt, seeds: seed.flatMap { try SeedWord.list($0) }, output: output ?? "")
        guard trace == nil || series.items.count == 1 else {
            throw CommandFailure.usage("--trace: expected one picture, found \(series.items.count) of them; a trace is of one")
        }
        return series
    }

    private func draw(
        _ item: PictureSeries.Item, by engine: Engine<some Executor>, on device: UsedDevice, _ packed: PackedFile, _ protected: [FileIdentity],
        number: Int, of count: Int, _ peaks: inout StagePeaks
    ) throws -> Drawn {
        let picture = item.output == "-" ? nil : try OutputFile(path: item.output, kind: .picture, replace: force, inputs: protected)
        let recorder = trace == nil ? nil : TraceRecorder()
        let bar = common.progress(count == 1 ? "generate" : "generate \(number) of \(count)", unit: .steps)
        let subject = count == 1 ? "" : "\(item.output): "
        let start = ProgressBar.now()
        var stages = peaks
        let job = Job(item.request, probes: recorder) { stage in
            stages.begin(stage)
            switch stage {
            case .promptCut(let tokens):
                Console.warn("\(subject)the prompt is \(tokens) tokens longer than the model takes; its end was cut off, as diffusers does")
            case .prefixCacheNotUsed(let reason):
                if number == 1 { Console.warn("the file's prefix cache is not used, everything is computed: \(reason)") }
            case .step(let step, let count): bar.update(UInt64(step - 1), of: UInt64(count))
            case .readingPrompt, .encodingPicture, .loadingTransformer, .decoding, .encoding: break
            }
        }
        let image = try engine.run(job)
        bar.finish()
        stages.end()
        peaks = stages
        let seconds = ProgressBar.now() - start
        var settings = self.settings(item.request, image, packed)
        // A picture of the CPU is the same on all of them.
        if !device.isCPU { settings["device"] = .string(device.name) }
        let notes = [PNGImage.drawn(by: Version.tool), PNGImage.Note("parameters", JSONValue.object(settings).text)]
        let png = try PNGImage.encode(width: image.width, height: image.height, rgb: image.rgb, notes: notes)
        try picture?.write(png)
        if let trace, let recorder {
            try TraceFile.write(recorder.probes, metadata: settings, to: trace, replace: force, inputs: protected)
        }
        try picture?.commit()
        let seed = settings["seed"].map { ", seed \($0.string ?? $0.text)" } ?? ""
        return Drawn(
            output: item.output,
            line:
                "\(item.output)  \(image.width) x \(image.height), \(item.request.timesteps.stepCount) steps\(seed), in \(Decimal.fixed(seconds, digits: 2)) s on \(device.name)",
            seconds: seconds, settings: settings, data: picture == nil ? png : nil, probes: recorder?.probes.count ?? 0)
    }

    private func outcome(_ drawn: [Drawn], on device: UsedDevice, _ statement: MemoryStatement, _ peaks: StagePeaks) -> Outcome {
        var lines = drawn.map(\.line)
        if let trace { lines.append("\(trace)  \(drawn[0].probes) probes") }
        let pictures = drawn.map { ["output": .string($0.output), "seconds": .number($0.seconds), "settings": .object($0.settings)] as JSONObject }
        var json =
            pictures.count == 1 ? pictures[0] : ["pictures": .array(pictures.map { .object($0) }), "seconds": .number(drawn.reduce(0) { $0 + $1.seconds })]
        json["device"] = .string(device.name)
        json["peakBytes"] = JSONValue(peaks.byteCount)
        if let bytes = device.peakBytes() { json["peakDeviceBytes"] = JSONValue(bytes) }
        if let resident = Memory.peakResident { json["peakResidentBytes"] = JSONValue(resident) }
        json["memory"] = statement.json(measured: peaks)
        if let trace { json["trace"] = .string(trace) }
        let outputs = drawn.map(\.output).filter { $0 != "-" } + [trace].compactMap { $0 }
        return Outcome(text: lines.joined(separator: "\n"), json: json, data: drawn[0].data, outputs: outputs)
    }

    private func follow(_ pipeline: SanaSprintPipeline<some Executor>, _ request: inout GenerationRequest) {
        let statesSteps = steps != nil || timesteps != nil || inputs != nil
        let model = pipeline.configuration.transformer
        request.follow(model, keepsSteps: statesSteps)
        if !model.embedsGuidance, request.sampler == .consistency {
            Console.warn("the model was not distilled to few steps; --sampler flow-euler draws as SANA's users do")
        }
        guard let schedule = pipeline.frozenSchedule else { return }
        request.follow(schedule, keepsSteps: statesSteps, keepsGuidance: guidance != nil || inputs != nil)
    }

    /// The plan of `--steps` or `--timesteps`, nil where neither is given.
    private func timestepPlan() throws -> TimestepPlan? {
        if let steps { return .steps(steps) }
        guard let timesteps else { return nil }
        if let named = TimestepPlan.named.first(where: { $0.name == timesteps }) { return named.plan }
        let times = timesteps.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
        guard times.count >= 2, times.allSatisfy({ $0?.isFinite == true }) else {
            let names = TimestepPlan.named.map(\.name).joined(separator: ", ")
            throw ValidationError("--timesteps: expected at least two numbers separated by commas that fall to 0, or \(names); found \(timesteps)")
        }
        let plan = TimestepPlan.custom(times.compactMap { $0 })
        do { _ = try plan.times(maximumSteps: Self.maximumSteps) } catch { throw ValidationError("--\(error)") }
        return plan
    }

    /// What the picture depends on: stored in the picture, in the trace and in the JSON.
    private func settings(_ request: GenerationRequest, _ image: Picture, _ packed: PackedFile) -> JSONObject {
        var settings: JSONObject = [
            "prompt": .string(request.prompt), "instruction": .bool(request.useInstruction), "steps": JSONValue(request.timesteps.stepCount),
            "guidance": .number(Double(request.guidance)), "width": JSONValue(image.width), "height": JSONValue(image.height),
            "dtype": .string(compute.traceWord),
            "weights": .string(packed.traceWeights.rawValue), "tool": .string(Version.tool), "model": .string(packed.contentHash),
        ]
        if request.usesBinning { settings["binning"] = true }
        if request.sampler != .consistency { settings["sampler"] = .string(request.sampler.rawValue) }
        if case .custom(let times) = request.timesteps { settings["timesteps"] = .array(times.map { .number($0) }) }
        if request.picture != nil { settings["strength"] = .number(imageOptions.appliedStrength) }
        if let control = request.control { settings["conditioning_scale"] = .number(control.scale) }
        switch request.noise {
        case .seed(let seed): settings["seed"] = seed <= UInt64(Int64.max) ? .integer(Int64(seed)) : .string("\(seed)")
        case .given: settings["noise"] = "given"
        }
        return settings
    }
}

extension Sampler: ExpressibleByArgument {}

/// What a trace says about the run that wrote it, as a request for the same run.
private struct GenerationInputs {
    let trace: TraceFile

    init(_ trace: TraceFile) { self.trace = trace }

    func request(textFromInputs: Bool) throws -> GenerationRequest {
        let meta = try JSONFields(.object(trace.metadata), subject: "\(trace.path): meta")
        let latents = try tensor(Probe(.start))
        var noises: [Tensor] = []
        while let noise = Optional(Probe(.noise, step: noises.count)), trace.entry(noise.name) != nil { noises.append(try tensor(noise)) }
        var request = GenerationRequest(prompt: try meta.string("prompt", default: ""), noise: .given(latents: latents, steps: noises))
        request.useInstruction = try meta.bool("instruction", default: true)
        request.guidance = Float(try meta.double("guidance", default: 4.5))
        if meta.value("width") != nil { request.width = try meta.int("width", in: 1...65_536) }
        if meta.value("height") != nil { request.height = try meta.int("height", in: 1...65_536) }
        if meta.value("steps") != nil { request.timesteps = .steps(try meta.int("steps", in: 1...1000)) }
        // A trace states the times it used; the grid of a number of steps is only a default.
        let times = try meta.array("timesteps", default: []).compactMap(\.double)
        if times.count >= 2 { request.timesteps = .custom(times) }
        if meta.value("sampler") != nil {
            let name = try meta.string("sampler", default: "")
            guard let sampler = Sampler(rawValue: name) else {
                throw CommandFailure.usage(
                    "\(trace.path): meta: sampler: expected \(Sampler.allCases.map(\.rawValue).joined(separator: " or ")), found \(name)")
            }
            request.sampler = sampler
        }
        if textFromInputs {
            request.promptFeatures = PromptFeatures(try tensor(Probe(.promptEmbeds)), mask: try tensor(Probe(.promptMask)).elements.map { Int32($0) })
        }
        let scale = try meta.double("conditioning_scale", default: 1)
        if trace.entry(Probe(.controlPixels).name) != nil {
            request.control = ControlRequest(.pixels(try tensor(Probe(.controlPixels)).unbatched), scale: scale)
        } else if trace.entry(Probe(.controlLatents).name) != nil {
            request.control = ControlRequest(.latents(try tensor(Probe(.controlLatents))), scale: scale)
        }
        let bytes = Probe(.bytes).name
        if trace.entry(bytes) != nil { request.encoderPicture = Picture(try trace.read(bytes)) }
        return request
    }

    private func tensor(_ probe: Probe) throws -> Tensor { try trace.read(probe.name).widened() }
}

extension Tensor {
    /// Without a first axis of one.
    fileprivate var unbatched: Tensor { shape.rank == 4 && shape[0] == 1 ? reshaped(Shape(Array(shape.extents.dropFirst()))) : self }
}

/// Keeps every probe of a run for a trace file.
private final class TraceRecorder: ProbeSink {
    private(set) var probes: [(name: String, tensor: EncodedTensor)] = []

    func wants(_ probe: Probe) -> Bool { true }
    func record(_ probe: Probe, _ value: EncodedTensor) { probes.append((probe.name, value)) }
}

extension PackedFile {
    /// How the weights of a run with this file were rounded, as its trace states it.
    fileprivate var traceWeights: TraceWeights {
        // A word that traces do not know stands for the coarsest of those they know.
        directory.tensors.filter { ($0.error?.relativeL2 ?? 0) > 0 }
            .map { TraceWeights(rawValue: $0.scheme.traceWord) ?? .int8 }.reduce(.exact, TraceWeights.coarser)
    }
}
