import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import Tensors

/// Proves a certificate's claims again: with the file alone, and where there is a checkpoint, that its values are that checkpoint's.
struct CertificateCheck {
    private(set) var outcome = Outcome()
    private(set) var series: [ProbeSeries] = []
    private let executor: CPU
    /// One sentence about what could be proved; nil where the file has no certificate.
    private(set) var summary: String?

    init(_ file: PackedFile, _ checkpoint: Checkpoint?, on executor: CPU, progress: (String) -> Void) throws(ProofError) {
        self.executor = executor
        do { try run(file, checkpoint, progress) } catch let error as Certificate.Damaged {
            fail(error.name, "content", "a certificate as Formats/certificate.md describes it", error.reason)
        } catch let error as CertificateValues.Unusable {
            fail(Certificate.name(of: error.name), "shape", error.expected, error.found)
        } catch let error as InferenceError {
            if let failure = ProofError(machine: error) { throw failure }
            fail(Certificate.folder, "proved again", "the file's layers to run", "\(error)")
        } catch let error as ConversionError {
            if let failure = ProofError(machine: error) { throw failure }
            fail(Certificate.folder, "values", "the checkpoint's layers to run", "\(error)")
        } catch let error as MachineError { throw .machine(error) } catch { fail(Certificate.folder, "proved again", "the layers to run", "\(error)") }
    }

    private mutating func fail(_ subject: String, _ what: String, _ expected: String, _ found: String) {
        summary = "the certificate cannot be used"
        outcome.findings.append(
            Finding(subject: subject, what: what, expected: expected, found: found, hint: "convert again, or leave the certificate out of --components"))
    }

    private mutating func run(_ file: PackedFile, _ checkpoint: Checkpoint?, _ progress: (String) -> Void) throws {
        guard let certificate = try Certificate(file) else {
            let reason = "the file has none: its layers cannot be proved without the checkpoint"
            outcome.tables.append(ReportTable(title: "Certificate", columns: ["Certificate"], rows: [[reason]]))
            return
        }
        if certificate.contentHash != file.contentHash {
            outcome.findings.append(
                Finding(
                    subject: Certificate.indexName, what: "content hash", expected: file.contentHash, found: certificate.contentHash,
                    hint: "it was made for another content: weights, configuration or tokenizer were changed since"))
        }
        let pipeline = try SanaSprintPipeline(weights: PackedWeights(file), on: executor)
        try checkTokens(certificate, pipeline, file)
        let judged = try CertificateJudgement(certificate, pipeline, progress)
        let accumulators = try AccumulatorRung(file, on: executor).outcome
        let rungs = accumulators.rungs + judged.rungs
        // With a checkpoint the ladder has these rungs.
        if checkpoint == nil { (outcome.findings, outcome.rungs) = (outcome.findings + accumulators.findings, accumulators.rungs) }
        outcome.findings += judged.findings
        outcome.rungs += judged.rungs + [judged.repetition]
        if let checkpoint { try compareValues(certificate, checkpoint, file, progress) }
        series = [judged.series("Against the certificate")]
        summarize(certificate, rungs, file)
    }

    /// The tokenizer still gives the tokens that the probes began with.
    private mutating func checkTokens(_ certificate: Certificate, _ pipeline: SanaSprintPipeline<CPU>, _ file: PackedFile) throws {
        guard let prompt = certificate.inputs.prompt else { return }
        let ids = try CertificateInputs.ids(of: prompt, try pipeline.tokenizer())
        guard ids != certificate.inputs.ids else { return }
        outcome.findings.append(
            Finding(
                subject: "tokenizer/tokenizer.json", what: "tokens of \"\(prompt)\"", expected: "\(certificate.inputs.ids)", found: "\(ids)",
                hint: "the tokenizer is not the one that was converted"))
    }

    /// The values that the certificate calls the checkpoint's are this checkpoint's.
    private mutating func compareValues(_ certificate: Certificate, _ checkpoint: Checkpoint, _ file: PackedFile, _ progress: (String) -> Void) throws {
        let weights = try CheckpointWeights(checkpoint, fusions: .lossless, components: Certificate.selection(file))
        var measured = Measurements(limit: HonestGate.floor)
        // From the stored values on, so that a forged one shows in its own step and in no other.
        try CertificateWalk(
            pipeline: SanaSprintPipeline(weights: weights, on: executor), inputs: certificate.inputs, values: certificate.values, draws: { _ in 0 }
        ) { name, outputs in
            guard let stored = certificate.values[name], stored.shape == outputs[0].shape else { return }
            measured.add(name, Metrics(reference: outputs[0], other: stored))
        }.run(progress)
        let compared = measured.outcome(
            "P5", "the certificate's values are what this checkpoint's layers give", unit: "probes",
            reason: "the same float32 arithmetic, maybe in another order")
        outcome.rungs += compared.rungs
        outcome.findings += compared.findings
    }

    private mutating func summarize(_ certificate: Certificate, _ rungs: [Rung], _ file: PackedFile) {
        var (rows, held) = ([[String]](), 0)
        for stated in certificate.rungs {
            let now = rungs.first { $0.id == stated.id && $0.claim == stated.claim }
            if now?.passed == true { held += 1 }
            let word = now.map { $0.passed ? "proved again: \($0.measure)" : "does not hold: \($0.measure)" } ?? "not proved: this program knows no such claim"
            rows.append([stated.id, stated.claim, (stated.passed ? "held: " : "did not hold: ") + stated.measure, word])
        }
        let sources = file.directory.tensors.reduce(0) { $0 + $1.sources.count }
        rows.append(["P1", "the checkpoint's tensors are the ones that were converted", "SHA-256 of \(sources) source tensors", Self.needsCheckpoint])
        let errors = file.directory.tensors.count { $0.error != nil }
        rows.append(["P2", "every value is as near its source as the scheme allows", "the errors of \(errors) tensors", Self.needsCheckpoint])
        outcome.tables.append(
            ReportTable(title: "Certificate, made by \(certificate.tool)", columns: ["", "Claim", "When the file was made", "Now"], rows: rows))
        summary = "\(held) of the \(certificate.rungs.count) claims of its certificate could be proved again"
    }

    private static let needsCheckpoint = "recorded; takes the checkpoint (--against)"
}
