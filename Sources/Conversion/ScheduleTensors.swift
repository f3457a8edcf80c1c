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

    init(_ schedule: FrozenSchedule, _ configuration: TransformerConfiguration, _ checkpoint: Checkpoint, on executor: CPU) throws(ConversionError) {
        self.checkpoint = checkpoint
        let weights = try CheckpointWeights(checkpoint, components: .listed([.transformer]))
        tables = try wrapping(ConversionError.schedule) { () throws(InferenceError) in try ScheduleTables(schedule, configuration, from: weights, on: executor)
        }
    }

    /// Bytes in use while the tables are computed: the networks in float32, and one tensor more as it is stored.
    static func memory(_ tensors: [PlannedTensor]) -> Int {
        let sources = tensors.flatMap(\.sources)
        let widened = sources.reduce(0) { $0 + $1.shape.elementCount } * MemoryLayout<Float>.stride
        return widened + Int(sources.map(\.byteCount).max() ?? 0) + Int(tensors.reduce(0) { $0 + $1.packedByteCount })
    }

    func values(of name: String) -> EncodedTensor { EncodedTensor(name == ScheduleTables.embeddingName ? tables.embedding : tables.modulation) }

    /// The records of what a tensor was computed from.
    func sources(of tensor: PlannedTensor) throws(ConversionError) -> [SourceRecord] {
        var records: [SourceRecord] = []
        for source in tensor.sources {
            let digest = try digest(of: source, tensor.component)
            records.append(SourceRecord(name: source.name, dtype: source.dtype, shape: source.shape, sha256: digest))
        }
        return records
    }

    private func digest(of source: PlannedSource, _ component: Component) throws(ConversionError) -> String {
        let files = try checkpoint.files(of: component)
        let stored = try wrapping(ConversionError.checkpoint) { () throws(CheckpointError) in try files.read(source.name) }
        var digest = SHA256Stream()
        unsafe digest.update(stored.bytes)
        return digest.digest()
    }
}

extension ConversionPlan {
    /// The tensors that are computed, and those that stream from the checkpoint row by row.
    var computedTensors: [PlannedTensor] { tensors.filter { $0.row.role == .schedule } }
    var streamedTensors: [PlannedTensor] { tensors.filter { $0.row.role != .schedule } }

    /// Computes and writes the tables of a frozen schedule, where there is one.
    func writeSchedule(_ writer: PackedFileWriter, on executor: CPU) throws(ConversionError) {
        guard let schedule = options.frozenSchedule, !computedTensors.isEmpty else { return }
        let computed = try ScheduleTensors(schedule, WeightResolution.configuration(of: checkpoint).transformer, checkpoint, on: executor)
        for tensor in computedTensors {
            let sources = try computed.sources(of: tensor)
            try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in
                try writer.append(
                    tensor.description, sources: sources, error: QuantizationError(relativeL2: 0, maxAbs: 0), planes: [computed.values(of: tensor.name)])
            }
        }
    }
}

extension Rederivation {
    /// The tables of a frozen schedule, computed again: sums in double and float32 in a fixed order, equal bit for bit.
    func checkComputed(_ entry: TensorEntry, _ tensor: PlannedTensor, disagreements: [String]) throws(ConversionError) -> Finding {
        let none = QuantizationError(relativeL2: 0, maxAbs: 0)
        var disagreements = disagreements
        if entry.scheme != .f32 { disagreements.append("scheme: expected \(Scheme.f32), found \(entry.scheme)") }
        if frozenSchedule == nil { disagreements.append("policy: expected the frozen schedule that the tensor was computed for, found none") }
        guard let frozenSchedule, disagreements.isEmpty else {
            return Finding(name: entry.name, disagreements: disagreements, sources: [], difference: nil, error: none, bound: nil)
        }
        let computed = try ScheduleTensors(frozenSchedule, WeightResolution.configuration(of: checkpoint).transformer, checkpoint, on: executor)
        let sources = try computed.sources(of: tensor).map { found in
            SourceFinding(
                name: found.name, recorded: entry.sources.first { ExactString($0.name) == ExactString(found.name) }?.sha256 ?? "", found: found.sha256)
        }
        let stored = try wrapping(ConversionError.packedFile) { () throws(PackedFileError) in try file.planes(of: entry) }
        let (found, expected) = (Tensor(sharing: stored[0]), Tensor(sharing: computed.values(of: entry.name)))
        let differing = zip(found.elements, expected.elements).enumerated().filter { $0.element.0.bitPattern != $0.element.1.bitPattern }.map(\.offset)
        let bound = try wrapping(ConversionError.memory) { () throws(AllocationError) in try entry.scheme.checkBound(stored, source: expected) }
        return Finding(
            name: entry.name, disagreements: [], sources: sources,
            difference: differing.first.map { Difference(plane: "values", element: $0, count: differing.count) }, error: none,
            bound: bound)
    }
}
