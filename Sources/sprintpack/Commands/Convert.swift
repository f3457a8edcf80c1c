import ArgumentParser
import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Parity
import Proof
import Quality
import StrictJSON
import Tensors

/// `sprintpack convert`: a checkpoint becomes one packed file.
struct Convert: DeviceVerb {
    static let configuration = CommandConfiguration(
        abstract: "Convert a diffusers folder of SANA-Sprint into one .sprint file.",
        discussion: """
            EXAMPLES:
              sprintpack convert sana-1.6b-diffusers -o sana.sprint --preset int8
              sprintpack convert sana-1.6b-diffusers -o sana.sprint --target-size 2.8GB

            FILES OF THE AUTHORS:
              A .pth of NVlabs, or a single safetensors file, is the transformer alone:
              --base names a diffusers folder with all else. --transformer and --vae
              take single models of a folder from files. Such files are read without
              running anything in them (Formats/checkpoint.md).

            LORA:
              --lora style.safetensors=0.7 adds an adapter to the weights before they are
              stored; several add up. Names of PEFT, diffusers, kohya and OneTrainer.

            PRESETS:
              int8     DiT linears and 1x1 convolutions W8A8, text encoder int8
                       weights, the rest 16 bit
              compact  as int8, with four bits for the text encoder and for those
                       linears of the DiT that lose least by it, eight for embedders
                       and cross-attention K/V
              fp16   everything in float16     bf16   everything in bfloat16
              fp32   exact

            Without a preset, --target-size and --min-sqnr search: each layer of the
            DiT and of the text encoder gets 16, 8 or 4 bits, where they are worth most
            (Formats/calibration.md).

            At the end it measures how good the file is (Formats/quality.md): how far
            velocities and pictures of a few prompts are from the checkpoint's, and what
            16-bit arithmetic costs there. It measures only where anything is rounded.
            """)

    @Argument(
        help: ArgumentHelp("The checkpoint: a folder in the diffusers layout, or with --base a file of the transformer's weights.", valueName: "checkpoint"))
    var checkpoint: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "out.sprint"))
    var output: String?

    @Option(help: "What the weights are stored as: fp32, fp16, bf16, int8 (default) or compact.")
    var preset: Preset?

    @Option(help: ArgumentHelp("Search for the best file of at most this size, for instance 2.8GB.", valueName: "size"))
    var targetSize: String?

    @Option(help: ArgumentHelp("Rules that say otherwise for single tensors (Formats/rules.md).", valueName: "file"))
    var rules: String?

    @OptionGroup var componentOption: ComponentOption

    @Option(
        help: ArgumentHelp(
            "Keep the embeddings of these sampling plans alone (numbers of steps or paper4, separated by commas) instead of the networks that compute them.",
            valueName: "list"))
    var freezeSteps: String?

    @Option(help: ArgumentHelp("With --freeze-steps: the guidance scales, separated by commas; 4.5 by default.", valueName: "list"))
    var freezeGuidance: String?

    @Option(
        help: ArgumentHelp(
            "What int8 layers are chosen by: auto, which draws a few pictures with the checkpoint; none, the weights alone; or statistics of `calibrate`.",
            valueName: "file"))
    var calibration = "auto"

    @Flag(help: "Read headers only, print what would be written, and write nothing.")
    var dryRun = false

    @Option(help: ArgumentHelp("Memory the conversion may use, all in all, for instance 512MiB; 1GiB by default, or what there is.", valueName: "size"))
    var maxMemory: String?

    @Flag(name: .customLong("allow-nonfinite"), help: "Convert weights that hold NaN or infinity; they are counted in the file.")
    var allowNonFinite = false

    @Flag(name: .customLong("no-quality"), help: "Do not measure how good the file is.")
    var noQuality = false

    @Option(
        name: .customLong("min-sqnr"),
        help: ArgumentHelp(
            "Write the file only if the median signal to noise of its velocities is at least this; else exit with 1. Without --preset and --target-size: search for the smallest such file.",
            valueName: "dB"))
    var minSQNR: Double?

    @Flag(help: "Replace the output if it exists.")
    var force = false

    @OptionGroup var checkpointOptions: CheckpointOptions
    @OptionGroup var deviceOption: DeviceOption
    @OptionGroup var threadOptions: ThreadOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try OutputName.check("-o", output)
        if output == nil && !dryRun { throw ValidationError("-o: expected the file to write (or --dry-run), found nothing") }
        _ = try frozenSchedule()
        try QualityTarget.validate(minSQNR)
        if minSQNR != nil, noQuality { throw ValidationError("--min-sqnr: expected a conversion that is measured, found --no-quality") }
        let goal = try goal()
        if dryRun, minSQNR != nil, goal == nil { throw ValidationError("--min-sqnr: expected a conversion that is measured, found --dry-run") }
        if dryRun, goal != nil, calibration == "auto" {
            throw ValidationError("--dry-run: expected --calibration with statistics of `sprintpack calibrate` to predict by, found none")
        }
    }
}

