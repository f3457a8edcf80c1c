import Glibc
import PackedFiles
import Tensors

/// Compares planes made again, some rows at a time, with the planes that a packed file holds.
struct PlaneComparison {
    private let scheme: Scheme
    private let columns: Int
    private var row = 0
    private var distance = QuantizationErrorSum()
    private(set) var difference: Rederivation.Difference?
    private(set) var bound: BoundCheck?

    init(_ scheme: Scheme, columns: Int) {
        self.scheme = scheme
        self.columns = columns
    }

    var error: QuantizationError { distance.result }

    /// Adds the next rows.
    /// - Parameters:
    ///   - planes: the rows as they were made now.
    ///   - stored: the whole planes of the file.
    ///   - values: gives the rows that `planes` were encoded from, as float32.
    mutating func add(
        _ planes: [EncodedTensor], of stored: [EncodedTensor], values: () throws(ConversionError) -> Tensor
    ) throws(ConversionError) {
        let count = planes[0].shape.rows
        var parts: [EncodedTensor] = []
        for plane in stored {
            parts.append(try wrapping(ConversionError.memory) { () throws(AllocationError) in try plane.rows(row..<row + count) })
        }
        for (index, specification) in scheme.planes(for: stored[0].shape).enumerated() {
            compare(planes[index], parts[index], specification.name)
        }
        let source = try values()
        try wrapping(ConversionError.memory) { () throws(AllocationError) in
            distance.add(decoded: try scheme.decode(parts, shape: source.shape), source: source)
            let check = try scheme.checkBound(parts, source: source)
            bound = bound?.merged(with: check, offset: row * columns) ?? check
        }
        row += count
    }

    private mutating func compare(_ expected: EncodedTensor, _ found: EncodedTensor, _ plane: String) {
        let size = expected.dtype.byteCount
        precondition(expected.buffer.byteCount == found.buffer.byteCount)
        guard let left = unsafe expected.bytes.baseAddress, let right = unsafe found.bytes.baseAddress,
            unsafe memcmp(left, right, expected.buffer.byteCount) != 0
        else { return }
        let first = row * expected.shape.columns
        for index in 0..<expected.shape.elementCount {
            guard unsafe memcmp(left + index * size, right + index * size, size) != 0 else { continue }
            difference = difference ?? Rederivation.Difference(plane: plane, element: first + index, count: 0)
            difference?.count += 1
        }
    }
}

extension EncodedTensor {
    /// A copy of the elements that a range of the first index selects.
    func rows(_ range: Range<Int>) throws(AllocationError) -> EncodedTensor {
        let rowByteCount = shape.columns * dtype.byteCount
        let result = try EncodedTensor(dtype: dtype, shape: Shape([range.count] + shape.extents.dropFirst()))
        let source = unsafe UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound * rowByteCount..<range.upperBound * rowByteCount])
        unsafe result.buffer.mutableBytes.copyMemory(from: source)
        return result
    }
}
