import ArgumentParser
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import Tensors

/// `sprintpack bench`: how long the stages of a user's own file take on his own machine.
struct Bench: DeviceVerb {
    static let configuration = CommandConfiguration(
        abstract: "Time the stages and layers of a .sprint file.",
        discussion: """
            A file without a text encoder is timed with the made-up features of 20 tokens.

            EXAMPLES:
              sprintpack bench sana.sprint --layers
              sprintpack bench sana.sprint --width 512 --height 512 --runs 3 --json
            """)

    @Argument(help: ArgumentHelp("The packed file.", valueName: "file.sprint"))
    var file: String

    @Option(help: ArgumentHelp("Width in pixels; the model's own size by default.", valueName: "w"))
    var width: Int?

    @Option(help: ArgumentHelp("Height in pixels; the model's own size by default.", valueName: "h"))
    var height: Int?

    @Option(help: ArgumentHelp("Sampling steps.", valueName: "n"))
    var steps = 2

    @Option(help: ArgumentHelp("Runs; the median is printed.", valueName: "n"))
    var runs = 5

    @Option(help: ArgumentHelp("Arithmetic of weights with 16 or 32 bits: fp32, bf16 or fp16.", valueName: "type"))
    var compute = Compute.float32

    @Flag(help: "Print the time of every layer.")
    var layers = false

    @Option(help: ArgumentHelp("The text of the picture.", valueName: "text"))
    var prompt = "a large red circle on a blue background"

    @Flag(help: "Hold all weights between the runs, as a series of pictures does, and leave out the run that loads them.")
    var resident = false

    @Flag(help: "Time the reading of all weights alone, which a file of some components can do too.")
    var unpack = false

