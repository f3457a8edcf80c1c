import Glibc

extension EncodedTensor {
    /// - Precondition: as many elements as the shape has, of the type's size.
    package init<Element: BitwiseCopyable>(dtype: DType, shape: Shape, elements: [Element]) throws(MachineError) {
        precondition(elements.count == shape.elementCount && MemoryLayout<Element>.stride == dtype.byteCount)
        try self.init(dtype: dtype, shape: shape)
        unsafe elements.withUnsafeBytes { unsafe buffer.mutableBytes.copyMemory(from: $0) }
    }

    /// The elements, copied, as values of a type of their size.
    package func elements<Element: BitwiseCopyable>(of type: Element.Type) -> [Element] {
        precondition(MemoryLayout<Element>.stride == dtype.byteCount)
        return unsafe Array(bytes.assumingMemoryBound(to: type))
    }

    /// How many elements have other bytes than those of `other`, and the first of them; nil where none has.
    /// - Precondition: of one type and as many.
    package func difference(from other: EncodedTensor) -> (first: Int, count: Int)? {
        precondition(dtype == other.dtype && buffer.byteCount == other.buffer.byteCount)
        let size = dtype.byteCount
        guard let left = unsafe bytes.baseAddress, let right = unsafe other.bytes.baseAddress, unsafe memcmp(left, right, buffer.byteCount) != 0
        else { return nil }
        let differing = (0..<shape.elementCount).filter { unsafe memcmp(left + $0 * size, right + $0 * size, size) != 0 }
        return differing.first.map { ($0, differing.count) }
    }
}
