import Checkpoints
import Inference
import PackedFiles
import Tensors

/// One packed tensor, before anything of it is read.
package struct PlannedTensor: Sendable {
    let row: WeightRow
    let component: Component
    /// The checkpoint tensors that its recipe reads from beginning to end, in order.
    let sources: [StoredTensor]
    /// The checkpoint tensors that its transforms read, each once.
    let operands: [StoredTensor]
    package internal(set) var storage = Storage(.f32)
    /// What was chosen for its inputs; nil where nothing was.
    var calibration: Calibration?
    /// The line of the rule that decided about the storage, nil where the preset did.
    var ruleLine: Int?

    package var name: String { row.name }
    /// Whether its storage is for a calibration to choose: a linear of integer products that no rule decides about.
    var isOpen: Bool { ruleLine == nil && storage.isOpen(row.shape) }
    var sourceByteCount: UInt64 { (sources + operands).reduce(0) { $0 + $1.byteCount } }
    /// Bytes of the planes before compression.
    var packedByteCount: UInt64 { UInt64(storage.scheme.byteCount(row.shape)) }
}

extension PlannedTensor {
    /// The records of all that the recipe reads: the sources in order, then what their transforms read.
    func records(digests: [String]) -> [SourceRecord] {
        (sources + operands).enumerated().map { index, source in
            SourceRecord(
                name: source.name, dtype: source.dtype, shape: source.shape, sha256: digests[index],
                rowScale: index < rows.count ? rows[index].rowScale : nil,
                additions: index < rows.count ? rows[index].additions.map(\.record) : [])
        }
    }
}

extension RowAddition {
    fileprivate var record: AdditionRecord {
        AdditionRecord(factor: factor, up: up.name, down: down?.name, magnitude: magnitude?.name)
    }
}

// MARK: - What becomes of the sources' bytes

extension PlannedTensor {
    /// Whether it is computed from its sources, instead of made of their rows.
    var isComputed: Bool { if case .computed = row.recipe { true } else { false } }

    /// The sources as the recipe has them, one for each of `sources`; none for what is computed.
    var rows: [Recipe.Source] { if case .rows(let rows) = row.recipe { rows } else { [] } }

    /// Whether the stored values are the sources' values, every one.
    var isExact: Bool { !isComputed && zip(rows, sources).allSatisfy { $0.keepsValues && storage.scheme.isExact(for: $1.dtype) } }

    /// Whether the stored bytes of a source are the packed ones up to their order.
    func passesThrough(_ index: Int) -> Bool { rows[index].keepsValues && sources[index].dtype == storage.scheme.elementType }

    /// Whether the values that are encoded lie as those of a source's rows are read, but for their type.
    func areEncodedAsStored(_ index: Int) -> Bool { rows[index].keepsValues && row.layout == .same }

    /// Whether the packed values are the bytes of the one source as they are.
    var isVerbatim: Bool { rows.count == 1 && row.layout == .same && passesThrough(0) && rows[0].keepsOrder }
}
