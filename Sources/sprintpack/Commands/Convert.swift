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
struct Convert: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Convert a diffusers folder of SANA-Sprint into one .sprint file.",
        discussion: """
            EXAMPLES:
              sprintpack convert sana-1.6b-diffusers -o sana.sprint --preset int8
              sprintpack convert tiny-sprint --preset int8 --dry-run

            FILES OF THE AUTHORS:
              A .pth of NVlabs, or a single safetensors file, is the transformer alone:
              --base names a diffusers folder with all else. --transformer and --vae
              take single models of a folder from files. Such files are read without
              running anything in them (Formats/checkpoint.md).

            PRESETS:
              int8   DiT linears and 1x1 convolutions W8A8, text encoder int8
                     weights, the rest 16 bit
              fp16   everything in float16     bf16   everything in bfloat16
              fp32   exact

            At the end it measures how good the file is (Formats/quality.md): how far
            velocities and pictures of a few prompts are from the checkpoint's, and what
            16-bit arithmetic costs there. It measures only where anything is rounded.
            """)

    @Argument(
        help: ArgumentHelp("The checkpoint: a folder in the diffusers layout, or with --base a file of the transformer's weights.", valueName: "checkpoint"))
    var checkpoint: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "out.sprint"))
    var output: String?

    @Option(help: "What the weights are stored as: fp32, fp16, bf16, int8, or compact: int8 with four bits for the text encoder.")
    var preset: Preset = .int8

    @Option(help: ArgumentHelp("Rules that say otherwise for single tensors (Formats/rules.md).", valueName: "file"))
    var rules: String?

    @Option(
        help: ArgumentHelp(
            "Which parts to pack, separated by commas: \(Component.allCases.map(\.rawValue).joined(separator: ", ")), or all.", valueName: "list"))
    var components: String?

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
        help: ArgumentHelp("Write the file only if the median signal to noise of its velocities is at least this; else exit with 1.", valueName: "dB"))
    var minSQNR: Double?

    @Flag(help: "Replace the output if it exists.")
    var force = false

    @OptionGroup var checkpointOptions: CheckpointOptions
    @OptionGroup var threadOptions: ThreadOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if output == nil && !dryRun { throw ValidationError("-o: expected the file to write (or --dry-run), found nothing") }
        _ = try frozenSchedule()
        try QualityTarget.validate(minSQNR)
        if minSQNR != nil, noQuality || dryRun {
            throw ValidationError("--min-sqnr: expected a conversion that is measured, found \(noQuality ? "--no-quality" : "--dry-run")")
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

    /// What the calibration chooses; nil where a plan leaves no choice, and for a dry run that would have to draw.
    private func choices(for plan: ConversionPlan) throws -> LayerChoices? {
        guard plan.openCount > 0 else { return nil }
        if !dryRun, let output { try Converter.check(plan, output: output, replace: force) }
        if calibration == "none" { return try LayerChoices(dataFree: plan) }
        let statistics: InputStatistics
        if calibration == "auto" {
            guard !dryRun else { return nil }
            try plan.checkCalibration(within: plan.options.memoryBound)
            let bar = common.progress("calibrate", unit: .steps)
            statistics = try Calibrator.run(plan, on: .best) { bar.update(UInt64($0), of: UInt64($1)) }
            bar.finish()
        } else {
            statistics = try InputStatistics(reading: calibration)
        }
        let bar = common.progress("choose", unit: .steps)
        defer { bar.finish() }
        return try LayerChoices(plan, statistics, on: .best) { bar.update(UInt64($0), of: UInt64($1)) }
    }

    func execute() throws -> Outcome {
        threadOptions.apply()
        let bound = try maxMemory.map { text in
            guard let bound = ByteCount.parse(text) else { throw CommandFailure.usage("--max-memory: expected a size such as 512MiB, found \(text)") }
            return bound
        }
        let selection = try components.map { list in
            do throws(ConversionError) { return try ComponentSelection(list) } catch { throw CommandFailure.usage("--components: \(error)") }
        }
        let source = try checkpointOptions.open(checkpoint)
        let ruleFile = try rules.map { try RuleFile(try InputFile(path: $0).contents(limit: 1 << 20)) }
        var options = ConversionOptions(
            preset, rules: ruleFile, components: selection ?? .standard, allowsNonfinite: allowNonFinite, frozenSchedule: try frozenSchedule(),
            memoryBound: bound ?? ConversionOptions.defaultMemoryBound)
        options.leavesOutQuality = noQuality
        var plan = try ConversionPlan(source, options)
        if let choices = try choices(for: plan) {
            options.choose(choices)
            plan = try ConversionPlan(source, options)
        }
        // Less memory than usual is used where the machine or the container has less.
        if !dryRun, bound == nil, let memory = AvailableMemory.now(), plan.memoryNeeded > memory.byteCount {
            options.memoryBound = memory.byteCount
            do throws(ConversionError) { plan = try ConversionPlan(source, options) } catch {
                guard case .memoryBound(let needed, _, _) = error else { throw error }
                throw AllocationError.unavailable(byteCount: needed, available: memory.byteCount, owner: memory.owner)
            }
        }
        guard !dryRun, let output else {
            return Outcome(
                text: ([plan.text] + source.omissionLines).joined(separator: "\n"), json: ["plan": plan.json, "leftOut": source.omissionsJSON])
        }
        if minSQNR != nil, !plan.components.contains(.quality) {
            throw CommandFailure.usage("--min-sqnr: expected quality among --components, found a file that is not measured")
        }
        let bar = common.progress("convert")
        let start = ProgressBar.now()
        var certified: (probes: Int, bytes: Int, seconds: Double, passed: Bool)?
        var quality: (verdict: ReportVerdict, seconds: Double)?
        var shortfall: String?
        func measured(_ file: PackedFile) throws(ConversionError) -> [Converter.Attachment] {
            bar.finish()
            guard !QualityMeasurement.isExact(file.directory) else {
                quality = (Quality.exact, 0)
                return []
            }
            let (began, steps) = (ProgressBar.now(), common.progress("measure", unit: .steps))
            defer { steps.finish() }
            let found: Quality
            do throws(QualityMeasurement.Failure) {
                found = try QualityMeasurement.run(file, source, on: .best, tool: Version.tool) { steps.update(UInt64($0), of: UInt64($1)) }
            } catch { throw .quality("\(error)") }
            quality = (found.verdict(isMeasured: true), ProgressBar.now() - began)
            shortfall = minSQNR.flatMap(found.shortfall)
            if let shortfall { throw .quality(shortfall) }
            return [found.attachment]
        }
        func certify(_ file: PackedFile) throws(ConversionError) -> [Converter.Attachment] {
            bar.finish()
            let (began, steps) = (ProgressBar.now(), common.progress("certify", unit: .steps))
            let certificate: Certificate
            do throws(ProofError) {
                certificate = try Certificate.make(of: file, from: source, on: .best, tool: Version.tool) { steps.update(UInt64($0), of: UInt64($1)) }
            } catch { throw .certificate("\(error)") }
            steps.finish()
            let attachments = certificate.attachments
            certified = (certificate.probeCount, attachments.reduce(0) { $0 + $1.bytes.count }, ProgressBar.now() - began, certificate.passed)
            return attachments
        }
        let summary: PackedFileWriter.Summary
        do throws(ConversionError) {
            summary = try Converter.run(
                plan, on: .best, output: output, replace: force, tool: Version.tool, progress: { bar.update($0.done, of: $0.total) }, certify: certify,
                measure: measured)
        } catch {
            if let shortfall { throw CommandFailure.failed("\(output): \(shortfall); nothing was written") }
            throw error
        }
        bar.finish()
        let seconds = ProgressBar.now() - start
        let read = plan.sourceByteCount
        let worst = summary.directory.worstTensor
        var lines = [
            "\(output)  \(ByteCount.text(summary.totalByteCount)), was \(ByteCount.text(read)) "
                + "(\(Decimal.fixed(100 * Double(summary.totalByteCount) / Double(max(1, read)), digits: 1)) %), in \(Decimal.fixed(seconds, digits: 2)) s"
        ]
        if let worst, let error = worst.error {
            lines.append("largest weight error: \(worst.name)  relative L2 \(Decimal.short(error.relativeL2))")
        }
        if let certified {
            lines.append(
                "certificate: \(certified.probes) probes, \(ByteCount.text(UInt64(certified.bytes))), in \(Decimal.fixed(certified.seconds, digits: 2)) s"
                    + (certified.passed ? "" : "; not all of its claims hold: see verify"))
        }
        lines += source.omissionLines
        if let quality { lines += quality.verdict.lines + (quality.seconds > 0 ? ["  in \(Decimal.fixed(quality.seconds, digits: 2)) s"] : []) }
        let json: JSONObject = [
            "output": .string(output), "bytes": .integer(Int64(summary.totalByteCount)), "sourceBytes": .integer(Int64(read)),
            "seconds": .number(seconds), "syncSeconds": .number(summary.syncDuration / .seconds(1)), "preset": .string(preset.rawValue),
            "contentHash": .string(summary.contentHash), "leftOut": source.omissionsJSON,
            "tensors": JSONValue(summary.directory.tensors.count), "worstTensor": worst.map { .string($0.name) } ?? .null,
            "prefixCacheBytes": plan.prefixCache.map { .integer(Int64($0.byteCount)) } ?? .null,
            "certificate": certified.map {
                ["probes": JSONValue($0.probes), "bytes": JSONValue($0.bytes), "seconds": .number($0.seconds), "passed": .bool($0.passed)]
            } ?? .null,
            "quality": quality?.verdict.json ?? .null,
            "worstRelativeL2": worst?.error.map { .number($0.relativeL2) } ?? .null, "peakBytes": JSONValue(Memory.peak),
        ]
        return Outcome(text: lines.joined(separator: "\n"), json: json, outputs: [output])
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
