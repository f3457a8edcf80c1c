package import Checkpoints
import Inference
package import Operations
package import PackedFiles
package import Parity
package import Quality
package import Tensors

/// Proof that a packed file is right: in itself, and against the checkpoint that it was made from.
///
/// Everything that is wrong is collected and named; nothing stops at the first problem.
package struct Verification: Sendable {
    /// What to verify besides the file itself.
    package struct Options: Sendable {
        /// Whether both precisions are run layer by layer, not only compared tensor by tensor.
        var runsLayers = true
        var prompt = "a large red circle on a blue background"
        var seed: UInt64 = 0
        var steps = 2
        /// Whether it is measured how good the file is, where there is a checkpoint.
        package var measuresQuality = false
        /// Whether the layers that are best kept in 16 bits are looked for.
        package var advises = false

        package init() {}
    }

    /// How far a verification has come.
    package enum Progress: Sendable, Equatable {
        case reading(done: UInt64, total: UInt64)
        case deriving(tensor: String, done: Int, total: Int)
        case running(String)
    }

    private(set) var findings: [Finding] = []
    private(set) var rungs: [Rung] = []
    private(set) var series: [ProbeSeries] = []
    private(set) var tables: [ReportTable] = []
    private(set) var advice: [Advice] = []
    /// How good the file is, measured or as the file has it recorded; nil where neither is so.
    package private(set) var quality: Quality?
    private var isMeasured = false
    /// Whether the file's model is the checkpoint's to the last bit.
    package let isExact: Bool
    private(set) var histograms: [WeightHistogram] = []
    /// The pictures of the reference and of the file, where both were made.
    private(set) var pictures: (reference: Picture, other: Picture)?
    /// What the certificate could prove again; nil where the file has none.
    private var summary: String?
    private let path: String
    private let checkpointPath: String?
    private var device: Device?

    package var passed: Bool { findings.isEmpty && rungs.allSatisfy(\.passed) }

    /// Verifies a file: checksums, hashes, value rules, and that its tensors are those its configuration asks for. With a checkpoint, also that
    /// its sources are the ones recorded, that every tensor is made again bit for bit, and that the layers compute what the checkpoint's do.
    package init(
        _ file: PackedFile, against checkpoint: Checkpoint? = nil, on executor: CPU, options: Options = Options(), progress: (Progress) -> Void = { _ in }
    ) throws(ProofError) {
        path = file.path
        checkpointPath = checkpoint?.path
        isExact = QualityMeasurement.isPossible(file.directory) && QualityMeasurement.isExact(file.directory)
        take(IntegrityChecks(file) { progress(.reading(done: $0, total: $1)) }.outcome)
        take(TableCheck(file).outcome)
        // Other adapters make other weights of the same checkpoint: all that differs below comes of it.
        if let checkpoint { take(try AdapterChecks(file, checkpoint).outcome) }
        tables.append(.sizes(of: file.directory))
        // What cannot be read or run is told already.
        if passed {
            take(try PrefixCacheCheck(file, on: executor).outcome)
            let certificate = try CertificateCheck(file, options.runsLayers ? checkpoint : nil, on: executor) { progress(.running($0)) }
            take(certificate.outcome)
            series = certificate.series
            summary = certificate.summary
            try measure(file, checkpoint, on: executor, options, progress)
        }
        guard let checkpoint else { return }
        take(BlobChecks(file, checkpoint).outcome)
        take(try PolicyChecks(file, checkpoint).outcome)
        take(try TensorChecks(file, checkpoint, on: executor) { progress(.deriving(tensor: $0, done: $1, total: $2)) }.outcome)
        if !findings.isEmpty {
            findings = BlobCauses.explain(findings, file, checkpoint)
            if let causes = try? WeightCauses(file, checkpoint) { findings = try causes.explain(findings) { progress(.running("why \($0) differs")) } }
        }
        guard options.runsLayers else { return }
        // A file that is no file of this checkpoint has no rungs to stand on; one that is coarse has.
        if findings.allSatisfy(HonestGate.isWidest) { take(try Ladder(file, checkpoint, on: executor) { progress(.running($0)) }.outcome) }
        let layers = try LayerComparison(file, checkpoint, options, on: executor) { progress(.running($0)) }
        take(layers.outcome)
        series += layers.series
        pictures = layers.pictures
        explainCoarseness()
        if findings.isEmpty { histograms = try Histograms.of(file, checkpoint) }
        if options.advises, passed { advice = try Advisor(file, checkpoint, on: executor) { progress(.running($0)) }.advice }
    }

    /// Another executor than the CPU, as a report names it.
    package struct Device: Sendable {
        /// For claims: "NVIDIA GeForce RTX 4090".
        let name: String
        /// What results may depend on: the driver's version, the kernels' hash.
        let environment: [(name: String, value: String)]

        package init(_ name: String, environment: [(name: String, value: String)]) { (self.name, self.environment) = (name, environment) }
    }

    /// Proves also that the file's model computes on another executor what it computes on the CPU. What cannot be read or run at all is told already.
    package mutating func prove(
        _ file: PackedFile, on executor: some Executor, _ device: Device, against cpu: CPU, progress: (Progress) -> Void = { _ in }
    ) throws(ProofError) {
        self.device = device
        guard passed else { return }
        let proof = try DeviceProof(file, on: executor, named: device.name, against: cpu) { progress(.running($0)) }
        take(proof.outcome)
        series += proof.series
    }

    /// Where all that is wrong is beyond the widest of gates, while every tensor is what converting again gives and the ladder below the layers holds,
    /// it is rounding that costs so much.
    private mutating func explainCoarseness() {
        guard !findings.isEmpty, findings.allSatisfy(HonestGate.isWidest), rungs.allSatisfy({ $0.passed || $0.id >= "P7" }) else { return }
        let cause = Cause(.coarse, "every tensor is what converting again gives: the grids that it is rounded to are too coarse for this checkpoint")
        for index in findings.indices { findings[index].cause = cause }
    }

    /// Reads what is recorded, and measures anew where there is what to measure with.
    private mutating func measure(
        _ file: PackedFile, _ checkpoint: Checkpoint?, on executor: CPU, _ options: Options, _ progress: (Progress) -> Void
    ) throws(ProofError) {
        do throws(Quality.Damaged) { quality = try Quality(file) } catch {
            findings.append(
                Finding(
                    subject: Quality.attachmentName, what: "content", expected: "a record as Formats/quality.md describes it", found: error.reason,
                    hint: "convert again"))
        }
        guard let checkpoint, options.measuresQuality, !isExact, QualityMeasurement.isPossible(file.directory) else { return }
        progress(.running("how good the file is"))
        do throws(QualityMeasurement.Failure) {
            let measured = try QualityMeasurement.run(file, checkpoint, on: executor, tool: "verify")
            if let promised = quality?.velocity.file.median, promised > measured.velocity.file.median + Self.promise {
                findings.append(
                    Finding(
                        subject: Quality.attachmentName, what: "velocity",
                        expected: "the \(Decimal.fixed(measured.velocity.file.median, digits: 1)) dB measured",
                        found: "\(Decimal.fixed(promised, digits: 1)) dB", hint: "the record is of another file"))
            }
            (quality, isMeasured) = (measured, true)
        } catch {
            switch error {
            case .inference(let error): if let failure = ProofError(machine: error) { throw failure }
            case .conversion(let error): if let failure = ProofError(machine: error) { throw failure }
            }
            findings.append(Finding(subject: "quality", what: "measured", expected: "both models to run", found: "\(error)"))
        }
    }

    /// dB that a record may say more than is measured: another processor adds in another order.
    private static let promise = 1.0

    private mutating func take(_ outcome: Outcome) {
        findings += outcome.findings
        // In the order of the ladder, whatever the order of the checks.
        for rung in outcome.rungs { rungs.insert(rung, at: rungs.lastIndex { $0.id <= rung.id }.map { $0 + 1 } ?? 0) }
        tables += outcome.tables
    }

    /// The report of this verification; see `TraceComparison.report` for the parameters.
    package func report(
        environment: [(name: String, value: String)], command: String, encodePNG: (Picture) -> [UInt8]? = { _ in nil }
    ) -> ParityReport {
        let failed = rungs.filter { !$0.passed }.map(\.claim)
        var headline: String =
            if passed {
                checkpointPath == nil
                    ? "the file is whole and is what it says; " + (summary ?? "it has no certificate to prove its layers with")
                    : "the file holds what the checkpoint holds, and computes what it computes"
            } else if let cause = findings.first?.cause, cause.kind == .coarse {
                "the file is what was to be made of the checkpoint, but is rounded too coarsely: the layers do not compute what the checkpoint's compute"
            } else if let first = findings.first {
                findings.count == 1 ? "\(first)" : "\(findings.count) findings, the first: \(first)"
            } else {
                "does not hold: \(failed.joined(separator: "; "))"
            }
        if let device, passed { headline += "; on \(device.name) it computes what it computes on the CPU" }
        let environment = environment + (device.map { [(name: "device", value: $0.name)] + $0.environment } ?? [])
        let files = [(name: "file", value: path)] + (checkpointPath.map { [(name: "checkpoint", value: $0)] } ?? [])
        var report = ParityReport(
            kind: .verification, title: checkpointPath == nil ? "Verification of a file" : "Verification against the checkpoint", passed: passed,
            headline: headline, environment: files + environment, command: command)
        report.verdict = quality.map { $0.verdict(isMeasured: isMeasured) } ?? (isExact ? Quality.exact : nil)
        report.findings = findings
        report.rungs = rungs
        report.series = series
        report.tables = tables
        report.advice = advice
        report.histograms = histograms
        report.tables += [ReportTable].worstLayers(of: series)
        if let pictures {
            report.tables.append(PictureMetrics(reference: pictures.reference, other: pictures.other).table)
            report.pictures = ReportPicture.triptych(pictures.reference, pictures.other, encodePNG: encodePNG)
        }
        return report
    }
}

/// What one check contributes to a verification.
struct Outcome {
    var findings: [Finding] = []
    var rungs: [Rung] = []
    var tables: [ReportTable] = []

    /// Adds a rung whose gate is that all of `total` things hold.
    mutating func add(_ id: String, _ claim: String, held: Int, of total: Int, unit: String, reason: String) {
        rungs.append(
            Rung(
                id: id, claim: claim, measure: "\(held) of \(total) \(unit)", gate: "all", margin: held == total ? "exact" : "none", passed: held == total,
                reason: reason))
    }
}
