import CUDADriver
import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit

extension SplitMix64 {
    /// Numbers spread evenly over -1 ... 1.
    mutating func tensor(_ shape: Shape) throws -> Tensor {
        try Tensor(shape, (0..<shape.elementCount).map { _ in Float.random(in: -1...1, using: &self) })
    }
}

/// A layer of images on both executors.
struct Both<OnHost, OnDevice> {
    let host: OnHost
    let device: OnDevice
}

typealias BothOperations = Both<RowOperation<CPU>, RowOperation<CUDA>>

/// How a convolution's weight is stored.
enum WeightKind: CaseIterable {
    case integers, groups, rows, float32, bfloat16, half

    var isInteger: Bool { self == .integers || self == .groups }

    func stored(_ values: Tensor) throws -> StoredWeight {
        let scheme: Scheme =
            switch self {
            case .integers, .rows: .int8PerChannel
            case .groups: .int4Grouped
            case .float32: .f32
            case .bfloat16: .bf16
            case .half: .f16
            }
        return StoredWeight(
            scheme, values.shape, planes: try scheme.encode(values, subject: "w"), activations: isInteger ? .int8PerToken : .float)
    }
}

/// Makes operations on both executors of the same random values.
struct ImageMaker {
    let engine: Engine
    var random: SplitMix64

    /// - Parameter engine: one of its own, for who counts bytes.
    init(seed: UInt64, on engine: Engine? = nil) throws { (self.engine, random) = (try engine ?? Bench.engine.get(), SplitMix64(seed: seed)) }

    mutating func convolution(_ outputs: Int, _ inputs: Int, _ kind: WeightKind, bias: Bool = true) throws -> Both<Convolution, DeviceConvolution> {
        let stored = try kind.stored(try random.tensor([outputs, 3, 3, inputs]))
        let bias = bias ? try random.tensor([outputs]) : nil
        return Both(host: try Convolution(stored, bias: bias, on: .best), device: try engine.convolution(stored, bias: bias))
    }

    mutating func norm(_ channels: Int) throws -> Both<RMSNorm, DeviceNorm> {
        let (weight, bias) = (try random.tensor([channels]), try random.tensor([channels]))
        return Both(
            host: RMSNorm(weight: weight, bias: bias, epsilon: 1e-5, on: .best),
            device: try engine.norm(weight: weight, bias: bias, offset: 0, epsilon: 1e-5))
    }

    mutating func one(_ outputs: Int, _ inputs: Int, _ kind: WeightKind, step: Int = 1, bias: Bool = true) throws -> BothOperations {
        let convolution = try convolution(outputs, inputs, kind, bias: bias)
        return Both(host: .convolution(convolution.host, step: step), device: .convolution(convolution.device, step: step))
    }

    mutating func doubling(_ outputs: Int, _ inputs: Int, _ kind: WeightKind, shortcut: Bool) throws -> BothOperations {
        let convolution = try convolution(outputs, inputs, kind)
        return Both(host: .doubling(convolution.host, shortcut: shortcut), device: .doubling(convolution.device, shortcut: shortcut))
    }

    mutating func shuffling(_ outputs: Int, _ inputs: Int, _ kind: WeightKind, shortcut: Bool) throws -> BothOperations {
        let convolution = try convolution(4 * outputs, inputs, kind)
        return Both(host: .shuffling(convolution.host, shortcut: shortcut), device: .shuffling(convolution.device, shortcut: shortcut))
    }

    mutating func residual(_ channels: Int, _ first: WeightKind, _ second: WeightKind, _ activation: Activation = .silu) throws -> BothOperations {
        let (first, second, norm) = (
            try convolution(channels, channels, first), try convolution(channels, channels, second, bias: false), try norm(channels)
        )
        return Both(
            host: .residual(first: first.host, activation: activation, second: second.host, norm: norm.host),
            device: .residual(first: first.device, activation: activation, second: second.device, norm: norm.device))
    }

    mutating func norm(_ channels: Int, _ activation: Activation) throws -> BothOperations {
        let norm = try norm(channels) as Both<RMSNorm, DeviceNorm>
        return Both(host: .norm(norm.host, activation), device: .norm(norm.device, activation))
    }

    /// What the operations make of a map here, and on the device with rings of so many rows.
    func results(_ operations: [BothOperations], _ x: Tensor, ring: Int? = nil) throws -> (host: Tensor, device: Tensor) {
        (try CPU.best.run(operations.map(\.host), on: x), try onDevice(operations, x, ring: ring))
    }

    func onDevice(_ operations: [BothOperations], _ x: Tensor, ring: Int? = nil) throws -> Tensor {
        try engine.tensor(from: try engine.run(operations.map(\.device), on: try engine.rows(from: x), ring: ring))
    }
}

/// Whether two maps have the same bits.
func agree(_ a: Tensor, _ b: Tensor) -> Bool { a.shape == b.shape && a.elements.map(\.bitPattern) == b.elements.map(\.bitPattern) }

/// The largest difference beside the largest value that is expected.
func distance(_ found: Tensor, _ expected: Tensor) -> Float { found.shape == expected.shape ? distance(found.elements, expected.elements) : .infinity }
