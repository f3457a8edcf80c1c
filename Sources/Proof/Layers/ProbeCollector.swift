import Inference
import Parity
import ProbePoints
import Tensors

/// Keeps the probes of one run in memory.
final class ProbeCollector: ProbeSink {
    private var values: [Probe: EncodedTensor] = [:]

    /// In the order of the data.
    var probes: [Probe] { values.keys.sorted { $0.rank.lexicographicallyPrecedes($1.rank) } }

    func wants(_ probe: Probe) -> Bool { true }
    func record(_ probe: Probe, _ value: EncodedTensor) { values[probe] = value }

    subscript(_ probe: Probe) -> EncodedTensor? { values[probe] }

    /// A float32 probe without its batch axis; nil where it was not recorded.
    func unbatched(_ probe: Probe) throws(MachineError) -> Tensor? {
        guard let value = self[probe], value.dtype == .f32, value.shape.rank > 1 else { return nil }
        return try value.widened().reshaped(Shape(Array(value.shape.extents.dropFirst())))
    }

    /// The first `count` rows of a probe `[1, rows, channels]`, as `[count, channels]`; nil where it has no such rows.
    func rows(_ probe: Probe, _ count: Int) throws(MachineError) -> Tensor? {
        guard let value = self[probe], value.dtype == .f32, value.shape.rank == 3, value.shape[0] == 1, value.shape[1] >= count else { return nil }
        return try EncodedTensor(dtype: .f32, shape: Shape(Array(value.shape.extents.dropFirst())), buffer: value.buffer).rows(0..<count).widened()
    }

    /// How many positions a mask keeps; they come first, since padding is on the right.
    func kept(_ mask: Probe) -> Int { self[mask]?.doubles.count { $0 != 0 } ?? 0 }
}

extension EncodedTensor {
    /// The same elements with a batch axis of 1 in front.
    var batched: EncodedTensor { EncodedTensor(dtype: dtype, shape: Shape([1] + shape.extents), buffer: buffer) }
}
