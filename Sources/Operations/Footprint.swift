import PackedFiles
package import Tensors

/// Bytes of buffers that something takes: what is left of it, and the most that is there beside that until it is done.
package struct Footprint: Sendable, Equatable {
    package var kept: Int
    package var passing: Int

    package init(kept: Int = 0, passing: Int = 0) { (self.kept, self.passing) = (kept, passing) }

    /// The most at once.
    package var peak: Int { kept + passing }
}

/// A weight before it is read.
package struct WeightSize: Sendable {
    package let shape: Shape
    /// Bytes of its planes when they are decoded.
    let planeBytes: Int
    package let form: KernelForm

    package init(_ shape: Shape, planeBytes: Int, form: KernelForm) { (self.shape, self.planeBytes, self.form) = (shape, planeBytes, form) }

    package static func float32(_ shape: Shape) -> WeightSize {
        WeightSize(shape, planeBytes: shape.elementCount * MemoryLayout<Float>.stride, form: .float32)
    }

    /// Bytes in float32.
    package var floatBytes: Int { Tensor.byteCount(shape.elementCount) }
    /// Bytes of the planes and, unless they are that, of the values in float32 that are made of them to be read once.
    package var widenedBytes: Int { planeBytes + expandedBytes + (isFloat32 ? 0 : floatBytes) }
    /// Bytes of the int8 codes that are made of a plane with fewer bits; 0 where the plane has them.
    var expandedBytes: Int {
        guard planeBytes < shape.elementCount, form == .scaledRows || form.multipliesIntegers else { return 0 }
        return Memory.byteCount(of: shape.elementCount)
    }
    var isFloat32: Bool { form == .float32 && planeBytes == shape.elementCount * MemoryLayout<Float>.stride }
}

/// What an executor makes of a weight.
package enum LayerKind: Sendable {
    /// - Parameter cut: whether its outputs are cut into several linears.
    case linear(Compute, cut: Bool)
    case convolution(often: Bool)
    case depthwise
    /// Values in float32: of a norm, a bias, a table, a grouped convolution.
    case values
}

/// An operation of an executor before there is anything to do it with.
package enum Work: Sendable {
    /// `multiply` of so many rows, normed or not, and perhaps a gate of one half of the outputs by the other.
    case product(rows: Int, by: [WeightSize], Compute, normed: Bool = false, gated: Bool = false)
    /// `add` of a product.
    case addedProduct(rows: Int, by: WeightSize, Compute)
    /// `gated` by both halves of a weight.
    case gated(rows: Int, by: WeightSize, Compute, normed: Bool)
    /// Of so many channels of queries, with so many scales beside.
    case linearAttention(rows: Int, width: Int, headDimension: Int, scales: Int = 0)
    case keyValues(tokens: Int, heads: Int, headDimension: Int)
    case crossAttention(rows: Int, tokens: Int, heads: Int, headDimension: Int)
    /// Of so many rows behind a prefix.
    case causalAttention(rows: Int, prefix: Int, SoftmaxAttention)
    /// `again`, with inputs and a result of so many values.
    case again(inputs: [Int], result: Int)
    /// `run` on a map.
    case rows([RowWork], height: Int, width: Int, channels: Int)
}

/// A `RowOperation` by its weights.
package enum RowWork: Sendable {
    case convolution(WeightSize)
    /// A convolution that keeps every second row and column.
    case halving(WeightSize)
    case doubling(WeightSize)
    case shuffling(WeightSize, often: Bool)
    /// Both convolutions are run often.
    case residual(first: WeightSize, second: WeightSize)
    case norm

    /// Extents of the map that it makes of one.
    package func result(of map: (height: Int, width: Int, channels: Int)) -> (height: Int, width: Int, channels: Int) {
        switch self {
        case .convolution(let weight): (map.height, map.width, weight.shape.rows)
        case .halving(let weight): (map.height / 2, map.width / 2, weight.shape.rows)
        case .doubling(let weight): (2 * map.height, 2 * map.width, weight.shape.rows)
        case .shuffling(let weight, _): (2 * map.height, 2 * map.width, weight.shape.rows / 4)
        case .residual, .norm: map
        }
    }
}

extension CPU {
    package func byteCount(of values: Int) -> Int { Tensor.byteCount(values) }

    package func footprint(of weight: WeightSize, as kind: LayerKind) -> Footprint {
        switch kind {
        case .linear(let compute, let cut): Linear.footprint(of: weight, compute, cut: cut, on: self)
        case .convolution(let often): Convolution.footprint(of: weight, winograd: often && usesWinograd, on: self)
        case .depthwise: Depthwise.footprint(of: weight)
        case .values: Footprint(kept: weight.floatBytes, passing: weight.isFloat32 ? 0 : weight.planeBytes + weight.expandedBytes)
        }
    }

    package func footprint(of work: Work) -> Footprint {
        switch work {
        case .product(let rows, let weights, let compute, let normed, let gated):
            productFootprint(rows, weights, compute, normed: normed, gated: gated)
        case .addedProduct(let rows, let weight, let compute): Linear.addedFootprint(rows, weight, compute, on: self)
        case .gated(let rows, let weight, let compute, let normed): GatedConvolution.footprint(rows, weight, compute, normed: normed, on: self)
        case .linearAttention(let rows, let width, _, let scales): LinearAttention.footprint(rows, width, scales)
        case .keyValues(let tokens, let heads, let dimension): Footprint(kept: PackedKeyValues.byteCount(tokens, heads, dimension))
        case .crossAttention(let rows, let tokens, let heads, let dimension): PackedKeyValues.footprint(rows, tokens, heads, dimension)
        case .causalAttention(let rows, let prefix, let attention): attention.footprint(rows, prefix)
        case .again: Footprint()
        case .rows(let operations, let height, let width, let channels): RowChain.footprint(operations, height, width, channels, self)
        }
    }
}
