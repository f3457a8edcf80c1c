extension EncodedTensor {
    /// The bytes, copied: `bytes` of a value that nothing else holds would be gone before they are looked at.
    package var contents: [UInt8] { unsafe Array(bytes) }

    /// Whether the element type has a value here: all but the 8-bit floats, which no trace of this family uses.
    package var isComparable: Bool { dtype != .f8e4m3 && dtype != .f8e5m2 }

    /// Writes the elements of `range` to the front of `out` as doubles: exact for every type but 64-bit integers beyond 2^53.
    /// - Precondition: the range lies inside the tensor, `out` is long enough, and `isComparable`.
    package func widen(_ range: Range<Int>, into out: inout [Double]) {
        precondition(range.lowerBound >= 0 && range.upperBound <= shape.elementCount && out.count >= range.count)
        switch dtype {
        case .f32: fill(&out, range) { (element: Float) in Double(element) }
        case .f64: fill(&out, range) { (element: Double) in element }
        case .f16: fill(&out, range) { (element: UInt16) in Double(Float16(bitPattern: element)) }
        case .bf16: fill(&out, range) { (element: UInt16) in Double(Float(bitPattern: UInt32(element) << 16)) }
        case .bool, .u8: fill(&out, range) { (element: UInt8) in Double(element) }
        case .i8: fill(&out, range) { (element: Int8) in Double(element) }
        case .u16: fill(&out, range) { (element: UInt16) in Double(element) }
        case .i16: fill(&out, range) { (element: Int16) in Double(element) }
        case .u32: fill(&out, range) { (element: UInt32) in Double(element) }
        case .i32: fill(&out, range) { (element: Int32) in Double(element) }
        case .u64: fill(&out, range) { (element: UInt64) in Double(element) }
        case .i64: fill(&out, range) { (element: Int64) in Double(element) }
        case .f8e4m3, .f8e5m2: preconditionFailure("\(dtype) has no value here")
        }
    }

    /// All elements as doubles: for small tensors and tests.
    package var doubles: [Double] {
        var out = [Double](repeating: 0, count: shape.elementCount)
        widen(0..<shape.elementCount, into: &out)
        return out
    }

    /// One element as a double.
    package func double(at index: Int) -> Double {
        var out = [0.0]
        widen(index..<index + 1, into: &out)
        return out[0]
    }

    private func fill<Element: BitwiseCopyable>(_ out: inout [Double], _ range: Range<Int>, _ convert: (Element) -> Double) {
        let source = unsafe bytes
        let stride = MemoryLayout<Element>.stride
        for index in 0..<range.count {
            // Element by element through loadUnaligned: files promise no alignment, and the compiler makes one load of it.
            out[index] = convert(unsafe source.loadUnaligned(fromByteOffset: (range.lowerBound + index) * stride, as: Element.self))
        }
    }
}
