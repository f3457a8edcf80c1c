import Checkpoints
package import Inference
import PackedFiles
package import StrictJSON
import Tensors

extension ConversionPlan {
    /// What a component's tensors of one storage come to.
    package struct Total: Sendable, Equatable {
        package let component: Component
        package let storage: String
        package var tensors = 0
        package var sourceByteCount: UInt64 = 0
        package var packedByteCount: UInt64 = 0
    }

    /// The totals by component and storage, in the order of the plan.
    package var totals: [Total] {
        var totals: [Total] = []
        for tensor in tensors {
            let storage = "\(tensor.storage)"
            let index = totals.firstIndex { $0.component == tensor.component && $0.storage == storage } ?? totals.endIndex
            if index == totals.endIndex { totals.append(Total(component: tensor.component, storage: storage)) }
            totals[index].tensors += 1
            totals[index].sourceByteCount += tensor.sourceByteCount
            totals[index].packedByteCount += tensor.packedByteCount
        }
        return totals
    }

    /// The plan as one JSON object.
    package var json: JSONValue {
        [
            "checkpoint": .string(checkpoint.path), "policy": recordedPolicy,
            "fusions": .array(options.fusions.names.map { .string($0) }),
            "components": .array(components.map { .string($0.rawValue) }),
            "totals": .array(
                totals.map {
                    [
                        "component": .string($0.component.rawValue), "storage": .string($0.storage), "tensors": JSONValue($0.tensors),
                        "sourceBytes": .integer(Int64($0.sourceByteCount)), "packedBytes": .integer(Int64($0.packedByteCount)),
                    ]
                }),
            "tensors": .array(tensors.map(\.json)),
            "blobs": .array(blobs.map { ["name": .string($0.path), "bytes": JSONValue($0.bytes.count)] }),
            "prefixCache": prefixCache.map { ["tokens": JSONValue($0.tokens), "bytes": .integer(Int64($0.byteCount))] } ?? .null,
            "sourceBytes": .integer(Int64(sourceByteCount)), "packedBytes": .integer(Int64(packedByteCount)), "memoryBytes": JSONValue(memoryNeeded),
        ]
    }
}

extension PlannedTensor {
    var json: JSONValue {
        let records = records(digests: (sources + operands).map { _ in "" })
        let added = Set(records.flatMap(\.additions).flatMap(\.names).map { ExactString($0) })
        let operands = records.dropFirst(sources.count)
        return [
            "name": .string(name), "component": .string(component.rawValue), "role": .string(row.role.rawValue), "shape": JSONValue(row.shape.extents),
            "layout": .string(row.layout.rawValue), "scheme": .string(storage.scheme.name),
            "activations": storage.activations.map { .string($0.rawValue) } ?? .null, "rule": ruleLine.map { JSONValue($0) } ?? .null,
            "exact": .bool(isExact), "sourceBytes": .integer(Int64(sourceByteCount)), "packedBytes": .integer(Int64(packedByteCount)),
            "sources": .array(records.prefix(sources.count).map(\.json)),
            "rowScales": .array(operands.filter { !added.contains(ExactString($0.name)) }.map(\.json)),
            "additions": .array(operands.filter { added.contains(ExactString($0.name)) }.map(\.json)),
        ]
    }
}

extension SourceRecord {
    /// The record before the bytes are read.
    fileprivate var json: JSONValue {
        ["name": .string(name), "dtype": .string(dtype.rawValue), "shape": JSONValue(shape.extents), "rowScale": rowScale.map { .string($0) } ?? .null]
    }
}
