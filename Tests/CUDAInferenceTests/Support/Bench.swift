import CUDADriver
import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit

/// The stand-in with the kernels that ship, and random values here and there.
struct Bench {
    let engine: Engine
    var random: SplitMix64

    static let engine = Result { try Engine(try Device(library: StandIn.library)) }

    /// - Parameter engine: one of its own, for whose work has an end that others would meet too.
    init(seed: UInt64, on engine: Engine? = nil) throws { (self.engine, random) = (try engine ?? Self.engine.get(), SplitMix64(seed: seed)) }

    mutating func values(_ shape: Shape, range: Float = 3) throws -> Tensor {
        try Tensor(shape, (0..<shape.elementCount).map { _ in Float.random(in: -range...range, using: &random) })
    }

    mutating func weight(_ shape: Shape, _ scheme: Scheme, _ activations: ActivationScheme = .float) throws -> StoredWeight {
        StoredWeight(scheme, shape, planes: try scheme.encode(values(shape), subject: "w"), activations: activations)
    }

    func linear(_ stored: StoredWeight, bias: Tensor? = nil, compute: Compute = .float32) throws -> DeviceLinear {
        try engine.linear(stored, 0..<stored.shape.rows, bias: bias, compute: compute)
    }

    /// Rows there, of values here.
    func rows(_ tensor: Tensor) throws -> DeviceRows { try engine.rows(from: tensor) }
    func elements(_ rows: DeviceRows) throws -> [Float] { try engine.tensor(from: rows).elements }
}

/// Columns of rows of so many.
func columns(_ range: Range<Int>, of rows: [Float], _ stride: Int) -> [Float] {
    Swift.stride(from: 0, to: rows.count, by: stride).flatMap { rows[$0 + range.lowerBound..<$0 + range.upperBound] }
}

/// The largest difference beside the largest value that is expected.
func distance(_ found: [Float], _ expected: [Float]) -> Float {
    guard found.count == expected.count else { return .infinity }
    let largest = expected.reduce(0) { max($0, $1.magnitude) }
    return zip(found, expected).reduce(0) { ($1.0 - $1.1).isNaN ? .infinity : max($0, ($1.0 - $1.1).magnitude / largest) }
}
