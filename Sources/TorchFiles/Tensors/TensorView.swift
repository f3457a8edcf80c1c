import Tensors

/// A view of a storage: its elements in row-major order lie at `offset + sum(index * stride)`. The last one lies inside the storage.
struct TensorView: Sendable, Equatable {
    let dtype: DType
    let shape: Shape
    /// In elements.
    let offset: Int
    /// The extents and strides that matter, outermost first: extents of 1 are gone, and neighbours that lie one behind the other are one.
    let axes: [Axis]

    struct Axis: Sendable, Equatable {
        var extent: Int
        var stride: Int
    }

    /// Why sizes and strides are no view.
    struct Fault: Error {
        let expected: String
        let found: String
    }

    static let rankLimit = 8

    init(dtype: DType, offset: Int64, sizes: [Int64], strides: [Int64], storageByteCount: UInt64) throws(Fault) {
        guard sizes.count == strides.count, sizes.count <= Self.rankLimit else {
            throw Fault(expected: "as many strides as sizes, at most \(Self.rankLimit)", found: "\(sizes.count) sizes, \(strides.count) strides")
        }
        guard offset >= 0, strides.allSatisfy({ $0 >= 0 }) else {
            throw Fault(expected: "offset and strides from 0 on", found: "offset \(offset), strides \(strides)")
        }
        guard let shape = Shape(checking: sizes.map(Int.init)), !shape.elementCount.multipliedReportingOverflow(by: dtype.byteCount).overflow else {
            throw Fault(expected: "sizes from 0 on, fewer than 2^63 bytes", found: "\(sizes)")
        }
        let elements = storageByteCount / UInt64(dtype.byteCount)
        if shape.elementCount > 0 {
            guard let last = Self.last(offset: offset, sizes: sizes, strides: strides), UInt64(last) < elements else {
                throw Fault(expected: "a view inside its \(elements) elements", found: "offset \(offset), sizes \(sizes), strides \(strides)")
            }
        }
        self.dtype = dtype
        self.shape = shape
        self.offset = Int(offset)
        axes = shape.elementCount > 0 ? Self.merged(sizes, strides) : [Axis(extent: 0, stride: 1)]
    }

    /// Where the last element lies; nil beyond 2^63.
    private static func last(offset: Int64, sizes: [Int64], strides: [Int64]) -> Int64? {
        var sum = offset
        for (size, stride) in zip(sizes, strides) {
            let (reach, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
            let (next, sumOverflow) = sum.addingReportingOverflow(reach)
            guard !overflow, !sumOverflow else { return nil }
            sum = next
        }
        return sum
    }

    private static func merged(_ sizes: [Int64], _ strides: [Int64]) -> [Axis] {
        var axes: [Axis] = []
        for (size, stride) in zip(sizes, strides) where size != 1 {
            let axis = Axis(extent: Int(size), stride: Int(stride))
            let (step, overflow) = axis.stride.multipliedReportingOverflow(by: axis.extent)
            if let outer = axes.last, !overflow, outer.stride == step {
                axes[axes.count - 1] = Axis(extent: outer.extent * axis.extent, stride: axis.stride)
            } else {
                axes.append(axis)
            }
        }
        return axes
    }

    /// Whether the elements lie one behind the other, in order.
    var isContiguous: Bool { axes.isEmpty || axes.count == 1 && axes[0].stride == 1 }
}