extension Convert {
    /// The schedule of `--freeze-steps` and `--freeze-guidance`, nil without them.
    private func frozenSchedule() throws -> FrozenSchedule? {
        guard let freezeSteps else {
            if freezeGuidance != nil { throw ValidationError("--freeze-guidance: expected --freeze-steps with it, found none") }
            return nil
        }
        func words(_ list: String) -> [String] { list.split(separator: ",", omittingEmptySubsequences: false).map { String($0) } }
        let guidance = words(freezeGuidance ?? "4.5").map { Double($0) }
        guard guidance.allSatisfy({ $0?.isFinite == true }) else {
            throw ValidationError("--freeze-guidance: expected numbers separated by commas, found \(freezeGuidance ?? "")")
        }
        do throws(InferenceError) {
            return try FrozenSchedule(steps: words(freezeSteps), guidance: guidance.compactMap { $0 })
        } catch { throw ValidationError("--freeze-steps: \(error)") }
    }

    /// What is searched for; nil where the preset decides.
    private func goal() throws -> PolicySearch.Goal? {
        if let targetSize {
            guard preset == nil, calibration != "none" else {
                throw ValidationError(
                    "--target-size: expected a search, found \(calibration == "none" ? "--calibration none" : "--preset, which decides alone")")
            }
            guard let size = ByteCount.parse(targetSize) else { throw ValidationError("--target-size: expected a size such as 2.8GB, found \(targetSize)") }
            return .bytes(UInt64(size))
        }
        return preset == nil && calibration != "none" ? minSQNR.map { .sqnr($0) } : nil
    }

    /// Statistics of a file or, where it is told to calibrate by itself, of a few pictures; nil for a dry run that would have to draw.
    private func statistics(for plan: ConversionPlan, withImpacts: Bool, on executor: some Executor, _ device: UsedDevice) throws -> InputStatistics? {
        guard calibration == "auto" else { return try InputStatistics(reading: calibration) }
        guard !dryRun else { return nil }
        try Calibrator.check(plan, within: plan.options.memoryBound, withImpacts: withImpacts)
        let bar = common.progress("calibrate", unit: .steps)
        defer { bar.finish() }
        var statistics = try Calibrator.run(plan, withImpacts: withImpacts, on: executor) { bar.update(UInt64($0), of: UInt64($1)) }
        if !device.isCPU { statistics.devices = [device.name] }
        return statistics
    }

    static var prefersCPU: Bool { true }

    func execute(on executor: some Executor, _ device: UsedDevice) throws -> Outcome {
        threadOptions.apply()
        let bound = try maxMemory.map { text in
            guard let bound = ByteCount.parse(text) else { throw CommandFailure.usage("--max-memory: expected a size such as 512MiB, found \(text)") }
            return bound
        }
        let selection = try componentOption.selection()
        let source = try checkpointOptions.open(checkpoint, wanted: selection?.folders)
        let ruleFile = try rules.map { try RuleFile(try InputFile.text($0, limit: 1 << 20)) }
        var options = ConversionOptions(
            preset ?? .int8, rules: ruleFile, components: selection ?? .standard, allowsNonfinite: allowNonFinite, frozenSchedule: try frozenSchedule(),
            memoryBound: bound ?? ConversionOptions.defaultMemoryBound)
        options.leavesOutQuality = noQuality
        let plan = try ConversionPlan(composing: source, options)
        if checkpointOptions.controlnet != nil, !plan.components.contains(.controlnet) {
            throw CommandFailure.usage("--controlnet: expected controlnet among --components, found a file without it")
        }
        if minSQNR != nil, !dryRun, !plan.components.contains(.quality) {
            throw CommandFailure.usage("--min-sqnr: expected quality among --components, found a file that is not measured")
        }
        if !dryRun, let output { try Converter.check(plan, output: output, replace: force) }
        let goal = try goal() ?? (preset == .compact && calibration != "none" ? .share(PolicySearch.compactShare) : nil)
        let policy = try policy(of: plan, goal) { try statistics(for: plan, withImpacts: $0, on: executor, device) }
        guard !dryRun, let output else {
            options.choose(policy.choices)
            let planned = try ConversionPlan(composing: source, options)
            var json: JSONObject = [
                "plan": planned.json, "leftOut": source.omissionsJSON, "adapters": source.adaptersJSON, "notes": source.notesJSON,
            ]
            json["search"] = policy.prediction.flatMap { prediction in goal.map { prediction.json(of: $0) } } ?? .null
            let lines = [planned.text] + (policy.prediction.map { ["search: \($0.text)"] } ?? []) + source.adapterLines + source.omissionLines
            return Outcome(text: lines.joined(separator: "\n"), json: json)
        }
        var job = ConvertJob(source: source, output: output, force: force, common: common, minSQNR: minSQNR)
        job.adaptsMemory = bound == nil
        return try job.run(options, policy, goal)
    }

