import ArgumentParser
import Checkpoints
import Conversion
import Files
import Operations
import Quality
import StrictJSON
import Tensors

/// `sprintpack calibrate`: statistics of what a checkpoint's linears are given, for conversions to choose by.
struct Calibrate: DeviceVerb {
    static let configuration = CommandConfiguration(
        abstract: "Gather statistics that int8 conversions choose by, or join those of several runs.",
        discussion: """
            EXAMPLES:
              sprintpack calibrate sana-1.6b-diffusers -o part3.cal --prompts captions.txt --shard 3/16
              sprintpack calibrate --merge part*.cal -o sana.cal
              sprintpack convert sana-1.6b-diffusers -o sana.sprint --calibration sana.cal

            convert calibrates by itself; this is for prompts of one's own, and
            for many of them, in independent jobs.
            """)

    @Argument(help: ArgumentHelp("The checkpoint, as convert takes it; with --merge, statistics of earlier runs.", valueName: "checkpoint"))
    var inputs: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("The file of statistics to write.", valueName: "out.cal"))
    var output: String

    @Option(help: ArgumentHelp("Prompts to draw, one on each line, instead of those built in.", valueName: "file"))
    var prompts: String?

    @Option(help: ArgumentHelp("Do one part of the prompts, as 3/16: the third of sixteen.", valueName: "i/n"))
    var shard: String?

    @Flag(
        name: .customLong("no-impacts"),
        help: "Leave out what --target-size, --min-sqnr and --preset compact search by: most of the time, where the model is large.")
    var noImpacts = false

    @Flag(help: "Join statistics that were gathered in parts.")
    var merge = false

    @Flag(help: "Replace earlier statistics of that name.")
    var force = false

    @OptionGroup var componentOption: ComponentOption
    @OptionGroup var checkpointOptions: CheckpointOptions
    @OptionGroup var deviceOption: DeviceOption
    @OptionGroup var threadOptions: ThreadOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try OutputName.check("-o", output)
        guard merge else {
            guard inputs.count == 1 else { throw ValidationError("expected one checkpoint, found \(inputs.count); --merge joins statistics") }
            _ = try part()
            return
        }
        if prompts != nil || shard != nil || noImpacts || componentOption.components != nil || checkpointOptions.areUsed || deviceOption.device != .auto {
            throw ValidationError("--merge: expected statistics alone, found options of a run")
        }
    }
}

extension Calibrate {
    private func part() throws -> Calibrator.Part {
        guard let shard else { return Calibrator.Part() }
        let numbers = shard.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard numbers.count == 2, let index = numbers[0], let count = numbers[1], count >= 1, (1...count).contains(index) else {
            throw ValidationError("--shard: expected a part such as 3/16, found \(shard)")
        }
        return Calibrator.Part(index, of: count)
    }

    static var prefersCPU: Bool { true }

    func execute(on executor: some Executor, _ device: UsedDevice) throws -> Outcome {
        threadOptions.apply()
        var statistics: InputStatistics
        var identities: [FileIdentity] = []
        if merge {
            var joined = InputStatistics()
            for path in inputs {
                if let identity = FileIdentity(path: path) { identities.append(identity) }
                try joined.merge(try InputStatistics(reading: path))
            }
            statistics = joined
        } else {
            let selection = try componentOption.selection()
            let source = try checkpointOptions.open(inputs[0], wanted: selection?.folders)
            identities = source.inputIdentities
            try InputStatistics.check(output, replace: force, inputs: identities)
            let plan = try ConversionPlan(source, ConversionOptions(.int8, components: selection ?? .standard))
            let list = try prompts.map { try PromptList.read($0) } ?? Calibrator.prompts
            let bar = common.progress("calibrate", unit: .steps)
            statistics = try Calibrator.run(plan, prompts: list, part: try part(), withImpacts: !noImpacts, on: executor) {
                bar.update(UInt64($0), of: UInt64($1))
            }
            bar.finish()
            if !device.isCPU { statistics.devices = [device.name] }
        }
        try statistics.write(to: output, replace: force, inputs: identities)
        let rows = statistics.layers.values.map(\.count).max() ?? 0
        return Outcome(
            text: "\(output)  \(statistics.layers.count) layers, \(statistics.prompts.count) prompts, up to \(rows) rows each",
            json: [
                "output": .string(output), "layers": JSONValue(statistics.layers.count), "prompts": JSONValue(statistics.prompts.count),
                "rows": JSONValue(rows), "device": .string(device.name),
            ], outputs: [output])
    }
}

/// Prompts in a file, one on each line.
enum PromptList {
    static func read(_ path: String) throws -> [String] {
        guard let text = String(validating: try InputFile.text(path, limit: 1 << 24), as: UTF8.self) else {
            throw CommandFailure.couldNot("\(path): expected prompts in UTF-8, found other bytes")
        }
        let lines = text.split { $0.isNewline }.map { String($0.drop { $0 == " " }) }.filter { !$0.isEmpty }
        guard !lines.isEmpty else { throw CommandFailure.couldNot("\(path): expected prompts, one on each line, found none") }
        return lines
    }
}