    @OptionGroup var deviceOption: DeviceOption
    @OptionGroup var threadOptions: ThreadOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if !(1...1000).contains(steps) { throw ValidationError("--steps: expected 1 to 1000, found \(steps)") }
        if unpack && resident { throw ValidationError("--unpack and --resident: expected one of them, found both") }
        if !(1...1000).contains(runs) { throw ValidationError("--runs: expected 1 to 1000, found \(runs)") }
        for (name, value) in [("--width", width), ("--height", height)] {
            if let value, !(1...65_536).contains(value) { throw ValidationError("\(name): expected 1 to 65536 pixels, found \(value)") }
        }
    }

    static let prefersCPU = false

    func execute(on executor: some Executor, _ device: UsedDevice) throws -> Outcome {
        threadOptions.apply()
        let packed = try PackedFile.open(file)
        let pipeline = unpack ? nil : try SanaSprintPipeline(weights: PackedWeights(packed), on: executor, compute: compute)
        var request = GenerationRequest(prompt: prompt)
        request.timesteps = .steps(steps)
        if let frozen = pipeline?.frozenSchedule { request.follow(frozen, keepsSteps: true, keepsGuidance: false) }
        request.width = width
        request.height = height
        if let pipeline, !pipeline.has(.textEncoder) {
            request.promptFeatures = try Self.features(channels: pipeline.configuration.transformer.captionChannels)
        }
        // What the largest weight takes that is read whole, and what a picture does.
        let largest = packed.directory.tensors.map { $0.planes.reduce(0) { $0 + Int($1.section.contentByteCount) } }.max() ?? 0
        let engine = pipeline.map { Engine($0, residentBytes: resident ? .max : nil) }
        let statement = try engine.map { try $0.memoryStatement(request) }
        try Memory.check(available: max(2 * largest, statement?.byteCount ?? 0))
        if let refusal = statement?.refusal(on: device, try executor.ownMemory()) { throw CommandFailure.couldNot(refusal) }
        var times: [Stage: [Double]] = [:]
        var laps: [[(name: String, seconds: Double)]] = []
        let bar = common.progress("bench", unit: .steps)
        if let engine, resident { _ = try engine.run(Job(request)) }
        for run in 0..<runs {
            bar.update(UInt64(run), of: UInt64(runs))
            let clock = LayerClock<Stage>(executor.stopwatch())
            // The engine holds the last prompt: each run reads another.
            if resident { request.prompt = "\(prompt) \(run % 10)" }
            if !resident { times[.unpack, default: []].append(try unpackingSeconds(packed)) }
            try runOnce(engine, request, clock)
            let (stages, layers) = try clock.times()
            for (stage, seconds) in durations(stages) { times[stage, default: []].append(seconds) }
            laps.append(layers)
        }
        bar.finish()
        let medians = Stage.allCases.compactMap { stage in times[stage].map { (stage, $0.sorted()[$0.count / 2], $0.min() ?? 0, $0.max() ?? 0) } }
        let unpacked = packed.directory.tensors.reduce(0) { $0 + $1.planes.reduce(0) { $0 + $1.section.contentByteCount } }
        let rows = medians.map { stage, median, least, most in
            [
                stage.rawValue, "\(Decimal.fixed(median * 1e3, digits: 1)) ms",
                "\(Decimal.fixed(least * 1e3, digits: 1)) to \(Decimal.fixed(most * 1e3, digits: 1))",
                stage == .unpack ? "\(ByteCount.text(UInt64(Double(unpacked) / median)))/s of decoded planes" : "",
            ]
        }
        let layerMedians = (laps.first ?? []).indices.map { index in
            (laps[0][index].name, laps.map { $0[index].seconds }.sorted()[laps.count / 2])
        }
        var lines = [Table.text([["stage", "median of \(runs)", "range", ""]] + rows, right: [1, 2])]
        if layers {
            lines.append(Table.text([["up to the probe", "median"]] + layerMedians.map { [$0.0, "\(Decimal.fixed($0.1 * 1e3, digits: 1)) ms"] }, right: [1]))
        }
        lines.append(
            "\(Version.text), on \(device.name), \(Parallel.threads) threads, at most \(ByteCount.text(UInt64(Memory.peak))) of buffers"
                + (device.peakBytes().map { ", \(ByteCount.text(UInt64($0))) on the GPU" } ?? ""))
        var json: JSONObject = [
            "file": .string(file), "compute": .string(compute.rawValue), "device": .string(device.name),
            "runs": JSONValue(runs), "threads": JSONValue(Parallel.threads), "kernels": .string(CPU.best.description),
            "blasCore": .string(CPU.blasCore), "peakBytes": JSONValue(Memory.peak), "decodedBytes": .integer(Int64(unpacked)),
            "stages": .object(JSONObject(medians.map { ($0.0.rawValue, ["median": .number($0.1), "min": .number($0.2), "max": .number($0.3)]) })),
            "layers": .array(layerMedians.map { ["probe": .string($0.0), "median": .number($0.1)] }),
        ]
        if let bytes = device.peakBytes() { json["peakDeviceBytes"] = JSONValue(bytes) }
        return Outcome(text: lines.joined(separator: "\n"), json: json)
    }

    private enum Stage: String, CaseIterable {
        case unpack = "unpack all weights"
        case text = "text encoder"
        case load = "load transformer"
        case sample = "all steps"
        case later = "each step after the first"
        case decode = "decode picture"
    }

    /// This machine's work, whatever computes.
    private func unpackingSeconds(_ packed: PackedFile) throws -> Double {
        let watch = HostStopwatch()
        watch.mark()
        for tensor in packed.directory.tensors { _ = try packed.planes(of: tensor) }
        watch.mark()
        return watch.seconds()[1]
    }

    /// Weights that are not held are loaded as they are needed, the transformer's in a stage of its own.
    private func runOnce(_ engine: Engine<some Executor>?, _ request: GenerationRequest, _ clock: LayerClock<Stage>) throws {
        let job = Job(request, clock: layers ? clock : nil) { stage in
            switch stage {
            case .readingPrompt: clock.begin(.text)
            case .loadingTransformer: clock.begin(.load)
            case .step(1, _): clock.begin(.sample)
            case .step(2, _): clock.begin(.later)
            case .decoding: clock.begin(.decode)
            case .step where layers: clock.begin(.later)
            case .promptCut, .prefixCacheNotUsed, .encodingPicture, .step, .encoding: break
            }
        }
        _ = try engine?.run(job)
        clock.begin(nil)
    }

    /// Seconds of each stage, from its mark to the next: steps are one stage, and those after the first one more.
    private func durations(_ marks: [(stage: Stage?, at: Double)]) -> [(Stage, Double)] {
        let stages = marks.filter { $0.stage != .later }
        var times = zip(stages, stages.dropFirst()).compactMap { mark, next in mark.stage.map { ($0, next.at - mark.at) } }
        if let second = marks.first(where: { $0.stage == .later }), let end = stages.first(where: { $0.at >= second.at }) {
            times.append((.later, (end.at - second.at) / Double(steps - 1)))
        }
        return times
    }

    /// Features as an encoder might give them for a prompt of usual length; what they hold does not matter to the time.
    private static func features(channels: Int) throws -> PromptFeatures {
        var generator = TorchGenerator(seed: 0)
        return PromptFeatures(try Tensor([20, channels], generator.randn(20 * channels)), mask: Array(repeating: 1, count: 20))
    }
}
