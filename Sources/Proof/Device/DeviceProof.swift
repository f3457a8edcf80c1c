import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// What a file's model computes on another executor than the CPU: its weights as they lie there, its layers at their own size, and the certificate's steps.
///
/// The CPU proves all else of the file, and is the reference here.
struct DeviceProof {
    private(set) var outcome = Outcome()
    private(set) var series: [ProbeSeries] = []

    /// - Parameter name: of the executor, for claims.
    init(_ file: PackedFile, on executor: some Executor, named name: String, against cpu: CPU, progress: (String) -> Void) throws(ProofError) {
        do { try run(file, on: executor, name, cpu, progress) } catch let error as InferenceError {
            if let failure = ProofError(machine: error) { throw failure }
            fail(name, "\(error)")
        } catch let error as MachineError { throw .machine(error) } catch { fail(name, "\(error)") }
    }

    private mutating func fail(_ name: String, _ reason: String) {
        outcome.findings.append(Finding(subject: name, what: "the file's layers", expected: "to run", found: reason))
    }

    private mutating func run<E: Executor>(_ file: PackedFile, on executor: E, _ name: String, _ cpu: CPU, _ progress: (String) -> Void) throws {
        let weights = try PackedWeights(file)
        let pipeline = try SanaSprintPipeline(weights: weights, on: executor)
        let size = OwnSize(pipeline.configuration)
        let products = try DeviceProducts(weights, size, on: executor, named: name, against: cpu, progress: progress).outcome
        (outcome.findings, outcome.rungs) = (products.findings, products.rungs)
        let layers = try DeviceLayers(weights, size, on: executor, against: cpu, progress: progress)
        outcome.rungs += [layers.rung(name)].compactMap { $0 }
        outcome.findings += layers.results.filter { !$0.passed }.map { result in
            Finding(subject: result.name, what: "output on \(name), at the model's own size", expected: result.gate.text, found: result.metrics.distance)
        }
        series.append(
            ProbeSeries(
                title: "Layers at the model's own size, on \(name)", note: "Each layer on the same random inputs, against the CPU.", results: layers.results))
        guard let certificate = try Certificate(file) else { return }
        let judged = try CertificateJudgement(certificate, pipeline, progress)
        outcome.findings += judged.findings
        outcome.rungs += (judged.rungs + [judged.repetition]).map { $0.on(name) }
        series.append(judged.series("Against the certificate, on \(name)"))
    }
}

extension Rung {
    /// The same claim of another executor.
    fileprivate func on(_ name: String) -> Rung {
        Rung(id: id, claim: "\(claim), on \(name)", measure: measure, gate: gate, margin: margin, passed: passed, reason: reason)
    }
}
