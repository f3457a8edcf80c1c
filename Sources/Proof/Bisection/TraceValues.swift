import Inference
import Parity
import StrictJSON
import Tensors

/// The probes of a trace as the model's parts take them: float32, without the batch axis, without the rows of padding.
struct TraceValues {
    let file: TraceFile
    /// Where the noise and the request come from if the trace does not say.
    let fallback: TraceFile?

    func has(_ name: String) -> Bool { file.entry(name) != nil }

    /// A probe as a tensor; nil where the trace lacks it.
    func tensor(_ name: String) throws -> Tensor? {
        guard has(name) else { return nil }
        let encoded = try file.read(name)
        guard encoded.isComparable else { return nil }
        let tensor = try encoded.rounded()
        let isBatched = tensor.shape.rank > 1 && tensor.shape[0] == 1 && name != "image_u8"
        let unbatched = isBatched ? tensor.reshaped(Shape(Array(tensor.shape.extents.dropFirst()))) : tensor
        guard let mask = ProbeOrder.mask(of: name), unbatched.shape.rank == 2 else {
            // Vectors of one row stay matrices.
            return unbatched.shape.rank == 1 && tensor.shape.rank == 2 ? tensor : unbatched
        }
        let count = try kept(mask) ?? unbatched.rows
        return count < unbatched.rows && count > 0 ? try unbatched.rows(0..<count) : unbatched
    }

    /// An input of the run: the trace's own, or the reference's.
    func input(_ name: String) throws -> Tensor? {
        if let tensor = try tensor(name) { return tensor }
        return try fallback.flatMap { try TraceValues(file: $0, fallback: nil).tensor(name) }
    }

    func integers(_ name: String) throws -> [Int]? {
        if has(name) { return try file.read(name).doubles.map { Int($0) } }
        return try fallback.flatMap { try TraceValues(file: $0, fallback: nil).integers(name) }
    }

    /// How many rows a mask keeps; they come first, since padding is on the right.
    func kept(_ mask: String) throws -> Int? { try integers(mask)?.count { $0 != 0 } }

    /// What was asked for, by the trace's metadata or the reference's.
    func request(_ key: String) -> JSONValue? { file.metadata[key] ?? fallback?.metadata[key] }

    /// The TrigFlow times, one more than steps.
    func times() -> [Float]? {
        if let list = request("timesteps")?.array?.compactMap(\.double), list.count > 1 { return list.map { Float($0) } }
        guard let steps = request("steps")?.integer.flatMap({ Int(exactly: $0) }), steps > 0, steps <= 1000 else { return nil }
        return try? TimestepPlan.steps(steps).times(maximumSteps: 1000)
    }
}

extension EncodedTensor {
    /// The elements in float32, integers and float64 rounded to it.
    func rounded() throws(AllocationError) -> Tensor {
        if dtype == .f32 || dtype == .f16 || dtype == .bf16 { return try widened() }
        return try Tensor(shape, doubles.map { Float($0) })
    }
}