    /// What is stored how, by statistics; no choices where the plan leaves none or would have to draw for them.
    private func policy(
        of plan: ConversionPlan, _ goal: PolicySearch.Goal?, by statistics: (_ withImpacts: Bool) throws -> InputStatistics?
    ) throws -> ConvertJob.Policy {
        if let goal, plan.impactUnits.linears.isEmpty {
            guard case .share = goal else {
                throw CommandFailure.usage("--target-size, --min-sqnr: expected linears that no rule decides about to search among, found none")
            }
        } else if let goal, let statistics = try statistics(true) {
            let bar = common.progress("choose", unit: .steps)
            defer { bar.finish() }
            let search = try PolicySearch(plan, statistics, on: .best) { bar.update(UInt64($0), of: UInt64($1)) }
            return try ConvertJob.Policy(search, goal, correction: ConvertJob.firstCorrection(goal))
        }
        guard plan.openCount > 0 else { return ConvertJob.Policy() }
        if calibration == "none" { return ConvertJob.Policy(choices: try LayerChoices(dataFree: plan)) }
        guard let statistics = try statistics(false) else { return ConvertJob.Policy() }
        let bar = common.progress("choose", unit: .steps)
        defer { bar.finish() }
        return ConvertJob.Policy(choices: try LayerChoices(plan, statistics, on: .best) { bar.update(UInt64($0), of: UInt64($1)) })
    }
}

extension Preset: ExpressibleByArgument {}

extension ConversionPlan {
    /// The plan as a table. Sizes are those of the planes before compression.
    fileprivate var text: String {
        var rows = [["component", "stored as", "tensors", "before", "after"]]
        for total in totals {
            let sizes = [ByteCount.text(total.sourceByteCount), ByteCount.text(total.packedByteCount)]
            rows.append([total.component.rawValue, total.storage, "\(total.tensors)"] + sizes)
        }
        rows.append(["all", "", "\(tensors.count)", ByteCount.text(sourceByteCount), ByteCount.text(packedByteCount)])
        let frozen = options.frozenSchedule.map { "\nfrozen for \($0.description): \($0.rows.count) embeddings" } ?? ""
        let files = ByteCount.text(blobs.reduce(0) { $0 + UInt64($1.bytes.count) })
        let fusions = options.fusions.isEmpty ? "none" : options.fusions.names.joined(separator: ", ")
        let cache = prefixCache.map { "\nprefix cache: \($0.tokens) tokens of the instruction, \(ByteCount.text($0.byteCount)), computed at the end" } ?? ""
        let certificate = components.contains(.certificate) ? "\ncertificate: what proves the layers again without the checkpoint, computed at the end" : ""
        let quality =
            components.contains(.quality) ? "\nquality: how far the model is from the checkpoint's, measured at the end where anything is rounded" : ""
        let calibration =
            openCount > 0 ? "\ncalibration: what \(openCount) int8 linears are stored as is chosen before converting; their sizes differ by less than 2 %" : ""
        return Table.text(rows, right: [2, 3, 4]) + calibration + cache + certificate + quality + frozen
            + "\n\(blobs.count) small files, \(files); fusions: \(fusions); memory needed: \(ByteCount.text(UInt64(memoryNeeded)))\nsizes are before compression"
    }
}

extension Directory {
    /// The tensor whose stored values are furthest from its source's.
    var worstTensor: TensorEntry? {
        tensors.max { ($0.error?.relativeL2 ?? 0) < ($1.error?.relativeL2 ?? 0) }
    }
}
