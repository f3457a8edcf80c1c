package import Checkpoints
package import Conversion
import Inference
package import Operations
package import PackedFiles
import Parity
import StrictJSON
import Tensors

extension Certificate {
    /// Bytes in use while it is made for a conversion: the layers of one model after the other. What flows through them is small.
    package static func byteCount(making plan: ConversionPlan) -> Int { plan.layerByteCount }

    /// Runs the checkpoint's layers, the same with honest noise in their weights, and the file's, one layer in memory at a time.
    ///
    /// - Parameters:
    ///   - file: made from the checkpoint; its content is complete.
    ///   - progress: is told how many of all steps have begun.
    package static func make(
        of file: PackedFile, from checkpoint: Checkpoint, on executor: CPU, tool: String, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws(ProofError) -> Certificate {
        do { return try made(file, checkpoint, executor, tool, progress) } catch let error as ProofError { throw error } catch let error as InferenceError {
            throw .inference(error)
        } catch let error as ConversionError { throw .conversion(error) } catch let error as MachineError { throw .machine(error) } catch {
            throw .certificate("\(error)")
        }
    }

    private static func made(_ file: PackedFile, _ checkpoint: Checkpoint, _ executor: CPU, _ tool: String, _ progress: (Int, Int) -> Void) throws
        -> Certificate
    {
        let weights = try PackedWeights(file)
        let values = CertificateValues()
        let exact = try SanaSprintPipeline(weights: CheckpointWeights(checkpoint, fusions: .lossless, components: selection(file)), on: executor)
        let inputs = try CertificateInputs(
            exact, hasTokenizer: file.directory.components.contains { $0.name == Component.tokenizer.rawValue }, frozen: weights.frozenSchedule, into: values)
        let total = 3 * CertificateWalk.steps(exact)
        var done = 0
        func advance(_: String) {
            done += 1
            progress(done, total)
        }
        try reference(exact, inputs, into: values, advance)

        var limits: [ExactString: Double] = [:]
        let noisy = PerturbedWeights(
            try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: selection(file)), like: file)
        try CertificateWalk(pipeline: SanaSprintPipeline(weights: noisy, on: executor), inputs: inputs, values: values, draws: { _ in 0 }) { name, outputs in
            guard let expected = values[name] else { return }
            limits[ExactString(name)] = HonestGate.limit(predicted: Metrics(reference: expected, other: outputs[0]))
        }.run(advance)

        var steps: [Step] = []
        var outputs: [ExactString: Tensor] = [:]
        try CertificateWalk(pipeline: SanaSprintPipeline(weights: weights, on: executor), inputs: inputs, values: values, draws: { draws($0, file) }) {
            name, found in
            outputs[ExactString(name)] = found[0]
            steps.append(
                Step(
                    name: name, honest: limits[ExactString(name)] ?? HonestGate.floor, repeated: Repetition.limit(found),
                    fingerprint: Fingerprint.of(found[0])))
        }.run(advance)
        let judged = CertificateJudgement(steps, values, outputs)
        return Certificate(
            contentHash: file.contentHash, tool: tool, inputs: inputs, values: values, steps: steps,
            rungs: try AccumulatorRung(file, on: executor).outcome.rungs + judged.rungs)
    }

    /// Computes the checkpoint's own values, each step from the values of the steps before.
    private static func reference(
        _ pipeline: SanaSprintPipeline<CPU>, _ inputs: CertificateInputs, into values: CertificateValues, _ progress: (String) -> Void
    ) throws {
        try CertificateWalk(pipeline: pipeline, inputs: inputs, values: values, draws: { _ in 0 }) { name, outputs in
            values.add(name, outputs[0])
        }.run(progress)
    }

    static func selection(_ file: PackedFile) -> ComponentSelection {
        .listed(file.directory.components.compactMap { Component(rawValue: $0.name) })
    }

    /// Steps that round their inputs to integers run again with noise: a rounding of the last place may make one integer another. The others
    /// are continuous.
    private static func draws(_ component: Component, _ file: PackedFile) -> Int {
        let quantizes = file.directory.tensors.contains {
            $0.component == component.rawValue && $0.activations == .int8PerToken
        }
        return quantizes ? 4 : 0
    }
}
