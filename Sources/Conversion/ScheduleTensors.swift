import Checkpoints
import Files
import Inference
import Operations
import PackedFiles
import StrictJSON
import Tensors

/// The tensors of a frozen schedule: computed from checkpoint tensors, where all others are made of their rows.
struct ScheduleTensors {
    private let checkpoint: Checkpoint
    private let tables: ScheduleTables

    init(_ schedule: FrozenSchedule, _ checkpoint: Checkpoint, edit: RowEdit?, on executor: CPU) throws(ConversionError) {
        self.checkpoint = checkpoint
        let configuration = try WeightResolution.configuration(of: checkpoint).transformer
        let weights = try CheckpointWeights(checkpoint, components: .listed([.transformer]), edit: edit)
        tables = try wrapping(ConversionError.inference, try ScheduleTables(schedule, configuration, from: weights, on: executor))
    }

    /// Bytes in use while the tables are computed: the networks in float32, and one tensor more as it is stored.
    static func memory(_ tensors: [PlannedTensor]) -> Int {
        let sources = tensors.flatMap(\.sources)
        let widened = sources.reduce(0) { $0 + $1.shape.elementCount } * MemoryLayout<Float>.stride
        return widened + Int(sources.map(\.byteCount).max() ?? 0) + Int(tensors.reduce(0) { $0 + $1.packedByteCount })
    }

    func values(_ computation: Recipe.Computation) -> EncodedTensor {
        switch computation {
        case .scheduleEmbedding: EncodedTensor(tables.embedding)
        case .scheduleModulation: EncodedTensor(tables.modulation)
        }
    }

    /// The records of what a tensor was computed from.
    func sources(of tensor: PlannedTensor) throws(ConversionError) -> [SourceRecord] {
        let component = try checkpoint.component(of: tensor)
        var digests: [String] = []
        for source in tensor.sources { digests.append(try component.digest(of: source)) }
        return tensor.records(digests: digests)
    }
}

extension ConversionPlan {
    /// The tensors that are computed, and those that stream from the checkpoint row by row.
    var computedTensors: [PlannedTensor] { tensors.filter(\.isComputed) }
    var streamedTensors: [PlannedTensor] { tensors.filter { !$0.isComputed } }

    /// Computes and writes the tables of a frozen schedule, where there is one.
    func writeSchedule(_ writer: PackedFileWriter, on executor: CPU) throws(ConversionError) {
        guard let schedule = options.frozenSchedule, !computedTensors.isEmpty else { return }
        let computed = try ScheduleTensors(schedule, checkpoint, edit: edit, on: executor)
        for tensor in computedTensors {
            guard case .computed(let computation, _) = tensor.row.recipe else { continue }
            let sources = try computed.sources(of: tensor)
            try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
                try writer.append(
                    tensor.description, sources: sources, error: QuantizationError(relativeL2: 0, maxAbs: 0), planes: [computed.values(computation)])
            }
        }
    }
}

extension Rederivation {
    /// The tables of a frozen schedule, computed again: sums in double and float32 in a fixed order, equal bit for bit.
    func checkComputed(_ entry: TensorEntry, _ tensor: PlannedTensor, by computation: Recipe.Computation, disagreements: [String]) throws(ConversionError)
        -> Finding
    {
        var disagreements = disagreements
        if entry.scheme != .f32 { disagreements.append("scheme: expected \(Scheme.f32), found \(entry.scheme)") }
        if frozenSchedule == nil { disagreements.append("policy: expected the frozen schedule that the tensor was computed for, found none") }
        guard let frozenSchedule, disagreements.isEmpty else {
            return Finding(name: entry.name, disagreements: disagreements)
        }
        let computed = try ScheduleTensors(frozenSchedule, checkpoint, edit: edit, on: executor)
        let sources = Self.findings(try computed.sources(of: tensor), entry)
        let stored = try wrapping(ConversionError.packedFile, try file.planes(of: entry))
        let (found, expected) = (Tensor(sharing: stored[0]), Tensor(sharing: computed.values(computation)))
        let differing = zip(found.elements, expected.elements).enumerated().filter { $0.element.0.bitPattern != $0.element.1.bitPattern }.map(\.offset)
        let bound = try wrapping(ConversionError.machine, try entry.scheme.checkBound(stored, source: expected))
        let difference = differing.first.map { Difference(plane: "values", element: $0, count: differing.count) }
        return Finding(name: entry.name, disagreements: [], sources: sources, difference: difference, bound: bound)
    }
}
