import ArgumentParser
import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import Proof
import StrictJSON
import Tensors

/// `sprintpack verify`: is the file whole, and does it still hold what the checkpoint holds?
struct Verify: DeviceVerb {
    static let configuration = CommandConfiguration(
        abstract: "Prove that a .sprint file is whole and, with --against, that it equals its checkpoint.",
        discussion: """
            EXAMPLES:
              sprintpack verify sana.sprint
              sprintpack verify sana.sprint --against sana-1.6b-diffusers --html r.html

            Alone: every byte, and what the file's certificate says of its layers,
            computed again (Formats/certificate.md).

            With --against: the SHA-256 of every source tensor, every packed tensor derived again, the ladder from the
            quantizer to single operations in float64, and both models run layer by layer. What differs is told with its cause where one fits.
            Where nothing does, and layers are quantized, it advises which of them to keep in 16 bits; --quiet leaves that out,
            unless it stands in a report.

            With --device cuda also that the file's model computes on that GPU what it computes on the CPU: every weight as it
            lies there, layers at their own size, and the certificate's steps. What is proved against a checkpoint is proved on the CPU.

            It begins with two verdicts: whether the file is right, and how good it is
            (Formats/quality.md): measured with --against, else as recorded in the file.
            """)

    @Argument(help: ArgumentHelp("The packed file.", valueName: "file.sprint"))
    var file: String

    @Option(help: ArgumentHelp("The checkpoint it was made from, as convert was given it.", valueName: "checkpoint"))
    var against: String?

    @Option(help: ArgumentHelp("Write the report as a page.", valueName: "report.html"))
    var html: String?

    @Option(
        name: .customLong("min-sqnr"),
        help: ArgumentHelp("Exit with 1 where the median signal to noise of the velocities is below this.", valueName: "dB"))
    var minSQNR: Double?

    @OptionGroup var checkpointOptions: CheckpointOptions
    @OptionGroup var deviceOption: DeviceOption
    @OptionGroup var threadOptions: ThreadOptions
    @OptionGroup var common: CommonOptions
}

extension Verify {
    func validate() throws {
        try OutputName.check("--html", html)
        try QualityTarget.validate(minSQNR)
        if against == nil, checkpointOptions.areUsed { throw ValidationError("--against: expected the checkpoint that the options are of, found none") }
    }

    static let prefersCPU = true

    func execute(on executor: some Executor, _ device: UsedDevice) throws -> Outcome {
        threadOptions.apply()
        let packed: PackedFile
        do throws(PackedFileError) {
            packed = try PackedFile.open(file)
        } catch {
            // Damage that a checksum proves is a verdict on the file; everything else means that there was nothing to judge.
            guard error.isDamage else { throw error }
            throw CommandFailure.failed("\(error)")
        }
        let folders = Set(packed.directory.components.compactMap { Component(rawValue: $0.name)?.folder })
        let checkpoint = try against.map {
            try checkpointOptions.open($0, wanted: folders.union(ComponentSelection.always), recorded: packed.ignored)
        }
        let inputs = [packed.identity] + (checkpoint?.inputIdentities ?? [])
        let page = try ReportPage(html, inputs: inputs)
        let memoryNeeded = max(
            Verification.memoryNeeded(packed, against: checkpoint, on: .best), device.isCPU ? 0 : Verification.memoryToProve(packed, against: .best))
        try Memory.check(available: memoryNeeded)
        let (reading, deriving) = (common.progress("read"), common.progress("derive", unit: .steps))
        var options = Verification.Options()
        // What nobody is told need not be found out: it takes longer than all else.
        options.advises = !common.quiet || common.json || html != nil
        options.measuresQuality = true
        func follow(_ progress: Verification.Progress) {
            switch progress {
            case .reading(let done, let total): reading.update(done, of: total)
            case .deriving(_, let done, let total): deriving.update(UInt64(done), of: UInt64(total))
            case .running: ProgressBar.erase()
            }
        }
        var verification = try Verification(packed, against: checkpoint, on: .best, options: options, progress: follow)
        if !device.isCPU {
            try verification.prove(packed, on: executor, Verification.Device(device.name, environment: device.properties), against: .best, progress: follow)
        }
        ProgressBar.erase()
        let command = Shell.command(
            ["sprintpack", "verify", file] + Shell.option("--against", against) + checkpointOptions.words + Shell.option("--html", html)
                + Shell.option("--min-sqnr", minSQNR.map { "\($0)" }) + Shell.option("--device", device.isCPU ? nil : "\(deviceOption.device)"))
        var report = verification.report(environment: Version.environment, command: command, encodePNG: ParityReport.png)
        if let minSQNR, !verification.isExact {
            guard let quality = verification.quality else {
                throw CommandFailure.couldNot("\(file): --min-sqnr: expected a record of the file's quality, found none; verify it --against its checkpoint")
            }
            if let shortfall = quality.shortfall(minSQNR), verification.passed { report.fail(shortfall) }
        }
        var outcome = try report.outcome(page)
        if !device.isCPU { outcome.text += "\non \(device.name): " + device.properties.map { "\($0.name) \($0.value)" }.joined(separator: ", ") }
        outcome.json["memory"] = ["bytes": JSONValue(memoryNeeded), "peakResidentBytes": Memory.peakResident.map { JSONValue($0) } ?? .null]
        return outcome
    }
}

extension PackedFileError {
    /// Whether a checksum says that the file is not what was written.
    fileprivate var isDamage: Bool {
        switch failure {
        case .headerChecksum, .directoryChecksum, .contentHash: true
        default: false
        }
    }
}
