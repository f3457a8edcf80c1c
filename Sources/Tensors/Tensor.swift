/// A float32 tensor in row-major order: what the runtime computes with.
///
/// Copies of the value share their elements for reading. Writing wants a unique owner and traps otherwise: nothing
/// copies a gigabyte behind one's back; `copy()` does it by name.
package struct Tensor: Sendable {
    package private(set) var shape: Shape
    private(set) var buffer: Buffer

    /// A tensor of zeros, or of unknown content where `zeroed` is false and all of it is going to be written.
    package init(_ shape: Shape, zeroed: Bool = true) throws(MachineError) {
        self.shape = shape
        buffer = try Buffer(byteCount: shape.elementCount * MemoryLayout<Float>.stride, zeroed: zeroed)
    }

    /// A tensor of the given elements.
    /// - Precondition: as many elements as the shape says.
    package init(_ shape: Shape, _ elements: [Float]) throws(MachineError) {
        precondition(elements.count == shape.elementCount, "\(elements.count) elements for \(shape)")
        try self.init(shape, zeroed: false)
        unsafe mutablePointer.update(from: elements, count: elements.count)
    }

    /// The elements of an encoded tensor of type f32, shared with it.
    package init(sharing encoded: EncodedTensor) {
        precondition(encoded.dtype == .f32)
        shape = encoded.shape
        buffer = encoded.buffer
    }

    /// Bytes of the buffer of so many elements.
    package static func byteCount(_ count: Int) -> Int { Memory.byteCount(of: count * MemoryLayout<Float>.stride) }

    package var count: Int { shape.elementCount }
    /// First extent and product of the others: tokens and channels, in most places.
    package var rows: Int { shape.rows }
    package var columns: Int { shape.columns }

    /// The elements, to read.
    package var span: Span<Float> {
        @_lifetime(borrow self) get {
            let span = unsafe Span(_unsafeStart: pointer, count: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// The elements, to write.
    package var mutableSpan: MutableSpan<Float> {
        @_lifetime(&self) mutating get {
            let span = unsafe MutableSpan(_unsafeStart: mutablePointer, count: count)
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    /// The elements for a kernel, to read; valid while this value lives.
    @unsafe package var pointer: UnsafePointer<Float> {
        unsafe UnsafePointer(buffer.mutableBytes.baseAddress!.assumingMemoryBound(to: Float.self))
    }

    /// The elements for a kernel, to write; valid while this value lives.
    /// - Precondition: no other value shares them.
    @unsafe package var mutablePointer: UnsafeMutablePointer<Float> {
        mutating get {
            // An assignment and not a precondition: the optimizer takes a getter that only reads for one that leaves `self` alone, may
            // then copy `self` before the call instead of after it, and a buffer of one owner is counted twice (seen with Swift 6.3.1).
            if !isKnownUniquelyReferenced(&buffer) { buffer = Buffer.refuseSharedWrite() }
            return unsafe buffer.mutableBytes.baseAddress!.assumingMemoryBound(to: Float.self)
        }
    }

    /// The same elements under another shape.
    /// - Precondition: equal element counts.
    package func reshaped(_ shape: Shape) -> Tensor {
        precondition(shape.elementCount == count, "\(self.shape) cannot be seen as \(shape)")
        var result = self
        result.shape = shape
        return result
    }

    /// A tensor of its own with the same elements.
    package func copy() throws(MachineError) -> Tensor {
        var result = try Tensor(shape, zeroed: false)
        unsafe result.mutablePointer.update(from: pointer, count: count)
        return result
    }

    /// The elements as an array: for small tensors and tests.
    package var elements: [Float] { unsafe Array(UnsafeBufferPointer(start: pointer, count: count)) }
}
