package import Checkpoints
import Inference
package import Operations
package import PackedFiles
package import Parity
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
    private(set) var histograms: [WeightHistogram] = []
    /// The pictures of the reference and of the file, where both were made.
    private(set) var pictures: (reference: Picture, other: Picture)?
    /// What the certificate could prove again; nil where the file has none.
    private var summary: String?
    private let path: String
    private let checkpointPath: String?

    var passed: Bool { findings.isEmpty && rungs.allSatisfy(\.passed) }

    /// Verifies a file: checksums, hashes, value rules, and that its tensors are those its configuration asks for. With a checkpoint, also that
    /// its sources are the ones recorded, that every tensor is made again bit for bit, and that the layers compute what the checkpoint's do.
    package init(
        _ file: PackedFile, against checkpoint: Checkpoint? = nil, on executor: CPU, options: Options = Options(), progress: (Progress) -> Void = { _ in }
    ) throws(ProofError) {
        path = file.path
        checkpointPath = checkpoint?.path
        take(IntegrityChecks(file) { progress(.reading(done: $0, total: $1)) }.outcome)
        take(TableCheck(file).outcome)
        tables.append(.sizes(of: file.directory))
        // What cannot be read or run is told already.
        if passed {
            take(try PrefixCacheCheck(file, on: executor).outcome)
            let certificate = try CertificateCheck(file, options.runsLayers ? checkpoint : nil, on: executor) { progress(.running($0)) }
            take(certificate.outcome)
            series = certificate.series
            summary = certificate.summary
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
        // A file that is no file of this checkpoint has no rungs to stand on.
        if findings.isEmpty { take(try Ladder(file, checkpoint, on: executor) { progress(.running($0)) }.outcome) }
        let layers = try LayerComparison(file, checkpoint, options, on: executor) { progress(.running($0)) }
        take(layers.outcome)
        series += layers.series
        pictures = layers.pictures
        if findings.isEmpty { histograms = try Histograms.of(file, checkpoint) }
        if options.advises, passed { advice = try Advisor(file, checkpoint, on: executor) { progress(.running($0)) }.advice }
    }

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
        let headline: String =
            if passed {
                checkpointPath == nil
                    ? "the file is whole and is what it says; " + (summary ?? "it has no certificate to prove its layers with")
                    : "the file holds what the checkpoint holds, and computes what it computes"
            } else if let first = findings.first {
                findings.count == 1 ? "\(first)" : "\(findings.count) findings, the first: \(first)"
            } else {
                "does not hold: \(failed.joined(separator: "; "))"
            }
        let files = [(name: "file", value: path)] + (checkpointPath.map { [(name: "checkpoint", value: $0)] } ?? [])
        var report = ParityReport(
            kind: .verification, title: checkpointPath == nil ? "Verification of a file" : "Verification against the checkpoint", passed: passed,
            headline: headline, environment: files + environment, command: command)
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
