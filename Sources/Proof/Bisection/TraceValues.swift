import Inference
import Parity
import ProbePoints
import StrictJSON
import Tensors

/// The probes of a trace as the model's parts take them: float32, without the batch axis, without the rows of padding.
struct TraceValues {
    let file: TraceFile
    /// Where the noise and the request come from if the trace does not say.
    let fallback: TraceFile?

    func has(_ probe: Probe) -> Bool { file.entry(probe.name) != nil }

    /// A probe as a tensor; nil where the trace lacks it.
    func tensor(_ probe: Probe) throws -> Tensor? {
        guard has(probe) else { return nil }
        let encoded = try file.read(probe.name)
        guard encoded.isComparable else { return nil }
        let tensor = try encoded.rounded()
        let isBatched = tensor.shape.rank > 1 && tensor.shape[0] == 1 && probe.kind != .bytes
        let unbatched = isBatched ? tensor.reshaped(Shape(Array(tensor.shape.extents.dropFirst()))) : tensor
        guard let mask = probe.mask, unbatched.shape.rank == 2 else {
            // Vectors of one row stay matrices.
            return unbatched.shape.rank == 1 && tensor.shape.rank == 2 ? tensor : unbatched
        }
        let count = try kept(mask) ?? unbatched.rows
        return count < unbatched.rows && count > 0 ? try unbatched.rows(0..<count) : unbatched
    }

    /// An input of the run: the trace's own, or the reference's.
    func input(_ probe: Probe) throws -> Tensor? {
        if let tensor = try tensor(probe) { return tensor }
        return try fallback.flatMap { try TraceValues(file: $0, fallback: nil).tensor(probe) }
    }

    func integers(_ probe: Probe) throws -> [Int]? {
        if has(probe) { return try file.read(probe.name).doubles.map { Int($0) } }
        return try fallback.flatMap { try TraceValues(file: $0, fallback: nil).integers(probe) }
    }

    /// How many rows a mask keeps; they come first, since padding is on the right.
    func kept(_ mask: Probe) throws -> Int? { try integers(mask)?.count { $0 != 0 } }

    /// What was asked for, by the trace's metadata or the reference's.
    func request(_ key: String) -> JSONValue? { file.metadata[key] ?? fallback?.metadata[key] }

    /// The TrigFlow times, one more than steps.
    func times() -> [Float]? {
        if let list = request("timesteps")?.array?.compactMap(\.double), list.count > 1 { return list.map { Float($0) } }
        guard let steps = request("steps")?.integer.flatMap({ Int(exactly: $0) }), steps > 0, steps <= 1000 else { return nil }
        return try? TimestepPlan.steps(steps).times(maximumSteps: 1000)
    }

    /// How the run sampled, as its trace states.
    var sampler: Sampler { request("sampler")?.string.flatMap(Sampler.init(rawValue:)) ?? .consistency }

    /// Whether each step of the run took a pass with no words.
    func isGuidedAway(_ configuration: SanaSprintConfiguration) -> Bool {
        !configuration.transformer.embedsGuidance && ClassifierFreeGuidance.isOn(request("guidance")?.double ?? 0)
    }
}

extension EncodedTensor {
    /// The elements in float32, integers and float64 rounded to it.
    func rounded() throws(MachineError) -> Tensor {
        if dtype == .f32 || dtype == .f16 || dtype == .bf16 { return try widened() }
        return try Tensor(shape, doubles.map { Float($0) })
    }
}
